package oplog

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// TestNumbersGoOn: the rows of a log whose files have all gone of age go to the
// hub like any others: no file is numbered as if they had been sent.
func TestNumbersGoOn(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	options := Options{Dir: dir, Outbox: true, AgeMax: time.Hour, SyncEvery: time.Millisecond, now: clock}
	h := &fakeHub{}
	from := 0
	for range 3 {
		l := open(t, options)
		s := ship(t, l, h)
		fillLog(l, from, from+50)
		from += 50
		await(t, func() bool { return l.Stats().Waiting == 0 })
		s.Stop(t.Context())
		stop(t, l)
	}
	mu.Lock()
	now = now.Add(2 * time.Hour)
	mu.Unlock()
	stop(t, open(t, options)) // everything goes
	l := open(t, options)
	fillLog(l, from, from+50)
	if w := l.Stats().Waiting; w != 50 {
		t.Errorf("%d rows wait, want 50", w)
	}
	s := ship(t, l, h)
	await(t, func() bool { return l.Stats().Waiting == 0 })
	s.Stop(t.Context())
	if st := l.Stats(); st.Dropped != 0 || !slices.Equal(h.got, ids(0, from+50)) {
		t.Errorf("the hub has %d rows of %d, %+v", len(h.got), from+50, st)
	}
}

// TestAnotherHub: a hub gets no row from before it was the node's hub, also when
// it was so once before; and each that is its own once.
func TestAnotherHub(t *testing.T) {
	dir := t.TempDir()
	from := 0
	for i, c := range []struct {
		hub  string // "": none
		send bool   // it gets the rows
	}{
		{"", false},
		{"https://a.example", true},
		{"https://a.example", false},
		{"https://a.example", true}, // also those of the time before
		{"https://a.example", false},
		{"https://b.example", true},
		{"", false},
		{"https://b.example", true},
	} {
		l := open(t, Options{Dir: dir, Outbox: c.hub != "", Hub: c.hub})
		fillLog(l, from, from+50)
		from += 50
		want := ids(from-50, from)
		if i == 3 {
			want = ids(from-100, from)
		}
		if w := l.Stats().Waiting; c.hub != "" && w != int64(len(want)) {
			t.Errorf("%d, %s: %d rows wait, want %d", i, c.hub, w, len(want))
		}
		if c.send {
			h := &fakeHub{}
			s := ship(t, l, h)
			await(t, func() bool { return l.Stats().Waiting == 0 })
			s.Stop(t.Context())
			if !slices.Equal(h.got, want) {
				t.Errorf("%d: %s got %d rows, want %d", i, c.hub, len(h.got), len(want))
			}
		}
		stop(t, l)
	}
}
