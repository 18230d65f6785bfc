// Package hubsvc is the hub: whose key is this, and what may its tenant use.
//
// The embedded hub is the state machine of the system group (Machine), so it
// is replicated and as durable as the points are. It owns the cluster's
// birth record, plans, tenants and keys. A node in front of it keeps a
// Directory, the part of that state that every request needs, in memory; and
// Embedded turns the operator's wishes into commands in the group's log.
//
//	Embedded --command--> log of the system group --> Machine --change--> Directory <--Validate-- edge
//
// It never stores, logs or returns a key that it did not just make: keys are
// kept as HMAC-SHA-256 only. It knows no actor, no store and no HTTP; the
// Txn, View and Group it stands on are declared here by their shapes.
package hubsvc
