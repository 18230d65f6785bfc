package filter

import (
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// slotsOf returns the slots in a bitmap, in order.
func slotsOf(bitmap []uint64) []uint32 {
	var slots []uint32
	for i, w := range bitmap {
		for ; w != 0; w &= w - 1 {
			slots = append(slots, uint32(64*i+bits.TrailingZeros64(w)))
		}
	}
	return slots
}

// A set is what a map would be, at every size and across the boundaries of
// containers, and what it says of its memory comes out even.
func TestSetAgainstMap(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		for _, span := range []uint32{2, 100, 20_000, 300_000} {
			var s set
			want := map[uint32]bool{}
			held := 0
			check := func() {
				t.Helper()
				bitmap := make([]uint64, (span+63)/64)
				s.addTo(bitmap)
				if got := slotsOf(bitmap); !slices.Equal(got, slices.Sorted(maps.Keys(want))) || int(s.count) != len(want) {
					t.Fatalf("span %d: %d slots, count %d, want %d", span, len(got), s.count, len(want))
				}
				short := make([]uint64, len(bitmap)/2)
				s.addTo(short)
				if got := slotsOf(short); !slices.Equal(got, slotsOf(bitmap[:len(short)])) {
					t.Fatalf("span %d: %d slots in half of it", span, len(got))
				}
			}
			for _, grow := range []bool{true, false, true, false} {
				for range min(2*span, 30_000) {
					slot := r.Uint32N(span)
					add := r.IntN(10) > 0 == grow
					held += s.change(slot, add)
					if want[slot] = true; !add {
						delete(want, slot)
					}
				}
				check()
			}
			for slot := range want {
				held += s.change(slot, false)
			}
			if clear(want); held != 0 || s.rest != nil {
				t.Errorf("span %d: %d bytes are left", span, held)
			}
			check()
		}
	}
}

func TestOrderedAgainstMap(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	for _, span := range []int64{1, 50, 5_000, 1 << 40} {
		var o ordered[int64]
		want := map[int64]map[uint32]bool{}
		held := 0
		for _, grow := range []bool{true, false, true} {
			for i := range 6_000 {
				v, slot := r.Int64N(span)-span/2, r.Uint32N(500)
				if span > 10_000 && r.IntN(2) == 0 {
					v = int64(i) // in order, as of a clock
				}
				add := r.IntN(10) > 0 == grow
				held += o.change(v, slot, add)
				if want[v] == nil {
					want[v] = map[uint32]bool{}
				}
				if want[v][slot] = true; !add {
					delete(want[v], slot)
				}
			}
			checkSpans(t, r, &o, want, span)
		}
		for v, slots := range want {
			for slot := range slots {
				held += o.change(v, slot, false)
			}
		}
		if held != 0 || o.values != 0 || len(o.blocks) != 0 {
			t.Errorf("span %d: %d bytes, %d values in %d blocks are left", span, held, o.values, len(o.blocks))
		}
	}
}

func checkSpans(t *testing.T, r *rand.Rand, o *ordered[int64], want map[int64]map[uint32]bool, within int64) {
	t.Helper()
	for range 50 {
		from, to := r.Int64N(within)-within/2, r.Int64N(within)-within/2
		s := span[int64]{func(v int64) bool { return v < from }, func(v int64) bool { return v > to }}
		expected := make([]uint64, 8)
		for v, slots := range want {
			for slot := range slots {
				if from <= v && v <= to {
					expected[slot/64] |= 1 << (slot % 64)
				}
			}
		}
		got := make([]uint64, 8)
		for more := true; more; {
			var last int64
			last, more = o.addTo(got, s, 3)
			below := s.below
			s.below = func(v int64) bool { return v <= last || below(v) }
		}
		if !slices.Equal(got, expected) {
			t.Fatalf("within %d: %d to %d: slots %v, want %v", within, from, to, slotsOf(got), slotsOf(expected))
		}
	}
	for v, slots := range want {
		s := o.get(v)
		if (s == nil) != (len(slots) == 0) || s != nil && int(s.count) != len(slots) {
			t.Fatalf("within %d: the slots of %d are not %v", within, v, slots)
		}
	}
}
