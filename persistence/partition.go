package persistence

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hivehub/waggle/collection"
)

// CommittedEntry is one entry of the log that a majority has.
type CommittedEntry struct {
	Index, Term uint64
	Data        []byte // for the state machine; empty = a new leader's no-op
	ConfState   []byte // of a configuration change: the marshalled state after it
}

// PartitionOptions is what a partition is opened with.
type PartitionOptions struct {
	// Start is where a newborn partition begins: its log's position and first
	// configuration. It becomes the first commit of a store that has none, and
	// is ignored by any other.
	Start Meta
}

// Partition is one replica's state: what its log entries made of an empty
// store. One goroutine calls Apply, BeginCheckpoint, Finish and SwitchStore;
// one, perhaps another, writes the checkpoint; any goroutine may call the rest.
type Partition struct {
	base    atomic.Pointer[base] // replaced by SwitchStore, under mu
	machine collection.StateMachine

	deltaBytes atomic.Int64
	imaging    atomic.Bool // an image is open

	// published is a view's delta, or nil when the next view has to make it:
	// a copy is cheap, but the writes after it pay for the nodes it shares.
	published atomic.Pointer[snapshot]

	mu     sync.Mutex // held through Apply
	active *delta
	frozen *delta // nil = no checkpoint runs
	meta   Meta   // as of active; Digest is kept in digest
	digest digest
	sinks  map[uint64]Sink
	newest map[uint64]uint64 // by collection, the newest version put since the start; see newPoint
}

// newestMax bounds newest; past it, it begins anew.
const newestMax = 10_000

// OpenPartition makes a partition of what is in store, which it owns from then
// on; after an error it is still the caller's. The caller goes on with the log
// after Applied, and refuses a log that begins later than that.
func OpenPartition(store Store, m collection.StateMachine, o PartitionOptions) (*Partition, error) {
	if o.Start.Applied > 0 && store.Meta().Applied == 0 {
		if err := store.Commit(o.Start, func(func(Change) bool) {}); err != nil {
			return nil, fmt.Errorf("start partition: %w", err)
		}
	}
	meta := store.Meta()
	p := &Partition{
		machine: m,
		active:  new(delta),
		meta:    meta,
		digest:  digestOf(meta.Digest),
		sinks:   map[uint64]Sink{},
		newest:  map[uint64]uint64{},
	}
	p.base.Store(newBase(store))
	return p, nil
}

// Apply runs the state machine on entries, in order, and returns an outcome
// for each. An entry at or below Applied is skipped and its outcome is empty:
// nothing is ever applied twice. When an entry cannot be decided because a
// read failed, it and all after it get that error (DataLoss, as a rule), and
// the state stays what it was before it.
func (p *Partition) Apply(entries []CommittedEntry) []collection.Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	tx := txn{p: p}
	defer tx.close()
	outcomes := make([]collection.Outcome, len(entries))
	for i, e := range entries {
		outcomes[i] = p.applyOne(&tx, e)
	}
	p.deltaBytes.Store(p.bytes())
	p.publish()
	p.deliver(entries, outcomes)
	return outcomes
}

func (p *Partition) applyOne(tx *txn, e CommittedEntry) collection.Outcome {
	if err := p.Err(); err != nil {
		return collection.Outcome{Err: err}
	}
	if e.Index <= p.meta.Applied {
		return collection.Outcome{}
	}
	if e.Index != p.meta.Applied+1 {
		panic(fmt.Sprintf("BUG: entry %d applied after %d", e.Index, p.meta.Applied))
	}
	var out collection.Outcome
	switch {
	case e.ConfState != nil:
		p.meta.ConfState = e.ConfState
	case len(e.Data) > 0:
		out = tx.run(collection.Entry{Index: e.Index, Data: e.Data})
		if err := tx.err; err != nil {
			p.base.Load().stop(err)
			return out
		}
	}
	p.meta.Applied, p.meta.Term = e.Index, e.Term
	return out
}

// Applied returns the index and the term of the last entry applied.
func (p *Partition) Applied() (index, term uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.meta.Applied, p.meta.Term
}

// Stored returns what the store holds: the state as of the last checkpoint.
func (p *Partition) Stored() Meta { return p.base.Load().store.Meta() }

// ConfState returns the group's configuration as of Applied, marshalled, or
// nil when no entry and no start has set one. It must not be changed.
func (p *Partition) ConfState() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.meta.ConfState
}

// Digest returns the digest of the state as of Applied. Replicas that applied
// the same entries have the same digest.
func (p *Partition) Digest() [16]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digest.bytes()
}

// Recount reads the whole state and adds its digest up anew. One that differs
// from the digest kept by apply is DataLoss: bytes have changed or vanished
// underneath, in a way that no checksum of a single value shows.
func (p *Partition) Recount() ([16]byte, error) {
	view, err := p.view()
	if err != nil {
		return [16]byte{}, err
	}
	defer view.Close()
	var sum digest
	for b := collection.BucketMeta + 1; b < collection.BucketEnd; b++ {
		err := view.Scan(b, nil, nil, func(key, value []byte) bool {
			sum.add(b, key, value)
			return true
		})
		if err != nil {
			return [16]byte{}, err
		}
	}
	if kept := view.delta.digest; sum != kept {
		return sum.bytes(), view.base.fail(corrupt("digest %x at %d, recounted %x", kept.bytes(), view.delta.applied, sum.bytes()))
	}
	return sum.bytes(), nil
}

// DeltaBytes returns what the delta holds in memory, a running checkpoint's
// share included. It costs nothing.
func (p *Partition) DeltaBytes() int64 { return p.deltaBytes.Load() }

func (p *Partition) bytes() int64 {
	n := p.active.bytes
	if p.frozen != nil {
		n += p.frozen.bytes
	}
	return n
}

// Err returns the error that stopped the partition, or nil: DataLoss, once
// anything has met corrupt bytes. Apply and View return it too.
func (p *Partition) Err() error { return p.base.Load().Err() }

// Close closes the store; it waits for open views and an open image. What is
// only in the delta is in the log.
func (p *Partition) Close() error { return p.base.Load().store.Close() }
