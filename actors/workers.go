package actors

import "sync"

// workers is a fixed pool of goroutines. Its queue has room for one task of
// every replica, and a replica has at most one task of a kind outstanding, so
// submit never blocks.
type workers struct {
	tasks chan func()
	wg    sync.WaitGroup
}

func startWorkers(n, queue int) *workers {
	w := &workers{tasks: make(chan func(), queue)}
	for range n {
		w.wg.Go(func() {
			for task := range w.tasks {
				task()
			}
		})
	}
	return w
}

// submit hands a task to the pool. It panics when the queue is full, because
// that means a replica broke its promise of one task at a time.
func (w *workers) submit(task func()) {
	select {
	case w.tasks <- task:
	default:
		panic("BUG: worker queue is full")
	}
}

// stop runs what is queued and waits for the goroutines to end.
func (w *workers) stop() {
	close(w.tasks)
	w.wg.Wait()
}
