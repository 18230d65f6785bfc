// Package tenant holds the domain of tenancy: who calls (Context), what a key
// may do (Permission, Operation and the table between them), what a tenant may
// use (Limits, Plan), and the form of keys. It imports nothing of Waggle's.
package tenant
