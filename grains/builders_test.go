package grains

import (
	"runtime"
	"testing"
	"time"
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
