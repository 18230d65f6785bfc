// Package actors runs a node's replicas.
//
// A replica actor owns one raft group's driver and is its only caller: ticks,
// proposals, reads and the results of disk and apply work reach it as
// messages, and nothing long runs in its mailbox. Around it stand a log writer
// (one flush of the node log for everything that waits), a pool of apply
// workers (one task per replica at a time, so that a replica's entries are
// applied in order) and a checkpoint worker. A quota actor per active tenant
// is the only one that asks the hub for limits.
//
//	message      reply                         slow?
//	propose      its done func, after apply    never in the mailbox
//	readIndex    its done func, when applied   never in the mailbox
//	tick, flush, appended, applied, checkpointed: from this package only
//
// Mailboxes are unbounded (bounded ones of the library spin); what may wait in
// them is bounded before posting, by Replica's admission, and is refused with
// unavailable when full. Life: Start recovers the log and opens every
// partition, Stop refuses new work, checkpoints and waits for every goroutine.
// Tests use package actorstest: one ActorSystem, real files, fake time.
package actors
