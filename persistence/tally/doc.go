// Package tally counts what tenants read and ask for, in a file that every
// process of a node maps into its memory: a count is in the file when Add
// returns, so kill -9 loses none, and no write, lock or allocation is on the
// way of a request. A crash of the machine loses what came after the last Flush.
// Neither ever adds: what is reported was counted, once.
//
// It owns the file and starts no goroutine. Add and Flush may be called from
// anywhere, the latter every second; everything else belongs to one goroutine.
//
// # Areas and reports
//
// There are two areas of slots, a slot for each tenant and collection. Add works
// on the active one. Cut freezes it and makes the other one active, by one write
// of the header; the frozen area, in pieces of up to EntriesMax slots in their
// order, is the reports until Done says that the hub has them. Then it is
// emptied. So a report is decided once: the same after any crash, under the same
// sequence. There is no second Cut before: meanwhile the active area grows.
//
// An area that is nearly full takes no more collections: what they do is counted
// for the tenant alone, collection 0. When it is full, what tenants do who have
// no slot is not counted, but as dropped.
//
// # The file
//
//	offset          size          what
//	0               4096          header, one copy
//	4096            4096          header, the other
//	8192            slots * 128   area 0
//	...             slots * 128   area 1
//
// The header that counts is the intact copy with the higher generation; a change
// writes the other one. Little endian:
//
//	0   magic "WGTALLY1"      32  start i64, of the active area
//	8   generation u64        40  start i64, of the frozen area
//	16  sequence u64          48  end i64, of the frozen area
//	24  birth u64             56  slots u32, of an area
//	60  active u8             61  frozen u8: 0 none, 1 the other area
//	64  reports u32           68  done u32
//	72  sum u64               80  crc u32 = CRC32C of all before
//
// sequence is that of the frozen area's first report, or of the next one;
// reports is how many it has, 0 until they are decided, and done how many of
// them the hub has; sum is the XXH64 of the area when they were decided. Times
// are Unix milliseconds. birth is drawn when the file is made: sequences begin
// anew with it.
//
// A slot, in the machine's own byte order, since its words are counted in place:
//
//	0   key u64, 0 of a free slot    48  length of the tenant's id u8
//	8   collection u64               49  tenant's id, 63 bytes
//	16  4 counters u64               112 zeros
//
// key is a hash of the tenant's id and the collection, written last. A counter
// is 48 bits of count and, above them, 16 bits of check over count and key: a
// word changes as a whole, so no crash breaks it, and damage shows.
//
// # Steps and crashes
//
// Each step leaves a file that Open understands. Cut: header, sync, wait for those
// who still add, sync, number of reports to the header, sync; reports are shown
// only now. Done: header without the frozen area, sync, the area emptied, sync.
// What a header allows is done when it is on the disk, so that the pages of a
// crashed machine, which are of any age since their last sync, cannot make the
// same count part of two reports. Open empties an area that is neither active
// nor frozen.
//
// Damage is counted. A slot of the active area that no Add has left so is
// emptied. A frozen area that is not as it was when its reports were decided is
// refused whole, since the hub may have some of them: the file gets another
// birth, so that its next sequence is no gap. A file without a header is set
// aside, and a new one takes its place.
package tally
