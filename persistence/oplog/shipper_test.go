package oplog

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

var errMalformed = errors.New("malformed")

// fakeHub takes rows as a test wants it.
type fakeHub struct {
	mu     sync.Mutex
	before func(rows []tenant.OperationLog) error // before it takes them
	after  func() error                           // after: a reply that is lost
	got    []string                               // ids, each once, in the order of their first coming
	seen   map[string]int
	calls  int
	most   int
}

func (h *fakeHub) SendLogs(ctx context.Context, service string, rows []tenant.OperationLog) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.most = max(h.most, len(rows))
	if service != "node" {
		return errors.New("who is that")
	}
	if h.before != nil {
		if err := h.before(rows); err != nil {
			return err
		}
	}
	if h.seen == nil {
		h.seen = map[string]int{}
	}
	for _, e := range rows {
		if h.seen[e.OperationID]++; h.seen[e.OperationID] == 1 {
			h.got = append(h.got, e.OperationID)
		}
	}
	if h.after != nil {
		return h.after()
	}
	return nil
}

func (h *fakeHub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.got)
}

func ship(t *testing.T, l *Log, h *fakeHub) *Shipper {
	t.Helper()
	s := StartShipper(ShipperOptions{
		Log: l, Sink: h, Service: "node", Every: time.Millisecond, PauseMin: time.Microsecond, PauseMax: time.Millisecond,
		Refused: func(err error) bool { return errors.Is(err, errMalformed) },
	})
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

// ids are those of tenants' rows, in their order.
func ids(from, to int) (list []string) {
	for i := from; i < to; i++ {
		o := row("t_a", i)
		list = append(list, o.Entry().OperationID)
	}
	return list
}

func fillLog(l *Log, from, to int) {
	for i := from; i < to; i++ {
		o := row("t_a", i)
		_ = l.keep(context.Background(), &o)
		if i%10 == 0 {
			o = row("", i) // the operator's: nobody else's business
			_ = l.keep(context.Background(), &o)
		}
	}
}

// TestShipped: a hub that fails, loses replies and is slow has every row in
// the end, in order, and never more than a batch at a time.
func TestShipped(t *testing.T) {
	l := open(t, Options{Outbox: true, segmentBytes: 512 << 10})
	r := rand.New(rand.NewPCG(3, 4))
	h := &fakeHub{}
	h.before = func([]tenant.OperationLog) error {
		if r.IntN(3) == 0 {
			return errors.New("away")
		}
		return nil
	}
	h.after = func() error {
		if r.IntN(3) == 0 {
			return context.DeadlineExceeded // it has them, and nobody knows
		}
		return nil
	}
	ship(t, l, h)
	const n = 5000
	fillLog(l, 0, n)
	await(t, func() bool { return l.Stats().Waiting == 0 })
	if h.most > tenant.LogBatchMax || !slices.Equal(h.got, ids(0, n)) {
		t.Errorf("%d rows, %d at a time", len(h.got), h.most)
	}
	if s := l.Stats(); s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

// TestShippedAcrossStarts: the position survives, so what the hub has is sent
// again at most as far as its last answer was lost.
func TestShippedAcrossStarts(t *testing.T) {
	dir := t.TempDir()
	h := &fakeHub{}
	from := 0
	for range 4 {
		l := open(t, Options{Dir: dir, Outbox: true})
		s := ship(t, l, h)
		fillLog(l, from, from+700)
		from += 700
		await(t, func() bool { return h.count() > from-600 })
		s.Stop(t.Context())
		stop(t, l)
	}
	l := open(t, Options{Dir: dir, Outbox: true})
	if w := l.Stats().Waiting; w != 0 {
		t.Errorf("%d wait after all was sent", w)
	}
	for id, n := range h.seen {
		if n > 1 {
			t.Fatalf("%s was sent %d times to a hub that always answered", id, n)
		}
	}
	if !slices.Equal(h.got, ids(0, from)) {
		t.Errorf("%d rows of %d", len(h.got), from)
	}
}

// TestKilledWhileShipping copies the directory around every step of an
// acceptance: whoever goes on from there sends every row that the hub does not
// have, and the ones in doubt again.
func TestKilledWhileShipping(t *testing.T) {
	dir := t.TempDir()
	var images []string
	var accepted []int
	h := &fakeHub{}
	var l *Log
	step := func(what string) {
		if what == "accept" || what == "accepted" {
			images = append(images, copyDir(t, dir))
			accepted = append(accepted, h.count())
		}
	}
	l = open(t, Options{Dir: dir, Outbox: true, step: step, segmentBytes: 512 << 10})
	fillLog(l, 0, 3000)
	s := ship(t, l, h)
	await(t, func() bool { return l.Stats().Waiting == 0 })
	s.Stop(t.Context())
	stop(t, l)
	if len(images) < 6 {
		t.Fatalf("%d images", len(images))
	}
	for i, dir := range images {
		next := &fakeHub{}
		l := open(t, Options{Dir: dir, Outbox: true})
		s := ship(t, l, next)
		await(t, func() bool { return l.Stats().Waiting == 0 })
		s.Stop(t.Context())
		stop(t, l)
		first := 3000 - len(next.got)
		if first > accepted[i] || first < accepted[i]-tenant.LogBatchMax || !slices.Equal(next.got, ids(first, 3000)) {
			t.Errorf("image %d: the hub had %d rows, and then got those from %d on", i, accepted[i], first)
		}
	}
}

// TestRefusedRows: a row that the hub never takes goes alone, and is counted,
// also after the next start.
func TestRefusedRows(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, Outbox: true})
	bad := ids(137, 138)[0]
	h := &fakeHub{before: func(rows []tenant.OperationLog) error {
		if slices.ContainsFunc(rows, func(e tenant.OperationLog) bool { return e.OperationID == bad }) {
			return errMalformed
		}
		return nil
	}}
	s := ship(t, l, h)
	fillLog(l, 0, 1500)
	await(t, func() bool { return l.Stats().Waiting == 0 })
	if got := l.Stats().Dropped; got != 1 || h.count() != 1499 || slices.Contains(h.got, bad) {
		t.Errorf("%d dropped, the hub has %d", got, h.count())
	}
	s.Stop(t.Context())
	stop(t, l)
	if l = open(t, Options{Dir: dir, Outbox: true}); l.Stats().Dropped != 1 {
		t.Errorf("%+v", l.Stats())
	}
}

