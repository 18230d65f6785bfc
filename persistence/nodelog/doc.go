// Package nodelog is the durability point of a node: one append-only log, in
// segment files, for the raft groups of all its partitions. One Write is one
// flush: one write and one sync for everything that waits, whichever group it
// belongs to. The package owns the files in its directory. It never decides
// which entries are committed, and it never retries a failed write or sync.
//
// # Format
//
// A segment is a file "%016x.seg", named by the number of its first batch and
// reserved in full when it is made. It holds batches, each a multiple of 4096
// bytes long, so that writing one never touches a page of another; what
// follows the last one is zero. A batch is one flush. Numbers are
// little-endian, checksums are CRC-32C, sizes are in bytes.
//
//	batch    | header | records ... | zeros | trailer |
//
//	header   | fixed 48 | row 48 ... | latest 16 ... | u32 CRC of the header |
//	fixed    | u32 magic "WNLh" or "WNLt" | u16 version 2 | u16 flags | u64 log id |
//	         | u64 number | u64 size of the batch | u32 CRC of the batch before |
//	         | u32 rows | u32 latest | u32 reach: how many batches before it latest tells of |
//	row      | u64 group | u64 first index | u64 last index (both 0: no entries;
//	         | 0 and 2^64-1: the group is removed, and has no records) |
//	         | u64 number of the batch with the group's previous row, 0 = none since it was removed |
//	         | u64 offset in the batch | u64 size | of its records: hard, start, entries |
//	latest   | u64 group | u64 number of the batch with its latest row, + 2^63 if that removes it |
//	trailer  | row 48 ... | latest 16 ... | fixed 48 | u32 CRC of all before the trailer |
//	         | u32 CRC of the trailer: "the CRC of the batch" |
//
//	record   | u32 CRC of what follows | u32 size of data | u8 kind | u8 entry type | u16 0 |
//	         | u64 group | u64 index | u64 term | data |
//	 entry   kind 1: data is the entry's
//	 hard    kind 2: index is the commit index, data | u64 vote |
//	 start   kind 3: the group's log begins anew after (index, term), data | u64 replica |;
//	         another replica than before begins without a hard state
//	 group   kind 4, in heads: index and term are of the group's last entry, data
//	         | u64 index | u64 term | after which the log begins, which cuts move |
//	         | u64 index | u64 term | u64 replica | of the last start |
//	         | u64 number of the batch with its latest row |
//	         | u64 hard term | u64 hard vote | u64 hard commit | u64 flags: 1 hard state set, 2 lost |
//
// A segment begins with a head (flag 1), twice: a batch without rows that says
// how each group stands, so that older segments can be removed. A group that
// it does not name is not on this node. It is durable,
// in the file and in the directory, before the batch that follows is written.
// Numbers go up by one; both copies of a head have the same one. The log id is
// random and secret: no tenant can write data that looks like a batch.
//
// The latest of a batch are all groups that have a row in one of the 16 batches
// before it (fewer when recovery could not read some of them) and none in the
// batch itself: so it tells which groups had a row in a hole before it, and
// which of them were removed there.
//
// # Recovery
//
// A batch is written when the one before is durable. So a bad batch that
// nothing valid follows was never acknowledged: it is torn and cut off. A bad
// batch that a valid header or trailer with a greater number follows is
// corruption. Every record and all tables have checksums, so it stops only the
// groups whose records are hurt. When neither header nor trailer can be read,
// of one batch or of several in a row, the next one that can names the groups
// that had rows there. Only in a hole beyond its reach other groups are in
// doubt, too, and stop unless a later row or head shows that they had no row in
// it (each names the batch of the group's previous one). A stopped group has an
// Err, which later heads repeat, until it starts anew or is removed; all others
// serve. It still names its replica and where it started, as far as a head or a
// row that can be read tells them.
//
// A removal is part of the tables, not a record: it takes effect even when
// the batch's records are hurt, and a hole with it in is made up for by
// the tables after it, or else by the next head. No damage brings back a group
// that was removed, except as a stopped one, when it may have been made anew
// where nothing can be read.
//
// Rejected: a record for a removal (a flipped bit in it would leave a group that
// nobody serves); entries as protobuf (half the speed of the hot path); one log per
// group (a sync each); batches at 512 bytes (a torn write of one could hurt the
// batch before on disks with 4096-byte sectors).
package nodelog
