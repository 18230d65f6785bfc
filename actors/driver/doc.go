// Package driver is one replica of one raft group as a pure value: no
// goroutine, clock, disk or socket inside. Time arrives as Tick, I/O leaves as
// Work and comes back through AppendDone and Applied, so that the replica
// actor and the simulation drive the very same code.
//
// It owns a raft.RawNode with asynchronous storage writes, the proposals that
// wait for their outcome and the reads that wait for their index. It never
// applies an entry, never writes, and never decides consensus: that is raft's.
//
// A Driver belongs to one goroutine. Everything it calls back (Proposal.Done,
// Read.Done) is called from that goroutine, inside one of the Driver's methods,
// and may call the Driver again.
//
//	Tick, Step, Propose, Read ──► Driver ──► Ready: Work
//	                                ▲          Appends  ─► node log ─► AppendDone
//	                                │          Applies  ─► Partition.Apply ─► Applied
//	                                │          Messages ─► peers
//	                                │          Images   ─► peer's Install ─► ImageSent
//	                                └───────── AppendDone, Applied, in the order of Ready
//
// # Entries
//
// The data of a normal entry is the number of the proposal and what was
// proposed; an entry without data is raft's own (a new leader's first). A
// change of members carries the number in its context.
//
//	0        8                     n
//	+--------+---------------------+
//	| number | proposed data       |   number: u64 little endian, from 1
//	+--------+---------------------+
//
// A number is unique within (replica, process), and only the leader of a term
// makes entries of that term: (term, number) names a proposal exactly.
//
// # Images
//
// A replica that needs entries which the leader's log has given up gets an
// image of the leader's store instead. Raft's snapshot messages never travel:
//
//	leader    raft wants to send one   ─► ImageOrder: take a checkpoint if need be, send
//	receiver  offers what it is to get ─► Install, when it is not ahead: refused, and done
//	receiver  has it, verified, synced, under a name of its own ─► Install
//	receiver  Append with Start, durable: this is the switch; the store is the image
//	receiver  AppendDone               ─► the leader is told, entries follow
//	leader    the transfer has ended   ─► ImageSent
//
// A crash before the switch leaves log and store as they were, and a file that
// nobody names; after it, the log names the image.
//
// # Members
//
// They change by entries, jointly when more than one voter changes. A change
// counts where it is committed and handed out, and its commit index is written
// at once: else a restart could count votes by members that are gone, and wait
// for them for ever. See Status.Durable for when a removed member may go.
//
// # Tests
//
// The unit tests move one to three replicas by hand. The simulation (sim_test.go)
// runs whole clusters of them over the node log, the partition and the state
// machine, and must catch the broken variants of sim_broken_test.go.
package driver
