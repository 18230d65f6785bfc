package nodelog

import (
	"errors"
	"fmt"
	"io/fs"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Entries returns the entries from lo to hi-1, or the first of them whose
// sizes add up to at most maxBytes, but at least one; an entry counts as on the
// disk, which is a little more than raft counts. It is raft.ErrCompacted
// when lo is before FirstIndex and raft.ErrUnavailable when hi-1 is after
// LastIndex. The slice is the caller's, the entries are shared: they must not
// be changed. Damaged entries stop the group.
func (g *Group) Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	spans, recent, err := g.find(lo, hi, maxBytes)
	if err != nil {
		return nil, err
	}
	w := wanted{group: g.id, next: lo, hi: hi, budget: maxBytes}
	for i := range spans {
		if err := w.read(&spans[i]); err != nil {
			return nil, g.readFailed(lo, err)
		}
	}
	for _, e := range recent {
		w.take(e)
	}
	return w.entries, nil
}

// span is a run and its last entry that was not overwritten.
type span struct {
	run
	last uint64
}

// find returns where the entries are: first on the disk, in no more places
// than maxBytes needs, and then in memory.
func (g *Group) find(lo, hi, maxBytes uint64) (spans []span, recent []*raftpb.Entry, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	switch {
	case g.mu.err != nil:
		return nil, nil, g.mu.err
	case lo <= g.mu.start.Index:
		return nil, nil, raft.ErrCompacted
	case lo > hi || hi > g.mu.last.Index+1:
		return nil, nil, raft.ErrUnavailable
	}
	first := g.mu.last.Index + 1
	if len(g.mu.recent) > 0 {
		first = g.mu.recent[0].GetIndex()
	}
	if from := max(lo, first); from < hi {
		recent = append(recent, g.mu.recent[from-first:hi-first]...)
	}
	bytes := uint64(0)
	for k := g.runOf(lo); lo < min(first, hi) && bytes <= maxBytes; k++ {
		s := span{g.mu.runs[k], g.endOf(k)}
		spans = append(spans, s)
		if len(spans) > 1 { // what of the first one is before lo is not known
			bytes += uint64(s.bytes)
		}
		lo = s.last + 1
	}
	return spans, recent, nil
}

// wanted gathers entries up to a bound.
type wanted struct {
	group    uint64
	next, hi uint64 // still wanted
	budget   uint64
	entries  []*raftpb.Entry
}

// take adds e when it is the next one and fits.
func (w *wanted) take(e *raftpb.Entry) {
	if e.GetIndex() != w.next || w.next >= w.hi {
		return
	}
	size := recordBytes + uint64(len(e.Data))
	if len(w.entries) > 0 && size > w.budget {
		w.hi = w.next
		return
	}
	w.budget -= min(size, w.budget)
	w.entries = append(w.entries, e)
	w.next++
}

// stored is an entry from the disk, in one piece.
type stored struct {
	entry       raftpb.Entry
	index, term uint64
	entryType   raftpb.EntryType
}

// read takes what is wanted of a span.
func (w *wanted) read(r *span) error {
	b := make([]byte, r.bytes)
	if _, err := r.segment.file.ReadAt(b, r.offset); err != nil {
		return err
	}
	for index := r.Index; index <= r.last && w.next < w.hi; index++ {
		rec, err := decodeRecord(b)
		if err == nil && (rec.kind != kindEntry || rec.group != w.group || rec.Position != Position{index, r.Term}) {
			err = errRecord
		}
		if err != nil {
			return fmt.Errorf("entry %d in segment %x: %w", index, r.segment.number, err)
		}
		b = b[rec.size():]
		if index != w.next {
			continue
		}
		s := &stored{index: rec.Index, term: rec.Term, entryType: raftpb.EntryType(rec.entryType)}
		s.entry.Index, s.entry.Term, s.entry.Type = &s.index, &s.term, &s.entryType
		if len(rec.data) > 0 {
			s.entry.Data = rec.data
		}
		w.take(&s.entry)
	}
	return nil
}

// readFailed turns an error of reading the entry lo into what it means.
func (g *Group) readFailed(lo uint64, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if lo <= g.mu.start.Index {
		return raft.ErrCompacted // its segment was removed meanwhile
	}
	if errors.Is(err, fs.ErrClosed) {
		return ErrClosed
	}
	if g.mu.err == nil {
		g.mu.err = dataLoss(err)
	}
	return g.mu.err
}
