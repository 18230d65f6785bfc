package flat

import (
	"sync"
	"sync/atomic"
	"testing"
)

// A slot is filled and emptied under readers whose view began while it was
// empty. It must stay empty for them, however their two loads fall between
// the writer's stores.
func TestSlotInReuseStaysInvisible(t *testing.T) {
	const last = 4_000_000
	c := newChunk(groupRows, 1)
	s := &c.slots[7]
	var published atomic.Uint64 // even: the slot is empty
	var failed atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for seq := published.Load(); seq < last && !failed.Load(); seq = published.Load() {
				if seq%2 == 0 && (s.visible(seq) || c.visible(seq, 0, groupRows) != 0) {
					failed.Store(true)
				}
			}
		})
	}
	for seq := uint64(1); seq <= last && !failed.Load(); seq += 2 {
		s.show(seq, seq)
		published.Store(seq)
		s.hide(seq + 1)
		published.Store(seq + 1)
	}
	readers.Wait()
	if failed.Load() {
		t.Error("a view saw a vector that was added after it")
	}
}

func TestVisibleAgreesWithSlots(t *testing.T) {
	c := newChunk(groupRows, 1)
	for i := range c.slots[:60] { // the last four were never used
		c.slots[i].show(uint64(i), uint64(1+i%7))
		if i%3 == 0 {
			c.slots[i].hide(uint64(1 + i%7 + i%5))
		}
	}
	for seq := range uint64(15) {
		for _, n := range []int{0, 1, 30, groupRows} {
			got := c.visible(seq, 0, n)
			for i := range groupRows {
				want := i < n && c.slots[i].visible(seq)
				if got>>i&1 == 1 != want {
					t.Fatalf("slot %d at %d: bit %v, want %v", i, seq, !want, want)
				}
			}
		}
	}
}

func TestChunksAreAboutAMegabyte(t *testing.T) {
	for dim := 1; dim <= 65_535; dim = dim*3/2 + 1 {
		rows := 1 << chunkShift(dim)
		bytes := rows * (4*dim + 24)
		if rows < groupRows || rows > groupRows && (bytes > chunkBytes || bytes <= chunkBytes/2) {
			t.Errorf("dimension %d: %d rows, %d bytes", dim, rows, bytes)
		}
	}
}