// TestBoundedOutbox: with the hub away the files stay within their bound, and
// each row that has gone is counted: sent and dropped are all there were.
func TestBoundedOutbox(t *testing.T) {
	l := open(t, Options{Outbox: true, BytesMax: 512 << 10, SyncEvery: time.Millisecond})
	var mu sync.Mutex
	away := true
	h := &fakeHub{before: func([]tenant.OperationLog) error {
		mu.Lock()
		defer mu.Unlock()
		if away {
			return errors.New("away")
		}
		return nil
	}}
	s := ship(t, l, h)
	const n = 10_000
	for i := 0; i < n; i += 250 {
		fillLog(l, i, i+250)
		await(t, func() bool { return l.Stats().Bytes <= 512<<10 })
	}
	if st := l.Stats(); st.Dropped == 0 || st.Dropped+uint64(st.Waiting) != n {
		t.Errorf("%+v", st)
	}
	mu.Lock()
	away = false
	mu.Unlock()
	await(t, func() bool { return l.Stats().Waiting == 0 })
	s.Stop(t.Context())
	if st := l.Stats(); st.Dropped+uint64(h.count()) != n || !slices.IsSorted(h.got) || h.got[len(h.got)-1] != ids(n-1, n)[0] {
		t.Errorf("%+v, the hub has %d", st, h.count())
	}
}

// TestClockAhead: a row from a time when the clock here was wrong goes alone;
// the hub is never asked about it.
func TestClockAhead(t *testing.T) {
	l := open(t, Options{Outbox: true})
	o := row("t_a", 9)
	o.Time = time.Now().Add(48 * time.Hour).UnixMilli()
	keep(t, l, &o)
	fillLog(l, 10, 20)
	h := &fakeHub{before: func(rows []tenant.OperationLog) error {
		if slices.ContainsFunc(rows, func(e tenant.OperationLog) bool { return e.Timestamp == o.Time }) {
			return errors.New("FAILED_PRECONDITION") // it is, and stays so
		}
		return nil
	}}
	ship(t, l, h)
	await(t, func() bool { return l.Stats().Waiting == 0 })
	if s := l.Stats(); s.Dropped != 1 || !slices.Equal(h.got, ids(10, 20)) {
		t.Errorf("%+v, %d rows", s, h.count())
	}
}
