package httpedge

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

const (
	// sightingsFlush is how long a sighting waits for others.
	sightingsFlush = 5 * time.Second
	// refusalsOnce is how many rows of refusals one flush writes. What is beyond is
	// counted in a row without an address, one for each reason: no flood of wrong
	// keys can write more than that.
	refusalsOnce = 64
	// successesOnce is how many rows of successes one flush writes. What is beyond
	// is seen again with the key's next request.
	successesOnce = 128
	// knownMax is how many pairs of key and address are written in an hour.
	knownMax = 100_000
)

// sightings collects what the audit log has to know of keys: every refusal, and
// of each key from each address the first success in an hour. One goroutine
// writes it, in batches; everything else may be called from anywhere.
type sightings struct {
	record func(context.Context, []hubsvc.AuthSeen) error
	log    *slog.Logger
	wake   chan struct{} // something waits; holds one
	done   chan struct{} // closed by the goroutine
	cancel context.CancelFunc

	known struct { // read by every request
		sync.RWMutex
		hour int64
		pair map[knownPair]struct{}
	}
	mu struct {
		sync.Mutex
		successes map[sight]*hubsvc.AuthSeen
		refusals  map[sight]*hubsvc.AuthSeen
		beyond    map[string]*hubsvc.AuthSeen // by reason: what refusals has no room for
	}
}

type knownPair struct {
	key  tenant.KeyID
	from netip.Addr
}

// sight is what sightings of one row have in common.
type sight struct {
	tenant tenant.ID
	key    tenant.KeyID
	prefix string
	from   netip.Addr
	reason string
}

// newSightings returns a collector that run has to serve; record nil wants to
// know nothing.
func newSightings(record func(context.Context, []hubsvc.AuthSeen) error, log *slog.Logger) *sightings {
	s := &sightings{record: record, log: log, wake: make(chan struct{}, 1)}
	s.known.pair = map[knownPair]struct{}{}
	s.reset()
	return s
}

func (s *sightings) reset() {
	s.mu.successes, s.mu.refusals = map[sight]*hubsvc.AuthSeen{}, map[sight]*hubsvc.AuthSeen{}
	s.mu.beyond = map[string]*hubsvc.AuthSeen{}
}

// success notes that a key was good. It allocates nothing but once an hour for
// a key and an address.
func (s *sightings) success(tc *tenant.Context, from netip.Addr) {
	if s.record == nil {
		return
	}
	pair, hour := knownPair{tc.KeyID, from}, tc.ValidatedAt.Unix()/3600
	s.known.RLock()
	_, known := s.known.pair[pair]
	known = known && s.known.hour == hour
	s.known.RUnlock()
	if !known {
		s.first(sight{tenant: tc.TenantID, key: tc.KeyID, from: from}, pair, tc.ValidatedAt)
	}
}

func (s *sightings) first(what sight, pair knownPair, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.successes) < successesOnce && s.remember(pair, at.Unix()/3600) {
		s.count(s.mu.successes, what, seenOnce(at))
	}
}

// remember reports whether the pair is new in this hour and there was room.
func (s *sightings) remember(pair knownPair, hour int64) bool {
	s.known.Lock()
	defer s.known.Unlock()
	if s.known.hour != hour {
		s.known.hour, s.known.pair = hour, map[knownPair]struct{}{}
	}
	if _, known := s.known.pair[pair]; known || len(s.known.pair) >= knownMax {
		return false
	}
	s.known.pair[pair] = struct{}{}
	return true
}

// refusal notes that a request was refused for its key.
func (s *sightings) refusal(what sight) {
	if s.record == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse(what, seenOnce(time.Now()))
}

func (s *sightings) refuse(what sight, seen hubsvc.AuthSeen) {
	if _, there := s.mu.refusals[what]; there || len(s.mu.refusals) < refusalsOnce {
		s.count(s.mu.refusals, what, seen)
		return
	}
	all := s.mu.beyond[what.reason] // the reasons are the edge's own, a handful
	if all == nil {
		all = &hubsvc.AuthSeen{Reason: what.reason, First: seen.First}
		s.mu.beyond[what.reason] = all
	}
	merge(all, seen)
}

// count adds seen to the row of what.
func (s *sightings) count(rows map[sight]*hubsvc.AuthSeen, what sight, seen hubsvc.AuthSeen) {
	row := rows[what]
	if row == nil {
		row = &hubsvc.AuthSeen{Tenant: what.tenant, KeyID: what.key, KeyPrefix: what.prefix, Reason: what.reason, First: seen.First}
		if what.from.IsValid() {
			row.Address = what.from.String()
		}
		rows[what] = row
	}
	merge(row, seen)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func seenOnce(at time.Time) hubsvc.AuthSeen {
	ms := at.UnixMilli()
	return hubsvc.AuthSeen{Count: 1, First: ms, Last: ms}
}

func merge(row *hubsvc.AuthSeen, seen hubsvc.AuthSeen) {
	row.Count += min(seen.Count, math.MaxUint32-row.Count)
	row.First, row.Last = min(row.First, seen.First), max(row.Last, seen.Last)
}

// run writes what waits, at most every sightingsFlush, until stop.
func (s *sightings) run() {
	if s.record == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan struct{})
	go func() {
		defer close(s.done)
		for {
			select {
			case <-s.wake:
			case <-ctx.Done():
				return
			}
			timer := time.NewTimer(sightingsFlush)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
			s.flush(ctx)
		}
	}()
}

// stop ends run, and writes what still waits if that is done before ctx ends.
func (s *sightings) stop(ctx context.Context) {
	if s.done == nil {
		return
	}
	s.cancel()
	<-s.done
	s.flush(ctx)
}

// flush writes what waits. What cannot be written now waits on.
func (s *sightings) flush(ctx context.Context) {
	rows := s.take()
	if len(rows) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sightingsFlush)
	defer cancel()
	if len(rows) > hubsvc.AuthSeenMax { // were given back before
		s.giveBack(rows[hubsvc.AuthSeenMax:])
		rows = rows[:hubsvc.AuthSeenMax]
	}
	switch err := s.record(ctx, rows); {
	case err == nil:
	case asError(err).Code == collection.InvalidArgument:
		s.log.Error("the audit log does not take what the edge saw", "rows", len(rows), "error", err)
	default:
		s.log.Debug("the audit log does not know of the latest keys yet", "rows", len(rows), "error", err)
		s.giveBack(rows)
	}
}

func (s *sightings) take() []hubsvc.AuthSeen {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []hubsvc.AuthSeen
	for _, group := range []map[sight]*hubsvc.AuthSeen{s.mu.successes, s.mu.refusals} {
		for _, row := range group {
			rows = append(rows, *row)
		}
	}
	for _, row := range s.mu.beyond {
		rows = append(rows, *row)
	}
	s.reset()
	return rows
}

// giveBack lets rows wait again beside those that came meanwhile; there is one
// flush at a time, so successes can be twice what one flush writes.
func (s *sightings) giveBack(rows []hubsvc.AuthSeen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range rows {
		from, _ := netip.ParseAddr(row.Address)
		what := sight{row.Tenant, row.KeyID, row.KeyPrefix, from, row.Reason}
		if row.Reason == "" {
			s.count(s.mu.successes, what, row)
		} else {
			s.refuse(what, row)
		}
	}
}
