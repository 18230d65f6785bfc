// Package hubsvc is the hub: whose key is this, and what may its tenant use.
//
// The embedded hub is the state machine of the system group (Machine), so it
// is replicated and as durable as the points are. It owns the cluster's
// birth record, plans, tenants and keys, the audit log, the events that other
// caches live by, the nonces of signed commands, records of the tenants'
// collections, and certificates of what was erased; each table has a bound, and
// each entry does bounded work. It also owns what the cluster is: members,
// one-time join tokens, the desired placement of every group's replicas, and
// the certificate authority. A node in front of it keeps a Directory, the part
// of that state that every request needs, in memory; its Topology is the
// cluster's part. Embedded turns the operator's wishes into commands in the
// group's log.
//
//	Embedded --command--> log of the system group --> Machine --change--> Directory <--Validate-- edge
//
// Placement is data: Plan, a pure function, says what should change, whoever
// leads the system group proposes it, and each group's leader does it.
//
// It never stores, logs or returns a key that it did not just make: keys are
// kept as HMAC-SHA-256 only, join tokens as the SHA-256 of their secret, the
// authority's key sealed under the cluster's secret. It knows no actor, no store and no HTTP; the
// Txn, View and Group it stands on are declared here by their shapes.
package hubsvc
