// Package persistence keeps a partition's state: a memory delta of what was
// applied since the last checkpoint, over a durable store. It owns the store
// file and nothing else; the log that the delta is rebuilt from is nodelog's.
// It never decides an entry (the state machine does), and never writes to the
// store outside a checkpoint. The only goroutines that it starts read pages for
// a wide scan, and end with it.
//
// # Layers
//
// A reader sees three layers, the upper hiding the lower:
//
//	active  changes of the entries applied since the last checkpoint began
//	frozen  changes that a running checkpoint is writing
//	store   the last checkpoint
//
// Layers hold whole values, so a delta laid over any store state between the
// delta's begin and its end gives the state at its end. That is why a view
// needs no lock against a checkpoint that ends while it is taken.
//
// # The bbolt file
//
// One bbolt file per partition, one bbolt bucket per keyspace, named by the
// keyspace's byte. Keys are stored as they are; before every value stands its
// checksum, because bbolt has none for data pages:
//
//	+-------------+---------+
//	| crc u32 LE  | value   |   crc = CRC32C(bucket byte, key, value)
//	+-------------+---------+
//
// A checkpoint is one bbolt transaction: data pages, fdatasync, meta page,
// fdatasync. It holds the changes and, in the meta bucket under "meta":
//
//	+------------+------------+---------+------------+-----------+-----------+
//	| version u8 | applied u64| term u64| digest 16 B| n u32     | conf state|
//	+------------+------------+---------+------------+-----------+-----------+
//
// all little-endian except the digest, whose 128-bit number is big-endian;
// conf state is n bytes of a marshalled raftpb.ConfState.
//
// The file is named by the group and the index at which its log started on this
// node (StoreFile), so that the log's record of a start is what switches from
// one store to another.
//
// # The image of a bbolt store
//
// An image is a copy of the file under an open read transaction, with two meta
// pages made of what the transaction knows, and with zeros in the pages that
// were free, because those may be written meanwhile:
//
//	store | crc u32 of each 64 KB of it (the last may be shorter) | "WGLIMGB1" | bytes of the store u64 | crc u32
//
// Checksums are CRC32C; the last is of everything between the store and itself.
// What takes an image in trusts neither them nor the sender: it also walks all
// pages, checks every value, and counts the digest anew.
//
// # The image of the memory store
//
// The simulation's store keeps everything in memory and writes it out whole,
// to a new file that replaces the old one:
//
//	"WGLIMG01" | meta length u32 | meta | records u64
//	record: bucket u8 | key length u32 | value length u32 | key | value
//	crc u32 = CRC32C of all bytes before it
//
// # The digest
//
// The sum, modulo 2^128, over all keys outside the meta bucket, of
//
//	h(seed 1) << 64 | h(seed 2),  h = XXH64(bucket u8, key length u32 LE, key, value)
//
// A sum can be kept by apply, one change at a time. The seeds are constants
// of the format: replicas compare their digests.
package persistence
