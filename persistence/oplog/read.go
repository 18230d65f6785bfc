package oplog

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/hivehub/waggle/tenant"
)

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// read walks the records of a segment up to an end. What it passes to fn is
// valid until fn returns. A file that has been removed has none.
func (s *segment) read(end int, fn func(at int, r record) bool) (err error) {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = slices.Grow((*buf)[:0], end-recordsAt)[:end-recordsAt]
	n, err := f.ReadAt(*buf, recordsAt)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	walk((*buf)[:n], s.base, 0, func(at int, r record) bool { return fn(recordsAt+at, r) })
	return nil
}

// Query returns the rows that q selects, in their order, each once, and whether
// there are more than its limit. What was appended before the call is in it.
func (l *Log) Query(ctx context.Context, q tenant.LogQuery) (rows []tenant.LoggedOperation, more bool, err error) {
	if q.Limit < 1 || q.Limit > tenant.LogPageMax {
		return nil, false, errors.New("a page of the operation log has 1 to 1000 rows")
	}
	done, err := l.turns.take(ctx, q.Tenant)
	if err != nil {
		return nil, false, err
	}
	defer done()
	select {
	case l.readers <- struct{}{}:
		defer func() { <-l.readers }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	best := &nearest{limit: q.Limit + 1}
	for _, s := range l.candidates(&q) {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if best.full() && s.first > best.worst().Time {
			break // and all that follow begin later
		}
		err := s.read(s.end, func(_ int, r record) bool {
			if string(r.tenant()) == string(q.Tenant) && q.Selects(r.kind(), r.key()) {
				best.add(r)
			}
			return true
		})
		if err != nil {
			return nil, false, err
		}
	}
	rows = best.sorted()
	if len(rows) > q.Limit {
		return rows[:q.Limit], true, nil
	}
	return rows, false, nil
}

// turns lets each tenant read once at a time. Those whose turn it is get the
// readers in the order in which they came, so that nobody's queries keep another
// tenant's waiting for more than one of theirs.
type turns struct {
	mu sync.Mutex
	of map[tenant.ID]*turn
}

type turn struct {
	slot  chan struct{}
	users int // that have it or wait for it
}

// take waits for the tenant's turn; done ends it.
func (t *turns) take(ctx context.Context, id tenant.ID) (done func(), err error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = map[tenant.ID]*turn{}
	}
	mine := t.of[id]
	if mine == nil {
		mine = &turn{slot: make(chan struct{}, 1)}
		t.of[id] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.of, id)
		}
	}
	select {
	case mine.slot <- struct{}{}:
		return func() { <-mine.slot; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// candidates are the segments that may have what q asks for, by their first
// row's time, as they are now.
func (l *Log) candidates(q *tenant.LogQuery) (list []segment) {
	l.mu.Lock()
	all := l.mu.segments
	if l.mu.current != nil {
		all = append(all[:len(all):len(all)], l.mu.current)
	}
	for _, s := range all {
		if s.rows > 0 && s.last >= max(q.From, q.After.Time) && (q.To == 0 || s.first < q.To) && s.mayHave(q.Tenant) {
			list = append(list, segment{number: s.number, path: s.path, base: s.base, end: s.end, first: s.first})
		}
	}
	l.mu.Unlock()
	slices.SortStableFunc(list, func(a, b segment) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	return list
}

// nearest keeps the first rows of all that it is given, in their order.
type nearest struct {
	limit int
	rows  []tenant.LoggedOperation
	tidy  int // so many are in their order, each once
}

func (n *nearest) full() bool { return n.tidied() >= n.limit }

func (n *nearest) worst() tenant.LogKey { return n.rows[n.limit-1].LogKey() }

func (n *nearest) add(r record) {
	if n.tidy >= n.limit && r.key().Compare(n.worst()) >= 0 {
		return
	}
	n.rows = append(n.rows, r.row())
	if len(n.rows) >= 4*n.limit+64 {
		n.tidied()
	}
}

// tidied orders the rows and drops those behind the limit.
func (n *nearest) tidied() int {
	if n.tidy < len(n.rows) {
		n.rows = tenant.SortLog(n.rows)
		n.rows = n.rows[:min(len(n.rows), n.limit)]
		n.tidy = len(n.rows)
	}
	return n.tidy
}

func (n *nearest) sorted() []tenant.LoggedOperation {
	n.tidied()
	return n.rows
}
