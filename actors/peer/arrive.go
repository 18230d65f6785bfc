package peer

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// arrivalsMax is how many transfers one peer may have open at this node.
	arrivalsMax = 16
	// arrivalFrames is how many frames of one transfer wait for its goroutine:
	// a window of chunks and what is said beside them. More are dropped.
	arrivalFrames = windowBytes/chunkBytes + 16
)

type arrivalKey struct {
	from uint32
	id   uint64
}

// arrivals are the transfers that come in.
type arrivals struct {
	mu struct {
		sync.Mutex
		byKey map[arrivalKey]*arrival
	}
}

// arrival is one incoming transfer. run is its goroutine; connections put
// frames, which may be dropped, and cancel.
type arrival struct {
	t      *Transport
	key    arrivalKey
	size   int64
	frames chan arrived
	ctx    context.Context // ends when the sender gives up or has its result
	cancel context.CancelFunc

	sink Sink
	have int64
	sum  *xxhash.Digest
}

// arrived is one frame for an arrival; a chunk's bytes are in buf, from chunkPool.
type arrived struct {
	kind  kind // kindBegin and kindPing ask for a status
	chunk chunk
	end   end
	buf   *[]byte
}

// dispatchArrival takes a frame from a sender. An error means that it does not
// keep to the protocol.
func (t *Transport) dispatchArrival(from uint32, k kind, body []byte) error {
	switch k {
	case kindBegin:
		m, err := decodeBegin(body)
		if err == nil {
			t.begin(from, m)
		}
		return err
	case kindChunk:
		m, err := decodeChunk(body)
		if err != nil {
			return err
		}
		buf := chunkPool.Get().(*[]byte)
		*buf = append((*buf)[:0], m.data...)
		m.data = *buf
		t.pass(arrivalKey{from, m.id}, arrived{kind: k, chunk: m, buf: buf})
	case kindEnd:
		m, err := decodeEnd(body)
		if err != nil {
			return err
		}
		t.pass(arrivalKey{from, m.id}, arrived{kind: k, end: m})
	case kindCancel:
		id, err := decodeCancel(body)
		if err != nil {
			return err
		}
		if a := t.arrivals.find(arrivalKey{from, id}); a != nil {
			a.cancel()
		}
	}
	return nil
}

// begin starts a transfer, or asks a running one where it is.
func (t *Transport) begin(from uint32, m begin) {
	key := arrivalKey{from, m.id}
	t.arrivals.mu.Lock()
	a, n := t.arrivals.mu.byKey[key], 0
	for k := range t.arrivals.mu.byKey {
		if k.from == from {
			n++
		}
	}
	if a == nil && n < arrivalsMax {
		fresh := &arrival{t: t, key: key, size: m.size, frames: make(chan arrived, arrivalFrames), sum: xxhash.New()}
		fresh.ctx, fresh.cancel = context.WithCancel(t.ctx)
		if t.arrivals.mu.byKey == nil {
			t.arrivals.mu.byKey = map[arrivalKey]*arrival{}
		}
		t.arrivals.mu.byKey[key] = fresh
		meta := append([]byte(nil), m.meta...)
		t.goroutines.Go(func() { fresh.run(meta) })
	}
	t.arrivals.mu.Unlock()
	switch {
	case a != nil:
		a.put(arrived{kind: kindBegin})
	case n >= arrivalsMax:
		t.tell(from, kindResult, result{id: m.id, code: resultRefused, answer: []byte("too many transfers at once")}.encode())
	}
}

// pass gives a frame to its transfer, or tells the sender that there is none.
func (t *Transport) pass(key arrivalKey, f arrived) {
	if a := t.arrivals.find(key); a != nil {
		a.put(f)
		return
	}
	f.release()
	t.tell(key.from, kindStatus, status{id: key.id, flags: flagUnknown}.encode())
}

func (t *Transport) tell(to uint32, k kind, body []byte) {
	if p := t.peer(to); p != nil {
		p.lanes[Bulk].tell(k, body)
	}
}

func (s *arrivals) find(key arrivalKey) *arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.byKey[key]
}

// nudge makes the transfers from a node say where they are: there is a new
// connection to it, and what was said over the old one may be lost.
func (s *arrivals) nudge(from uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, a := range s.mu.byKey {
		if k.from == from {
			a.put(arrived{kind: kindPing})
		}
	}
}

func (f arrived) release() {
	if f.buf != nil {
		chunkPool.Put(f.buf)
	}
}

