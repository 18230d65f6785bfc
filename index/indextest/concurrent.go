package indextest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hivehub/waggle/index"
)

const (
	racePoints  = 300
	raceBatch   = 3 // points replaced by one Publish
	raceRounds  = 8 // calls of Publish for one view read, so that neither side runs away
	raceReads   = 400
	raceReaders = 3
	raceDim     = 24
)

// race is points that are replaced in turn, raceBatch at a time, under
// readers. How many replacements a view shows determines everything in it.
type race struct {
	x         index.Index
	published atomic.Int64  // replacements that new views show
	reads     chan struct{} // one for each view read
}

// testConcurrent: every view taken beside the writer is the state after one
// Publish and stays it: each hit's label has the vector it had then, and a
// point that is being replaced is there exactly once.
func testConcurrent(t *testing.T, maker Maker) {
	r := &race{x: maker(raceDim, index.L2), reads: make(chan struct{})}
	slots := make([]uint32, racePoints)
	for point := range slots {
		slots[point] = mustAdd(t, r.x, raceLabel(point, 0), raceVector(raceLabel(point, 0)))
	}
	r.x.Publish()
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	for range raceReaders {
		readers.Go(func() {
			if err := r.read(ctx); err != nil {
				t.Error(err)
				cancel()
			}
		})
	}
	total := r.replace(ctx, t, slots)
	cancel()
	readers.Wait()
	last := r.x.View()
	defer last.Release()
	if got, err := replacementsIn(last); err != nil || got != total {
		t.Errorf("the last view shows %d replacements, want %d; error %v", got, total, err)
	}
}

// replace is the writer. It returns the number of replacements.
func (r *race) replace(ctx context.Context, t *testing.T, slots []uint32) int {
	n := 0
	for range raceReads {
		for range raceRounds {
			for range raceBatch {
				point := n % racePoints
				n++
				label := raceLabel(point, raceVersion(point, n))
				r.x.Remove(slots[point])
				slots[point] = mustAdd(t, r.x, label, raceVector(label))
			}
			r.x.Publish()
			r.published.Store(int64(n))
		}
		select {
		case <-r.reads:
		case <-ctx.Done():
			return n
		}
	}
	return n
}

// read takes views until told to stop, and keeps some for longer. None is kept
// to the end: a pinned view is what keeps slots from being used again, and
// their reuse is what is raced here.
func (r *race) read(ctx context.Context) error {
	held := r.x.View()
	defer func() { held.Release() }()
	shown, err := replacementsIn(held)
	if err != nil {
		return err
	}
	for reads := 1; ; reads++ {
		if err := r.readOnce(); err != nil {
			return err
		}
		if reads%10 == 0 {
			if again, err := replacementsIn(held); err != nil || again != shown {
				return fmt.Errorf("a view of %d replacements shows %d later; error %w", shown, again, err)
			}
			held.Release()
			held = r.x.View()
			if shown, err = replacementsIn(held); err != nil {
				return err
			}
		}
		select {
		case r.reads <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *race) readOnce() error {
	before := int(r.published.Load())
	v := r.x.View()
	defer v.Release()
	got, err := replacementsIn(v)
	if err != nil {
		return err
	}
	if after := int(r.published.Load()); got < before || got > after+raceBatch {
		return fmt.Errorf("a view shows %d replacements, taken when there were %d to %d", got, before, after+raceBatch)
	}
	return nil
}

// replacementsIn checks a view and returns how many replacements it shows.
func replacementsIn(v index.View) (int, error) {
	q := index.Query{Vector: raceVector(0), K: racePoints + 1, Exact: true}
	hits, err := v.Search(context.Background(), &q, nil)
	if err != nil {
		return 0, err
	}
	if len(hits) != racePoints || v.Len() != racePoints {
		return 0, fmt.Errorf("%d hits in a view of %d, want %d", len(hits), v.Len(), racePoints)
	}
	total := 0
	for _, h := range hits {
		total += int(uint32(h.Label))
	}
	if total%raceBatch != 0 {
		return 0, fmt.Errorf("%d replacements: half a Publish", total)
	}
	q.K, q.Exact, q.Ef = 10, false, 64
	some, err := v.Search(context.Background(), &q, nil)
	if err != nil {
		return 0, err
	}
	seen := map[uint64]bool{}
	for _, h := range hits {
		seen[h.Label] = true
	}
	for _, h := range slices.Concat(hits, some) {
		point := int(h.Label >> 32)
		if want := raceLabel(point, raceVersion(point, total)); h.Label != want || !seen[h.Label] {
			return 0, fmt.Errorf("label %x after %d replacements, want %x", h.Label, total, want)
		}
		vector := raceVector(h.Label)
		if label, ok := v.Label(h.Slot); !ok || label != h.Label || !slices.Equal(vectorIn(v, h.Slot), vector) {
			return 0, fmt.Errorf("slot %d has label %x, %v, for hit %+v", h.Slot, label, ok, h)
		}
		if h.Distance != distanceOf(index.L2, q.Vector, vector) {
			return 0, fmt.Errorf("hit %+v is not at the distance of its label's vector", h)
		}
	}
	if len(seen) != racePoints {
		return 0, fmt.Errorf("%d different points, want %d", len(seen), racePoints)
	}
	return total, nil
}

// A label determines point, version and vector.
func raceLabel(point, version int) uint64 { return uint64(point)<<32 | uint64(version) }

func raceVector(label uint64) []float32 {
	v := make([]float32, raceDim)
	x := label*0x9E3779B97F4A7C15 + 1
	for i := range v { // xorshift64
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		v[i] = float32(x % 64)
	}
	return v
}

// raceVersion is the version of a point after so many replacements in turn.
func raceVersion(point, replacements int) int {
	return (replacements + racePoints - 1 - point) / racePoints
}
