package actors

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// flushBytesMax bounds one flush, so that a burst of large entries delays the
// acknowledgement of small ones by at most one flush of this size.
const flushBytesMax = 8 << 20

// logWriter is the one goroutine that writes the node log. Everything that
// waits while a flush runs goes into the next one, whatever its group: this is
// the group commit. mu guards the queue; the log belongs to the goroutine.
type logWriter struct {
	log     *nodelog.Log
	onFatal func(error)
	logger  *slog.Logger
	wake    chan struct{}
	quit    chan struct{}
	done    chan struct{}
	spares  sync.WaitGroup

	flushes      Stopwatch
	flushedBytes atomic.Uint64 // of entries

	mu struct {
		sync.Mutex
		queue []pendingAppend
		cuts  map[uint64]uint64 // group -> index; the newest wins
	}
}

// pendingAppend is one append and whom to tell when it is durable.
type pendingAppend struct {
	append  driver.Append
	bytes   int
	durable func(driver.Append)
}

func startLogWriter(log *nodelog.Log, logger *slog.Logger, onFatal func(error)) *logWriter {
	w := &logWriter{
		log: log, logger: logger, onFatal: onFatal,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go w.run()
	return w
}

// enqueue hands over an append; durable is called from the writer's goroutine
// once it is on disk, in the order of enqueue, and never if it cannot be.
func (w *logWriter) enqueue(a driver.Append, durable func(driver.Append)) {
	n := 0
	for _, e := range a.Entries {
		n += len(e.GetData()) + 32
	}
	w.mu.Lock()
	w.mu.queue = append(w.mu.queue, pendingAppend{append: a, bytes: n, durable: durable})
	w.mu.Unlock()
	w.signal()
}

// write enqueues an append of no driver and waits until it is durable.
func (w *logWriter) write(ctx context.Context, a nodelog.Append) error {
	done := make(chan struct{})
	w.enqueue(driver.Append{Append: a}, func(driver.Append) { close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cut asks for the log of group up to index to be given up.
func (w *logWriter) cut(group, index uint64) {
	w.mu.Lock()
	if w.mu.cuts == nil {
		w.mu.cuts = map[uint64]uint64{}
	}
	w.mu.cuts[group] = max(w.mu.cuts[group], index)
	w.mu.Unlock()
	w.signal()
}

func (w *logWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// stop writes what is queued and waits for the goroutine to end.
func (w *logWriter) stop() {
	close(w.quit)
	<-w.done
}

func (w *logWriter) run() {
	defer close(w.done)
	defer w.spares.Wait()
	for {
		select {
		case <-w.wake:
		case <-w.quit:
			for w.flush() {
			}
			return
		}
		for w.flush() {
		}
	}
}

// flush writes one batch and reports whether there was one. A failed flush is
// final: the log refuses everything after it, and the node must not go on.
func (w *logWriter) flush() bool {
	batch, cuts := w.take()
	for group, index := range cuts {
		if err := w.log.Cut(group, index); err != nil {
			w.onFatal(err)
			return false
		}
	}
	if len(batch) == 0 {
		return false
	}
	appends := make([]nodelog.Append, len(batch))
	bytes := 0
	for i := range batch {
		appends[i] = batch[i].append.Append
		bytes += batch[i].bytes
	}
	begun := time.Now()
	if err := w.log.Write(appends); err != nil {
		w.onFatal(err)
		return false
	}
	w.flushes.Add(time.Since(begun))
	w.flushedBytes.Add(uint64(bytes))
	for i := range batch {
		batch[i].durable(batch[i].append)
	}
	if w.log.WantsSpare() {
		w.spares.Go(func() {
			if err := w.log.Prepare(); err != nil {
				w.logger.Warn("the next log segment is not prepared; flushes will be slower", "err", err)
			}
		})
	}
	return true
}

// take removes what the next flush writes: appends in order up to the bound.
func (w *logWriter) take() ([]pendingAppend, map[uint64]uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cuts := w.mu.cuts
	w.mu.cuts = nil
	n, bytes := 0, 0
	for n < len(w.mu.queue) && (n == 0 || bytes+w.mu.queue[n].bytes <= flushBytesMax) {
		bytes += w.mu.queue[n].bytes
		n++
	}
	batch := w.mu.queue[:n:n]
	w.mu.queue = w.mu.queue[n:]
	if len(w.mu.queue) == 0 {
		w.mu.queue = nil
	}
	return batch, cuts
}
