// Package collection is the domain: collections, points, payloads, filters,
// queries and hits; the closed set of error codes; and apply, the deterministic
// state machine that a partition's log drives. It declares the store interfaces
// that persistence implements and knows no actor, file or socket.
package collection
