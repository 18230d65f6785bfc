// Package grains holds the virtual actors and the way to them.
//
// A collection grain, kind "collection" and identity "<tenant>/<collection
// id>", lives on the leader of its tenant's partition. It owns the index of an
// active collection. Writes pass through its mailbox on their way to the
// replica; searches do not: they run on a view that the grain publishes. It
// activates on the first search, by a range scan of the partition store, and
// passivates when idle or when memory is short. An idle collection is not in
// memory at all.
//
//	message   reply                     slow?
//	write     its outcome channel       never: it is handed on to the replica
//	activate  the waiter's channel      the load runs beside the mailbox
//	loaded    from the loader only
//
// Client is what the edge calls: it finds the partition, checks the
// TenantContext, makes a write final (normalised vectors, ids of a filter) and
// waits with the caller's context. Nothing here is reached without a valid
// TenantContext. Tests run on package actorstest.
package grains