// put queues a frame. When there is no room the sender is ahead of its credit,
// or this node is slow to hear repeated questions: both may be dropped.
func (a *arrival) put(f arrived) {
	select {
	case a.frames <- f:
	default:
		f.release()
	}
}

func (a *arrival) run(meta []byte) {
	defer func() {
		a.cancel()
		a.t.arrivals.mu.Lock()
		delete(a.t.arrivals.mu.byKey, a.key)
		a.t.arrivals.mu.Unlock()
	}()
	var res *result
	var err error
	a.sink, err = a.t.o.Accept(a.key.from, meta, a.size)
	if err != nil {
		res = a.no(resultRefused, err)
	} else {
		res = a.collect()
	}
	if res != nil {
		a.linger(res)
	}
}

func (a *arrival) no(code uint8, err error) *result {
	return &result{id: a.key.id, code: code, answer: []byte(clipped(err.Error(), refusalBytesMax))}
}

// collect takes chunks until the content is committed or cannot be. It
// returns nil when nobody waits for a result.
func (a *arrival) collect() *result {
	idle := time.NewTimer(a.t.knobs.abandon)
	defer idle.Stop()
	a.say(flagResume)
	for {
		select {
		case f := <-a.frames:
			idle.Reset(a.t.knobs.abandon)
			res, over := a.take(f)
			f.release()
			if over {
				return res
			}
		case <-idle.C:
			a.sink.Abort()
			return nil
		case <-a.ctx.Done():
			a.sink.Abort()
			return nil
		}
	}
}

func (a *arrival) say(flags uint8) {
	a.t.tell(a.key.from, kindStatus, status{id: a.key.id, have: a.have, limit: a.have + windowBytes, flags: flags}.encode())
}

// take handles one frame; over says that the sink was committed or aborted.
func (a *arrival) take(f arrived) (res *result, over bool) {
	switch f.kind {
	case kindBegin:
		a.say(flagResume)
	case kindPing:
		a.say(0)
	case kindChunk:
		if err := a.write(f.chunk); err != nil {
			a.sink.Abort()
			return a.no(resultRefused, err), true
		}
	case kindEnd:
		return a.commit(f.end)
	}
	return nil, false
}

// write stores the chunk that continues what is there. Others are of before a
// refusal or a reconnect.
func (a *arrival) write(c chunk) error {
	n := int64(len(c.data))
	switch {
	case c.offset != a.have:
		return nil
	case c.offset+n > a.size:
		return fmt.Errorf("%d bytes were announced, %d came", a.size, c.offset+n)
	case crc32.Checksum(c.data, castagnoli) != c.sum:
		a.t.counters.chunksSpoiled.Add(1)
		a.say(flagResume | flagSpoiled)
		return nil
	}
	if _, err := a.sink.WriteAt(c.data, c.offset); err != nil {
		return fmt.Errorf("write at %d: %w", c.offset, err)
	}
	_, _ = a.sum.Write(c.data)
	a.have += n
	a.say(0)
	return nil
}

func (a *arrival) commit(e end) (res *result, over bool) {
	if a.have < a.size { // the end of before a refusal
		return nil, false
	}
	if sum := a.sum.Sum64(); sum != e.sum {
		a.sink.Abort()
		return a.no(resultCorrupt, fmt.Errorf("checksum %016x, want %016x", sum, e.sum)), true
	}
	a.say(flagEnded)
	answer, err := a.sink.Commit(a.ctx)
	if err == nil && len(answer) > AnswerBytesMax {
		err = fmt.Errorf("answer of %d bytes: %w", len(answer), ErrTooLarge)
	}
	if err != nil {
		return a.no(resultRefused, err), true
	}
	return &result{id: a.key.id, code: resultDone, answer: answer}, true
}

// linger repeats the result to a sender that asks, until that has it.
func (a *arrival) linger(res *result) {
	idle := time.NewTimer(a.t.knobs.abandon)
	defer idle.Stop()
	frame := res.encode()
	for {
		a.t.tell(a.key.from, kindResult, frame)
		if !a.asked(idle.C) {
			return
		}
		idle.Reset(a.t.knobs.abandon)
	}
}

// asked waits for a question; false says that nobody will ask any more.
func (a *arrival) asked(idle <-chan time.Time) bool {
	for {
		select {
		case f := <-a.frames:
			f.release()
			if f.kind != kindChunk {
				return true
			}
		case <-idle:
			return false
		case <-a.ctx.Done():
			return false
		}
	}
}
