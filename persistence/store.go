package persistence

import (
	"fmt"
	"iter"

	"github.com/hivehub/waggle/collection"
)

// Store is the durable half of a partition: the state as of its last commit.
// One goroutine commits; any goroutine takes views. Corrupt bytes come back
// as a collection.Error with the code DataLoss, from then on by every method.
type Store interface {
	// View returns the state as of the last commit. A commit never waits for
	// an open view, but cannot reuse the space that the view can see.
	View() (collection.View, error)
	// Commit makes m and changes durable together, or neither. Changes come
	// in ascending order of bucket and key, each key once. After an error
	// nothing is known of what a crash would keep, so the error is final.
	Commit(m Meta, changes iter.Seq[Change]) error
	// Meta returns what the last commit recorded; the zero Meta before the first.
	Meta() Meta
	// Image returns a stable copy of the last commit's state, for another
	// replica, which the caller closes. A commit never waits for it.
	Image() (*Image, error)
	// Close waits for open views and images.
	Close() error
	// Remove closes the store, of which no view is open, and deletes its file.
	Remove() error
}

// Change is one key's new value; a nil Value deletes the key.
type Change struct {
	Bucket     byte
	Key, Value []byte
}

// keyBytesMax is the longest key bbolt takes.
const keyBytesMax = 32768

// corrupt makes the error that stops a partition. What is wrong stays in the
// log; the caller is told no more than that the data is lost.
func corrupt(format string, args ...any) error {
	return &collection.Error{
		Code:    collection.DataLoss,
		Message: "stored data is corrupt",
		Err:     fmt.Errorf(format, args...),
	}
}

// errClosed is the answer of a closed store.
func errClosed() error {
	return collection.Errorf(collection.Unavailable, "the partition is closed on this node")
}
