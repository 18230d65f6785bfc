package httpedge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// ledger takes what sightings write.
type ledger struct {
	mu      sync.Mutex
	batches [][]hubsvc.AuthSeen
	err     error
}

func (l *ledger) record(_ context.Context, rows []hubsvc.AuthSeen) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.batches = append(l.batches, rows)
	}
	return l.err
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// rows takes everything written so far.
func (l *ledger) rows() (all []hubsvc.AuthSeen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all = slices.Concat(l.batches...)
	l.batches = nil
	return all
}

func sightingsRig(t *testing.T) (*sightings, *ledger, func(key string, from netip.Addr)) {
	l := &ledger{}
	s := newSightings(l.record, slog.New(slog.DiscardHandler))
	s.run()
	t.Cleanup(func() { s.stop(context.Background()) })
	return s, l, func(key string, from netip.Addr) {
		s.success(&tenant.Context{TenantID: "acme", KeyID: tenant.KeyID(key), ValidatedAt: time.Now()}, from)
	}
}

func TestSightings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, good := sightingsRig(t)
		a, b := address(t, "192.0.2.7"), address(t, "192.0.2.8")
		for range 3 {
			good("k1", a)
		}
		good("k1", b)
		good("k2", a)
		for range 4 {
			s.refusal(sight{from: a, prefix: "hh_live_abcd", reason: "AUTH_INVALID_KEY"})
			pass(time.Second)
		}
		if rows := l.rows(); rows != nil {
			t.Errorf("written before their time: %+v", rows)
		}
		pass(sightingsFlush + time.Second)
		rows := l.rows()
		var texts []string
		for _, r := range rows {
			texts = append(texts, fmt.Sprintf("%s %s %s %s %q %d %v", r.Tenant, r.KeyID, r.KeyPrefix, r.Address, r.Reason, r.Count, r.Last-r.First))
		}
		slices.Sort(texts)
		want := []string{`  hh_live_abcd 192.0.2.7 "AUTH_INVALID_KEY" 4 3000`, `acme k1  192.0.2.7 "" 1 0`, `acme k1  192.0.2.8 "" 1 0`, `acme k2  192.0.2.7 "" 1 0`}
		if !slices.Equal(texts, want) {
			t.Errorf("got %q\nwant %q", texts, want)
		}
		pass(10 * time.Minute)
		good("k1", a)
		pass(sightingsFlush + time.Second)
		if rows := l.rows(); rows != nil {
			t.Errorf("a second time in an hour: %+v", rows)
		}
		pass(time.Hour)
		good("k1", a)
		pass(sightingsFlush + time.Second)
		if rows := l.rows(); len(rows) != 1 {
			t.Errorf("in the next hour: %+v", rows)
		}
	})
}

// What the hub cannot take now waits, in bounded memory, and counts stay exact.
func TestSightingsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, good := sightingsRig(t)
		l.fail(errors.New("nobody leads"))
		a := address(t, "192.0.2.7")
		for i := range 1000 {
			for range 2 {
				s.refusal(sight{from: a, prefix: fmt.Sprintf("hh_live_%04d", i), reason: "AUTH_INVALID_KEY"})
			}
			good(fmt.Sprint(i), a)
			pass(100 * time.Millisecond)
		}
		s.mu.Lock()
		n := len(s.mu.successes) + len(s.mu.refusals) + len(s.mu.beyond)
		s.mu.Unlock()
		if n > 2*(refusalsOnce+successesOnce) {
			t.Errorf("%d rows wait", n)
		}
		l.fail(nil)
		for i := range 2000 { // every key comes again
			good(fmt.Sprint(i%1000), a)
			pass(100 * time.Millisecond)
		}
		pass(3 * sightingsFlush)
		refused, keys := 0, map[tenant.KeyID]int{}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, batch := range l.batches {
			if len(batch) > hubsvc.AuthSeenMax {
				t.Errorf("%d rows in one batch", len(batch))
			}
			for _, r := range batch {
				if r.Count == 0 || r.Last < r.First {
					t.Errorf("%+v", r)
				}
				if r.Reason != "" {
					refused += int(r.Count)
				} else {
					keys[r.KeyID] += int(r.Count)
				}
			}
		}
		if refused != 2000 || len(keys) != 1000 {
			t.Errorf("%d refusals of 2000, %d keys of 1000", refused, len(keys))
		}
		for k, n := range keys {
			if n != 1 {
				t.Errorf("key %s is there %d times", k, n)
			}
		}
	})
}

// A flood of wrong keys from everywhere writes a bounded number of rows.
func TestSightingsOfAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := sightingsRig(t)
		for i := range 100_000 {
			s.refusal(sight{from: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), reason: "AUTH_INVALID_KEY"})
		}
		pass(sightingsFlush + time.Second)
		rows, sum := l.rows(), 0
		for _, r := range rows {
			sum += int(r.Count)
		}
		if len(rows) != refusalsOnce+1 || sum != 100_000 {
			t.Errorf("%d rows, %d refusals", len(rows), sum)
		}
	})
}

// What the edge writes into the audit log has the prefix of a key at most, and
// nothing of what is no key.
func TestAuditOfKeys(t *testing.T) {
	l := &ledger{}
	e := newEdge(t, func(o *Options) { o.RecordAuth, o.Limits.AuthFailures = l.record, 3 })
	unknown := "hh_live_abcdefghijklmnopqrstuvwxyz0123456789"
	for _, key := range []string{unknown, "my password", unknown, unknown, unknown} {
		e.send("GET", e.qdrant+"/collections", key, "")
	}
	e.send("GET", e.qdrant+"/collections", e.keys["READ_ONLY"], "").is(200, "")
	e.send("GET", e.qdrant+"/collections", e.narrowed(tenant.ReadOnly, nil, []string{"192.0.2.1"}), "").is(403, "")
	e.door.sightings.flush(t.Context())
	rows := l.rows()
	var texts []string
	for _, r := range rows {
		texts = append(texts, fmt.Sprintf("%s %v %q %s %q %d", r.Tenant, r.KeyID != "", r.KeyPrefix, r.Address, r.Reason, r.Count))
	}
	slices.Sort(texts)
	want := []string{
		` false "" 127.0.0.1 "AUTH_INVALID_FORMAT" 1`,
		` false "" 127.0.0.1 "AUTH_RATE_LIMIT" 2`,
		` false "hh_live_abcd" 127.0.0.1 "AUTH_INVALID_KEY" 2`,
		string(e.tenant) + ` true "" 127.0.0.1 "" 1`,
		string(e.tenant) + ` true "" 127.0.0.1 "FORBIDDEN" 1`,
	}
	slices.Sort(want)
	if !slices.Equal(texts, want) {
		t.Errorf("got %q\nwant %q", texts, want)
	}
	if err := e.hub.(*hubsvc.Embedded).RecordAuth(t.Context(), rows); err != nil {
		t.Errorf("the hub does not take them: %v", err)
	}
	if b := fmt.Append(nil, rows); bytes.Contains(b, []byte("password")) || strings.Contains(string(b), unknown[:13]) {
		t.Errorf("%s", b)
	}
}
