package peer

import (
	"sync"

	"go.etcd.io/raft/v3/raftpb"
)

// item is something to send: a raft message, or the body of a frame.
type item struct {
	msg   *raftpb.Message
	group uint64
	kind  kind
	data  []byte
	bytes int // what it counts for in its queue
}

// queue holds what waits for one lane's connection, bounded in bytes. Any
// goroutine may put; the connection's writer takes. wake has room for one and
// tells the writer that something may be taken.
type queue struct {
	bytesMax int
	wake     chan struct{}

	mu struct {
		sync.Mutex
		open  bool   // there is a connection
		items []item // in order
		ready int    // items[:ready] may be taken, the others wait for a release
		bytes int    // of items and of what was taken and is not yet written
	}
}

// put adds i; ready makes it and everything before it takeable. An empty queue
// takes an item of any size.
func (q *queue) put(i item, ready bool) error {
	q.mu.Lock()
	if !q.mu.open {
		q.mu.Unlock()
		return ErrNotConnected
	}
	if q.mu.bytes > 0 && q.mu.bytes+i.bytes > q.bytesMax {
		q.mu.Unlock()
		return ErrQueueFull
	}
	q.mu.items = append(q.mu.items, i)
	q.mu.bytes += i.bytes
	if ready {
		q.mu.ready = len(q.mu.items)
	}
	q.mu.Unlock()
	if ready {
		q.signal()
	}
	return nil
}

// release makes everything that waits takeable.
func (q *queue) release() {
	q.mu.Lock()
	waiting := len(q.mu.items) > q.mu.ready
	q.mu.ready = len(q.mu.items)
	q.mu.Unlock()
	if waiting {
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take moves what may be taken to the end of into. It counts until written.
func (q *queue) take(into []item) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	into = append(into, q.mu.items[:q.mu.ready]...)
	rest := copy(q.mu.items, q.mu.items[q.mu.ready:])
	clear(q.mu.items[rest:])
	q.mu.items, q.mu.ready = q.mu.items[:rest], 0
	return into
}

// written gives back the room of items that were taken.
func (q *queue) written(bytes int) {
	q.mu.Lock()
	q.mu.bytes -= bytes
	q.mu.Unlock()
}

// begin opens the queue to a new connection.
func (q *queue) begin() {
	q.mu.Lock()
	q.mu.open = true
	q.mu.Unlock()
}

// end closes the queue, drops what waits and says how many that were.
func (q *queue) end() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.mu.items)
	q.mu.open, q.mu.items, q.mu.ready, q.mu.bytes = false, nil, 0, 0
	return n
}

func (q *queue) isOpen() bool {
	_, open := q.state()
	return open
}

// state returns the bytes that wait, and whether there is a connection.
func (q *queue) state() (bytes int, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.bytes, q.mu.open
}
