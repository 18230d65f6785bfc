package grains_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence/tally"
	"github.com/hivehub/waggle/tenant"
)

// unsteady is a hub that is often away, and whose answers are often lost.
type unsteady struct {
	hub  *hubsvc.Embedded
	rng  *rand.Rand
	fail atomic.Bool
}

func (u *unsteady) ReportUsage(ctx context.Context, reports []tenant.UsageReport) error {
	n := u.rng.IntN(4)
	if !u.fail.Load() {
		n = 3
	}
	if n == 0 {
		return &hubsvc.Error{Code: hubsvc.CodeUnavailable, Message: "away"}
	}
	err := u.hub.ReportUsage(ctx, reports)
	if n == 1 {
		return errors.Join(err, context.DeadlineExceeded)
	}
	return err
}

// newMeteredKit is a kit that counts, for a tenant of its hub.
func newMeteredKit(t *testing.T) (*kit, *tally.Tally) {
	counts, err := tally.Open(filepath.Join(t.TempDir(), "tally"), tally.Slots, 1)
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t, kitOptions{grains: grains.Options{Tally: counts}})
	k.newTenant(t, "metered")
	return k, counts
}

func (k *kit) reporter(counts *tally.Tally, sink grains.UsageSink, every time.Duration) *grains.Reporter {
	return grains.StartReporter(grains.ReporterOptions{
		Client: k.client, Tally: counts, Sink: sink, Interval: every, Logger: slog.New(slog.DiscardHandler),
		Cluster: func() string { c, _ := k.Embedded.Cluster(); return c.ID.String() },
	})
}

