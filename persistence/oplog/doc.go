// Package oplog is the operation log of a node: a row for every request that
// it answered, kept on its disk within bounds. A row costs no system call: it
// is written into a file that is mapped and shared, so it survives kill -9 of the
// process; the file is synced every second, so a crash of the machine loses at
// most the rows since then, and never makes one up.
//
// It owns the files in its directory and one goroutine, which syncs, seals and
// removes them, from Open to Stop. Append may be called from anywhere, and never
// fails: a row that cannot be kept is counted as dropped. With Options.Outbox
// the same files are what still has to be sent to a hub: see Batch, Accept and
// Shipper.
//
// # Format
//
// A segment is a file "%016x.oplog", named by its number, which goes up by one.
// It is reserved in full when it is made. Numbers are little-endian, checksums
// are CRC-32C, sizes are in bytes.
//
//	segment | header at 0 | seal at 2048 | records from 4096 ... | zeros |
//
//	header  | u32 magic "WOPL" | u16 version 1 | u16 0 | u64 number | u64 seed | u32 CRC |
//	seal    | u32 magic "WOPS" | u32 end of the records | u32 rows | u32 0 | i64 first time |
//	        | i64 last time | i64 when it was sealed, ms | 1024 bytes: the tenants in it | u32 CRC |
//	record  | u32 size of it, a multiple of 8 | u32 CRC of the seed, the size and what follows |
//	        | i64 time, ms | 16 id | u64 duration, µs | u32 k | u32 points | u16 status |
//	        | u8 type | u8 flags: 1 failed | u8 version 1 |
//	        | u8 size of: tenant, operation, collection, code, surface, request id, key id |
//	        | these texts | zeros |
//
// The seed is random and secret: no tenant can write a name that looks like a
// record. Of the tenants there is a bit for each, at its hash: a query passes
// over segments where that of its tenant is not set.
//
// A segment that is full is sealed: synced, then its seal is written, synced,
// and what follows its records is cut off. One that was being written to at a
// crash has no seal. Its records are found by walking them; where one is torn
// or damaged, the walk goes on at the next 8 bytes that begin a good one, and
// counts the place. Then it is sealed, too: a new process begins a new segment.
//
// The file "position" says up to where the hub has the rows. It has two slots,
// at 0 and 4096, which are written in turn, each synced; the one with the
// greater sequence that is good counts. Where there is none, or that of another
// hub, the hub gets what comes from then on. A log without an outbox has no such
// file.
//
//	slot    | u32 magic "WOPP" | u32 0 | u64 sequence | u64 segment | u64 offset |
//	        | u64 rows dropped so far | first 8 bytes of the SHA-256 of the hub's address | u32 CRC |
//
// Rejected: a goroutine that writes (a row would be lost with the process, or
// cost a hand-over each); a log in the store (a transaction and a replica for
// what nobody waits for).
package oplog
