package remote

import (
	"context"
	"sync"
)

// flights lets many who want to know the same ask once. A question belongs to
// nobody who waits for it: who gives up leaves it to the others.
type flights[K comparable, V any] struct {
	mu  sync.Mutex
	now map[K]*flight[V]
}

type flight[V any] struct {
	done  chan struct{} // closed when answer and err stand
	value V
	err   error
}

// do returns what ask returns, which runs in a goroutine of run unless it does
// already; run reports false when it takes no more.
func (f *flights[K, V]) do(ctx context.Context, key K, run func(func()) bool, ask func() (V, error)) (V, error) {
	var none V
	f.mu.Lock()
	one := f.now[key]
	if one == nil {
		one = &flight[V]{done: make(chan struct{})}
		started := run(func() {
			one.value, one.err = ask()
			f.mu.Lock()
			delete(f.now, key)
			f.mu.Unlock()
			close(one.done)
		})
		if !started {
			f.mu.Unlock()
			return none, errBusy
		}
		if f.now == nil {
			f.now = map[K]*flight[V]{}
		}
		f.now[key] = one
	}
	f.mu.Unlock()
	select {
	case <-one.done:
		return one.value, one.err
	case <-ctx.Done():
		return none, away(context.Cause(ctx))
	}
}
