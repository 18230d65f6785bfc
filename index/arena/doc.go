// Package arena is memory for the rows of an index: outside the Go heap where
// the system can, and given back all at once.
package arena
