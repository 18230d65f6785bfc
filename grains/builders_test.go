package grains

import (
	"runtime"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
)

// Work is never left in the queue while every builder sleeps, whoever looks at
// it first.
func TestBuildersMissNoWork(t *testing.T) {
	b := startBuilders(4, func() bool {
		for range 100 {
			runtime.Gosched() // the others come to look meanwhile
		}
		return true
	})
	defer b.stop()
	for i := range 500 {
		l := &liveIndex{}
		l.dropped.Store(true) // so that a step only takes it
		b.offer(l)
		for late := time.Now().Add(2 * time.Second); l.queued.Load(); runtime.Gosched() {
			if time.Now().After(late) {
				t.Fatalf("offer %d is still in the queue", i)
			}
		}
	}
}

// A collection without a graph leaves the builders nothing to do, however many
// vectors it has.
func TestBuildersRestWithoutGraph(t *testing.T) {
	l := liveOf(2)
	points := make([]collection.Point, 4*buildStep)
	for i := range points {
		points[i] = collection.Point{ID: collection.NumID(uint64(i)), Vector: []float32{1, 2}}
	}
	l.put(t, 1, nil, points...)
	b := startBuilders(0, nil)
	defer b.stop()
	if b.step(l); l.queued.Load() {
		t.Error("queued again")
	}
}
