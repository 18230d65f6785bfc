package hnsw

import (
	"context"
	"math"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// groupSlots is how many slots flat.View.Visible tells of at a time.
const groupSlots = 64

// scanTail compares what is not yet linked. A tail of new vectors is runs of
// slots, of which it asks together: while points come in fast there may be a
// million of them, and asking one by one takes longer than comparing.
func (s *search) scanTail(ctx context.Context, j *judge) error {
	s.beginScan()
	tail, m := s.view.tail, s.memory
	for asked := checkEvery; len(tail) > 0; {
		if asked >= checkEvery {
			asked = 0
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		slot, n := tail[0], 1
		for most := min(groupSlots-int(slot%groupSlots), len(tail)); n < most && tail[n] == slot+uint32(n); {
			n++
		}
		if n > 1 {
			s.addRun(slot, n)
		} else if slot < s.limit && !m.place(slot).is(linked) && j.accepts(slot) {
			s.slots = append(s.slots, slot)
		}
		if len(s.slots) >= batchMax {
			s.compare()
		}
		tail = tail[n:]
		asked += n
	}
	s.compare()
	return nil
}

// addRun adds to the batch those of n slots of a group, from the given one on,
// that are not linked and may be in the answer.
func (s *search) addRun(slot uint32, n int) {
	first := slot &^ (groupSlots - 1)
	wanted := word(s.query.Allow, first)
	if wanted &= (1<<n - 1) << (slot % groupSlots); wanted == 0 {
		return
	}
	wanted &= s.view.Visible(first)
	places := unsafe.Slice(s.memory.placeOf(first), groupSlots)
	for ; wanted != 0; wanted &= wanted - 1 {
		i := bits.TrailingZeros64(wanted)
		if at := first + uint32(i); at < s.limit && !place(atomic.LoadUint32(&places[i])).is(linked) {
			s.slots = append(s.slots, at)
		}
	}
}

func (s *search) beginScan() {
	s.tail.reset(s.k + spare)
	s.near = float32(math.Inf(1))
	s.slots = s.slots[:0]
}

// compare offers the batch to the tail's pool. What is too far behind the k-th
// is left out, because keeping it in order takes as long as half the distances.
func (s *search) compare() {
	for i, d := range s.measure() {
		if d > s.near || d >= s.tail.limit {
			continue
		}
		s.tail.offer(candidate{d, s.slots[i]})
		if items := s.tail.items; len(items) >= s.k && d <= items[s.k-1].distance {
			s.near = s.reach(items[s.k-1].distance)
		}
	}
	s.slots = s.slots[:0]
}
