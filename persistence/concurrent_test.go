package persistence

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// sumMachine keeps, per entry, one key under each of several buckets whose
// values are the entry's index, and deletes those of ten entries ago: a view
// shows whether it is one index, whole.
type sumMachine struct{}

// Apply implements collection.StateMachine.
func (sumMachine) Apply(tx collection.Txn, e collection.Entry) collection.Outcome {
	value := binary.BigEndian.AppendUint64(nil, e.Index)
	if err := tx.Put(collection.BucketCounters, []byte("last"), value); err != nil {
		return collection.Outcome{Err: err}
	}
	if err := tx.Put(collection.BucketPoints, pointKey(1, e.Index<<16), value); err != nil {
		return collection.Outcome{Err: err}
	}
	if e.Index <= 10 {
		return collection.Outcome{}
	}
	return collection.Outcome{Err: tx.Delete(collection.BucketPoints, pointKey(1, (e.Index-10)<<16))}
}

// TestViewsBesideApplyAndCheckpoints takes views on some goroutines while
// another applies and a third writes checkpoints, one after the other.
func TestViewsBesideApplyAndCheckpoints(t *testing.T) {
	p := must(OpenPartition(must(OpenBolt(filepath.Join(t.TempDir(), "p.db")))(t), sumMachine{}, PartitionOptions{}))(t)
	defer mustClose(t, p)
	var done atomic.Bool
	var returned atomic.Uint64 // index of the last Apply that returned
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() {
			for !done.Load() {
				atLeast := returned.Load()
				v, err := p.View()
				if err != nil {
					t.Error(err)
					return
				}
				if v.AppliedIndex() < atLeast {
					t.Errorf("view at %d after %d was applied", v.AppliedIndex(), atLeast)
				}
				checkSum(t, v)
				v.Close()
			}
		})
	}
	written := make(chan *Checkpoint, 1)
	begun := make(chan *Checkpoint, 1)
	workers.Go(func() {
		for c := range begun {
			if err := c.Write(); err != nil {
				t.Error(err)
			}
			written <- c
		}
	})
	finished := 0
	for index := uint64(1); finished < 8 && !t.Failed(); index += 3 {
		p.Apply([]CommittedEntry{{Index: index, Data: []byte{1}}, {Index: index + 1, Data: []byte{1}}, {Index: index + 2, Data: []byte{1}}})
		returned.Store(index + 2)
		select {
		case c := <-written:
			c.Finish()
			finished++
		default:
		}
		if c, ok := p.BeginCheckpoint(); ok {
			begun <- c
		}
	}
	close(begun)
	done.Store(true)
	workers.Wait()
}

func checkSum(t *testing.T, v collection.View) {
	at := v.AppliedIndex()
	if at == 0 {
		return
	}
	last, err := v.Get(collection.BucketCounters, []byte("last"))
	if err != nil || binary.BigEndian.Uint64(last) != at {
		t.Errorf("view at %d: last %x, %v", at, last, err)
	}
	next := uint64(1)
	if at > 10 {
		next = at - 9
	}
	err = v.Scan(collection.BucketPoints, nil, nil, func(key, value []byte) bool {
		if !bytes.Equal(key, pointKey(1, next<<16)) || binary.BigEndian.Uint64(value) != next {
			t.Errorf("view at %d: %x = %x, want %d", at, key, value, next)
			return false
		}
		next++
		return true
	})
	if err != nil || next != at+1 {
		t.Errorf("view at %d: scan ended before %d, %v", at, next, err)
	}
}