// TestUsageIsReported: what was written, deleted, read and searched is in the
// hub's ledger, once, although the hub is often away and its answers are lost;
// and what is stored by the ledger's account is what is stored.
func TestUsageIsReported(t *testing.T) {
	k, counts := newMeteredKit(t)
	sink := &unsteady{hub: k.Embedded, rng: rand.New(rand.NewPCG(1, 2))}
	sink.fail.Store(true)
	r := k.reporter(counts, sink, time.Nanosecond) // at every turn
	ctx := t.Context()
	k.create(t, "kept", 2)
	k.create(t, "gone", 2)
	began := time.Now()
	inserted, searches := uint64(0), uint64(0)
	for i := uint64(1); time.Since(began) < 3*time.Second; i++ {
		for _, name := range []string{"kept", "gone"} {
			if err := k.upsert(ctx, name, point(i), point(i+1)); err != nil {
				t.Fatal(err)
			}
			if _, err := k.nearest(ctx, name, float32(i), 2, nil); err != nil {
				t.Fatal(err)
			}
			inserted, searches = i+1, searches+1
		}
		counts.Add(k.tenant.TenantID, 0, tally.Counts{Requests: 4})
	}
	if _, err := k.client.DeleteCollection(ctx, k.tenant, "gone", collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	sink.fail.Store(false)
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	stored, err := k.client.TenantUsage(ctx, k.tenant.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Embedded.UsageStatistics(ctx, k.tenant.TenantID, hubsvc.UsageQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	u := s.Total
	if u.VectorsInserted != 2*inserted || u.VectorsDeleted != inserted || u.CollectionsCreated != 2 || u.CollectionsDeleted != 1 {
		t.Errorf("inserted %d of each: %+v", inserted, u)
	}
	if u.VectorCount != stored.Points || u.StorageBytes != stored.Bytes || u.StorageAdded-u.StorageFreed != stored.Bytes {
		t.Errorf("stored are %+v, the ledger has %+v", stored, u)
	}
	if u.SearchCount != searches || u.APIRequests != 2*searches || u.VectorsScanned == 0 {
		t.Errorf("%d searches: %+v", searches, u)
	}
	if got := r.Stats(); got.Sent < 4 || got.Waiting != 0 || !got.Since.IsZero() {
		t.Errorf("%+v", got)
	}
}

// TestReportWaits: what the hub does not take at Stop is there for the next
// Reporter, and the hub gets it once.
func TestReportWaits(t *testing.T) {
	k, counts := newMeteredKit(t)
	k.create(t, "c", 2)
	if err := k.upsert(t.Context(), "c", point(1)); err != nil {
		t.Fatal(err)
	}
	counts.Add(k.tenant.TenantID, 0, tally.Counts{Requests: 7})
	never := sinkFunc(func(ctx context.Context, _ []tenant.UsageReport) error {
		<-ctx.Done()
		return ctx.Err()
	})
	r := k.reporter(counts, never, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if got := r.Stats(); got.Waiting == 0 || got.Since.IsZero() || got.Sent != 0 {
		t.Errorf("%+v", got)
	}
	if err := k.reporter(counts, k.Embedded, time.Hour).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := k.Embedded.UsageStatistics(t.Context(), k.tenant.TenantID, hubsvc.UsageQuery{})
	if err != nil || s.Total.APIRequests != 7 || s.Total.VectorsInserted != 1 {
		t.Errorf("%+v, %v", s.Total, err)
	}
}

type sinkFunc func(ctx context.Context, reports []tenant.UsageReport) error

func (f sinkFunc) ReportUsage(ctx context.Context, reports []tenant.UsageReport) error {
	return f(ctx, reports)
}

// TestRefusedReport: what is wrong with one source keeps no other one waiting.
func TestRefusedReport(t *testing.T) {
	k, counts := newMeteredKit(t)
	k.create(t, "c", 2)
	counts.Add(k.tenant.TenantID, 0, tally.Counts{Requests: 7})
	picky := sinkFunc(func(ctx context.Context, reports []tenant.UsageReport) error {
		for _, r := range reports {
			if r.Source[0] == 'n' {
				return &hubsvc.Error{Code: hubsvc.CodeFailedPrecondition, Message: "no"}
			}
		}
		return k.Embedded.ReportUsage(ctx, reports)
	})
	r := k.reporter(counts, picky, time.Hour)
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.Stats(); got.Sent != 1 || got.Waiting != 1 {
		t.Errorf("%+v", got)
	}
}

// TestRefusedForGood: a report that the hub refuses for what is in it is given up
// after a while, so that the next one of its source arrives; one for which the
// hub has no room, or no time, never is.
func TestRefusedForGood(t *testing.T) {
	for _, c := range []struct {
		refusal error
		lost    bool
	}{
		{&hubsvc.Error{Code: hubsvc.CodeFailedPrecondition, Message: "other content"}, true},
		{&hubsvc.Error{Code: hubsvc.CodeInvalidRequest, Message: "no"}, true},
		{&hubsvc.Error{Code: hubsvc.CodeQuotaExceeded, Message: "no room"}, false},
		{&hubsvc.Error{Code: hubsvc.CodeUnavailable, Message: "away"}, false},
		{errors.New("a proxy's page"), false},
		{context.DeadlineExceeded, false},
	} {
		t.Run(c.refusal.Error(), func(t *testing.T) {
			t.Parallel()
			k, counts := newMeteredKit(t)
			counts.Add(k.tenant.TenantID, 0, tally.Counts{Requests: 7})
			tries, next := 0, make(chan struct{})
			var once sync.Once
			picky := sinkFunc(func(_ context.Context, reports []tenant.UsageReport) error {
				if reports[0].Sequence > 1 || tries == 3 {
					once.Do(func() { close(next) })
					return errors.New("enough")
				}
				if tries++; tries == 2 {
					counts.Add(k.tenant.TenantID, 0, tally.Counts{Requests: 1})
				}
				return c.refusal
			})
			r := grains.StartReporter(grains.ReporterOptions{
				Client: k.client, Tally: counts, Sink: picky, Interval: time.Nanosecond, DropAfter: time.Nanosecond,
				Logger: slog.New(slog.DiscardHandler), Cluster: func() string { return "c" },
			})
			select {
			case <-next:
			case <-time.After(time.Minute):
				t.Error("it is not tried again")
			}
			got := r.Stats().Refused
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := r.Stop(ctx); err != nil {
				t.Error(err)
			}
			if (got == 1) != c.lost || (counts.Waiting()[0].Sequence > 1) != c.lost {
				t.Errorf("%d were given up, after %d tries", got, tries)
			}
		})
	}
}

// TestFlushWithSlowHub: what was read is on the disk every second, however slow the hub is.
func TestFlushWithSlowHub(t *testing.T) {
	k, counts := newMeteredKit(t)
	counts.Add(k.tenant.TenantID, 0, tally.Counts{Requests: 7})
	asked := make(chan struct{})
	var once sync.Once
	slow := sinkFunc(func(ctx context.Context, _ []tenant.UsageReport) error {
		once.Do(func() { close(asked) })
		<-ctx.Done()
		return ctx.Err()
	})
	r := k.reporter(counts, slow, time.Nanosecond)
	<-asked
	before, late := r.Stats().Flushes, time.After(6*time.Second) // less than a call may take
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for r.Stats().Flushes < before+2 {
		select {
		case <-look.C:
		case <-late:
			t.Fatal("nothing is flushed while the hub thinks")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestSearchesAreCounted: one query is one search, whatever its prefetches; its
// cost is what was compared and read. Listing is none.
func TestSearchesAreCounted(t *testing.T) {
	k, counts := newMeteredKit(t)
	k.create(t, "c", 2)
	ctx := t.Context()
	for i := range uint64(100) {
		if err := k.upsert(ctx, "c", point(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	near := &collection.Input{Dense: []float32{1, 0}}
	all := collection.VectorSelector{All: true}
	for _, c := range []struct {
		what  string
		do    func() error
		want  tally.Counts
		least bool // Bytes are at least so many
	}{
		{"a search", k.query("c", collection.Query{Nearest: near, Limit: 3}), tally.Counts{Searches: 1, Scanned: 100}, false},
		{"with vectors", k.query("c", collection.Query{Nearest: near, Limit: 3, WithVector: all}), tally.Counts{Searches: 1, Scanned: 100, Bytes: 3 * 8}, false},
		{"with prefetches", k.query("c", collection.Query{
			Prefetch: []collection.Query{{Nearest: near, Limit: 5}, {Nearest: near, Limit: 5}},
			Fusion:   &collection.Fusion{Kind: collection.FusionRRF, K: 2}, Limit: 3,
		}), tally.Counts{Searches: 1, Scanned: 200}, false},
		{"a list", k.query("c", collection.Query{Limit: 3}), tally.Counts{Bytes: 3 * 20}, true},
		{"points", func() error {
			_, err := k.client.Retrieve(ctx, k.tenant, "c", []collection.PointID{collection.NumID(1), collection.NumID(1000)}, collection.PayloadSelector{}, all)
			return err
		}, tally.Counts{Bytes: 20}, true},
		{"a scroll", func() error {
			_, err := k.client.Scroll(ctx, k.tenant, "c", collection.ScrollRequest{Limit: 10})
			return err
		}, tally.Counts{Bytes: 200}, true},
		{"a search that failed", func() error {
			if k.query("c", collection.Query{Nearest: &collection.Input{Dense: []float32{1}}, Limit: 3})() == nil {
				return errors.New("it did not fail")
			}
			return nil
		}, tally.Counts{}, false},
	} {
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		got := k.taken(t, counts)
		if c.least && got.Bytes >= c.want.Bytes {
			got.Bytes = c.want.Bytes
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

func (k *kit) query(name string, q collection.Query) func() error {
	return func() error {
		_, err := k.client.Query(context.Background(), k.tenant, name, q)
		return err
	}
}

// taken is what was counted since the last call, which is of one collection.
func (k *kit) taken(t *testing.T, counts *tally.Tally) (sum tally.Counts) {
	t.Helper()
	if err := counts.Cut(2); err != nil {
		t.Fatal(err)
	}
	for _, r := range counts.Waiting() {
		for _, e := range r.Entries {
			if e.Collection == 0 || e.Tenant != k.tenant.TenantID {
				t.Errorf("counted for %q, %d", e.Tenant, e.Collection)
			}
			sum = tally.Counts{Requests: e.APIRequests, Searches: e.SearchCount, Scanned: e.VectorsScanned, Bytes: e.BytesRead}
		}
		if err := counts.Done(r.Sequence); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}
