// Package disk is the file system as Waggle uses it, behind an interface, so
// that the node log and the simulation run over real files (OS), over memory
// that loses what was not synced, and over disks that fail at the n-th
// operation (both Mem). It never interprets what it stores.
package disk

import "io"

// Disk is one directory tree. Names are slash-separated and relative to it.
// Errors satisfy errors.Is with fs.ErrNotExist and fs.ErrExist. All methods
// are safe for concurrent use.
type Disk interface {
	// Create makes a new file, or fails with fs.ErrExist.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// Rename replaces newName. It is durable after SyncDir of the directory.
	Rename(oldName, newName string) error
	// Remove deletes a file. It is durable after SyncDir.
	Remove(name string) error
	// List returns the names (not paths) in a directory, sorted.
	List(dir string) ([]string, error)
	// MkdirAll makes a directory and its parents, durably.
	MkdirAll(dir string) error
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
}

// File is an open file. Writes are durable after Sync, and a crash before it
// may keep any part of them, in 512-byte sectors. After a failed Sync the file
// may show bytes that the disk does not have, and a later Sync need not write
// them: only writing them again does.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Close makes calls that follow fail with fs.ErrClosed. It may be called
	// beside ReadAt.
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Allocate reserves size bytes so that writes below it need no metadata.
	// A shorter file grows to size, with zeros; a longer one stays.
	Allocate(size int64) error
	Sync() error
}
