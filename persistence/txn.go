package persistence

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/hivehub/waggle/collection"
)

// txn is the collection.Txn of every entry of one Apply: it writes into the
// active delta at once and keeps what is needed to take an entry's changes
// back.
type txn struct {
	p     *Partition
	store collection.View // as of the last checkpoint; opened by the first read that needs it
	err   error           // why the partition must stop
	undo  []undo          // this entry's changes

	// last is, per bucket, the last key looked up below the active delta. The
	// machine reads most keys just before it writes them, and writing needs the
	// old value for the digest.
	last [collection.BucketEnd]item
}

// undo is what the active delta had for a key before a change: an item, or
// nothing.
type undo struct {
	bucket byte
	prev   item
	had    bool
}

// run applies one entry: all of it, or nothing and an error.
func (t *txn) run(e collection.Entry) collection.Outcome {
	p := t.p
	digest := p.digest
	out := p.machine.Apply(t, e)
	if collection.CodeOf(out.Err) == collection.DataLoss {
		_ = t.failed(out.Err)
	}
	if t.err != nil { // whatever the machine made of it
		out.Err = t.err
	}
	if out.Err != nil {
		out.Events = nil
		t.rollback()
		p.digest = digest
	}
	clear(t.undo)
	t.undo = t.undo[:0]
	return out
}

func (t *txn) rollback() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		u := t.undo[i]
		if u.had {
			t.p.active.set(u.bucket, u.prev)
		} else {
			t.p.active.unset(u.bucket, u.prev.key)
		}
	}
}

func (t *txn) close() {
	if t.store != nil {
		t.store.Close()
	}
}

// Get implements collection.Reader.
func (t *txn) Get(bucket byte, key []byte) ([]byte, error) {
	if value, found := t.p.active.find(bucket, key); found {
		return value, nil
	}
	return t.below(bucket, key)
}

// below returns key's value in the layers under the active delta. They do not
// change while entries are applied.
func (t *txn) below(bucket byte, key []byte) ([]byte, error) {
	last := &t.last[bucket]
	if last.key != nil && bytes.Equal(key, last.key) {
		return last.value, nil
	}
	var value []byte
	found := false
	if t.p.frozen != nil {
		value, found = t.p.frozen.get(bucket, key)
	}
	if !found {
		store, err := t.storeView()
		if err != nil {
			return nil, err
		}
		if value, err = store.Get(bucket, key); err != nil {
			return nil, t.failed(err)
		}
	}
	*last = item{append(last.key[:0], key...), value}
	return value, nil
}

// Scan implements collection.Reader. fn must not write.
func (t *txn) Scan(bucket byte, from, to []byte, fn func(key, value []byte) bool) error {
	store, err := t.storeView()
	if err != nil {
		return err
	}
	return t.failed(scanMerged(t.p.active, t.p.frozen, store, bucket, from, to, fn))
}

func (t *txn) storeView() (collection.View, error) {
	if t.store == nil {
		view, err := t.p.base.Load().store.View()
		if err != nil {
			return nil, t.failed(err)
		}
		t.store = view
	}
	return t.store, nil
}

// failed remembers a read's error: an entry decided without its data must not
// take effect, even when the machine overlooks the error.
func (t *txn) failed(err error) error {
	if err != nil && t.err == nil {
		t.err = err
	}
	return err
}

// Put implements collection.Txn.
func (t *txn) Put(bucket byte, key, value []byte) error {
	if len(value) == 0 || len(value) > valueBytesMax-crcBytes {
		panic(fmt.Sprintf("BUG: put of %d bytes, bucket %d key %x", len(value), bucket, key))
	}
	return t.change(bucket, item{key, value})
}

// Delete implements collection.Txn.
func (t *txn) Delete(bucket byte, key []byte) error {
	return t.change(bucket, item{key: key})
}

func (t *txn) change(bucket byte, it item) error {
	if bucket <= collection.BucketMeta || bucket >= collection.BucketEnd || len(it.key) == 0 || len(it.key) > keyBytesMax {
		panic(fmt.Sprintf("BUG: change of bucket %d, key of %d bytes", bucket, len(it.key)))
	}
	isNew := t.newPoint(bucket, it)
	prev, had := t.p.active.set(bucket, it)
	if had {
		t.undo = append(t.undo, undo{bucket, prev, true})
	} else {
		t.undo = append(t.undo, undo{bucket, it, false})
	}
	old := prev.value
	if !had && !isNew {
		var err error
		if old, err = t.below(bucket, it.key); err != nil {
			return err
		}
	}
	if old != nil {
		t.p.digest.sub(bucket, it.key, old)
	}
	if it.value != nil {
		t.p.digest.add(bucket, it.key, it.value)
	}
	return nil
}

// newPoint reports that no layer can hold it's key, which saves the search
// for its old value. A point's key is its collection and its version, and the
// versions of a collection only grow over all of its log, as a StateMachine
// promises: one above a version that was put before was never put. What a
// rollback takes back may be put again, and is then looked for.
func (t *txn) newPoint(bucket byte, it item) bool {
	if bucket != collection.BucketPoints || len(it.key) != 16 || it.value == nil {
		return false
	}
	id, version := binary.BigEndian.Uint64(it.key), binary.BigEndian.Uint64(it.key[8:])
	newest, known := t.p.newest[id]
	if version > newest {
		if len(t.p.newest) >= newestMax {
			clear(t.p.newest)
		}
		t.p.newest[id] = version
	}
	return known && version > newest
}
