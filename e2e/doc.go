// Package e2e holds the black-box tests: the real binary as a process, real
// files, HTTP as a client speaks it, and kill -9. It imports nothing of
// Waggle's. Ports are read from the ready line; logs and data are kept and
// shown only when a test fails.
package e2e
