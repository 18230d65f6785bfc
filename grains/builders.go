package grains

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/hivehub/waggle/collection"
)

// buildStep is how many vectors a builder moves before it gives way.
const buildStep = 16

// builders move new vectors from the tails of active collections into their
// graphs. They take turns between collections. One of them always works; the
// others only while no search runs, so that searches keep most of the machine
// and the graphs never fall behind for ever.
type builders struct {
	searching func() bool
	quit      chan struct{}
	wg        sync.WaitGroup
	working   atomic.Int32

	mu struct {
		sync.Mutex
		queue []*liveIndex
		wake  chan struct{} // closed and replaced when there is work
	}
}

func startBuilders(n int, searching func() bool) *builders {
	b := &builders{searching: searching, quit: make(chan struct{})}
	b.mu.wake = make(chan struct{})
	for i := range n {
		b.wg.Go(func() { b.run(i == 0) })
	}
	return b
}

// busy is how many builders build now.
func (b *builders) busy() int { return int(b.working.Load()) }

// stop ends the builders after their step.
func (b *builders) stop() {
	close(b.quit)
	b.wg.Wait()
}

// offer puts l into the queue unless it is there.
func (b *builders) offer(l *liveIndex) {
	if l.queued.Swap(true) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.queue = append(b.mu.queue, l)
	close(b.mu.wake)
	b.mu.wake = make(chan struct{})
}

// take returns the next collection, or none and what to wait for. Only the
// builder that always works may find the queue's work while searches run: it
// looks again after each step and each wake, so nothing stays behind.
func (b *builders) take(always bool) (*liveIndex, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.queue) == 0 || !always && b.searching() {
		return nil, b.mu.wake
	}
	l := b.mu.queue[0]
	b.mu.queue = b.mu.queue[1:]
	return l, b.mu.wake
}

func (b *builders) run(always bool) {
	for {
		l, wake := b.take(always)
		if l == nil {
			select {
			case <-wake:
				continue
			case <-b.quit:
				return
			}
		}
		b.working.Add(1)
		b.step(l)
		b.working.Add(-1)
		select {
		case <-b.quit:
			return
		default:
		}
	}
}

// step does a piece of work for l and queues it again if there is more. The
// others may work on l meanwhile.
func (b *builders) step(l *liveIndex) {
	l.queued.Store(false)
	if l.dropped.Load() || l.ended.Load() {
		return
	}
	more := false
	for _, t := range l.tables {
		if t.linked() > 0 && t.waiting() > buildStep {
			b.offer(l) // for another builder
		}
		more = t.indexPayloads() || more
		if t.dense != nil {
			more = t.dense.Build(buildStep) > 0 || more
		}
	}
	if more {
		b.offer(l)
	}
	l.built.Broadcast()
}

// awaitBuilders holds a write back while vectors of more than tailBytesMax, at
// a byte a value, wait for a graph, and refuses it when the caller cannot
// wait. A collection without a graph waits for nothing.
func (l *liveIndex) awaitBuilders(ctx context.Context, tailBytesMax int) error {
	for _, t := range l.tables {
		if t.dense == nil {
			continue
		}
		if err := t.awaitBuilders(ctx, tailBytesMax); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) awaitBuilders(ctx context.Context, tailBytesMax int) error {
	l := t.live
	o := t.options()
	most := max(tailBytesMax/l.info.Config.Vectors[t.ref.Number].Size, 2*min(o.Threshold, math.MaxInt/2))
	for t.dense.Waiting() >= most {
		built := l.built.Wait()
		if t.dense.Waiting() < most {
			return nil
		}
		select {
		case <-built:
		case <-ctx.Done():
			return &collection.Error{
				Code: collection.ResourceExhausted, Reason: collection.ReasonIndexBehind, Err: ctx.Err(),
				Message: "points come in faster than they can be indexed; retry shortly",
				Details: map[string]any{"retry_after_s": 1},
			}
		}
	}
	return nil
}
