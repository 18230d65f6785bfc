package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// spoiledMax is how often in a row one chunk may be refused before the sender
// gives up: the fault is then not the way.
const spoiledMax = 8

var chunkPool = sync.Pool{New: func() any {
	b := make([]byte, 0, headBytes+chunkHeadBytes+chunkBytes)
	return &b
}}

// sendings are the transfers that go out, by id.
type sendings struct {
	mu struct {
		sync.Mutex
		next uint64 // begins at random, so that a restarted node's are other ones
		byID map[uint64]*sending
	}
}

// sending is one outgoing transfer. It belongs to Transfer's goroutine; mu is
// for those who receive news.
type sending struct {
	t    *Transport
	lane *lane
	id   uint64
	size int64
	meta []byte
	r    io.ReaderAt

	next    int64 // where the next chunk begins
	limit   int64 // up to where the receiver permits
	hashed  int64 // sum covers so much
	sum     *xxhash.Digest
	spoiled int // refusals of the chunk at next, in a row
	at      int64

	wake chan struct{} // room for one
	mu   struct {
		sync.Mutex
		status *status // the newest, with the flags of those not yet seen
		result *result
	}
}

// Transfer sends size bytes of r to node to, whose Accept decides from meta and
// size where they go, and returns what the Sink's Commit answered. It waits
// for a connection, for the receiver's credit and for BulkRate, goes on after
// reconnects from where the receiver is, and ends with ctx. r must read the
// same bytes each time. meta must not be changed until it returns. When it
// fails with ctx's error or ErrStopped, the receiver may have committed.
func (t *Transport) Transfer(ctx context.Context, to uint32, meta []byte, size int64, r io.ReaderAt) ([]byte, error) {
	answer, err := t.transfer(ctx, to, meta, size, r)
	if err != nil {
		return nil, fmt.Errorf("transfer %d bytes to node %d: %w", size, to, err)
	}
	return answer, nil
}

func (t *Transport) transfer(ctx context.Context, to uint32, meta []byte, size int64, r io.ReaderAt) ([]byte, error) {
	if len(meta) > MetaBytesMax || size < 0 || size > math.MaxInt64-windowBytes {
		return nil, ErrTooLarge
	}
	p, err := t.reach(to)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.ctx, func() { cancel(ErrStopped) })()

	s := &sending{t: t, lane: p.lanes[Bulk], size: size, meta: meta, r: r, sum: xxhash.New(), at: -1, wake: make(chan struct{}, 1)}
	t.sendings.add(s)
	defer t.sendings.remove(s)
	// It confirms a result as well: nobody waits for it any more.
	defer func() { s.lane.tell(kindCancel, binary.LittleEndian.AppendUint64(nil, s.id)) }()
	for {
		epoch, err := s.lane.awaitUp(ctx)
		if err != nil {
			return nil, context.Cause(ctx)
		}
		s.lane.tell(kindBegin, begin{id: s.id, size: s.size, meta: s.meta}.encode())
		res, err := s.drive(ctx, epoch)
		switch {
		case ctx.Err() != nil && res == nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, err
		case res != nil:
			return res.open()
		}
	}
}

// open turns a result into what Transfer returns.
func (m result) open() ([]byte, error) {
	switch m.code {
	case resultDone:
		return m.answer, nil
	case resultCorrupt:
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, printable(m.answer))
	}
	return nil, fmt.Errorf("%w: %s", ErrRefused, printable(m.answer))
}

// tell queues a frame about a transfer. It may be lost: both sides ask again.
func (l *lane) tell(k kind, body []byte) {
	if l.control.put(item{kind: k, data: body, bytes: len(body) + 64}, true) != nil {
		l.counters().dropped.Add(1)
	}
}

// drive sends chunks over the connection of epoch. Without result and error
// the caller begins again: the connection was lost, or there was no news.
func (s *sending) drive(ctx context.Context, epoch uint64) (*result, error) {
	stall := time.NewTimer(s.t.knobs.stall)
	defer stall.Stop()
	resumed, ended := false, false
	for {
		st, res := s.news()
		if res != nil {
			return res, nil
		}
		if st != nil {
			stall.Reset(s.t.knobs.stall)
			if st.flags&flagUnknown != 0 {
				return nil, nil
			}
			if err := s.follow(st); err != nil {
				return nil, err
			}
			resumed = resumed || st.flags&(flagResume|flagEnded) != 0
			ended = st.flags&flagEnded != 0 || ended && st.flags&flagResume == 0
		}
		var again bool
		var err error
		switch n := min(chunkBytes, s.size-s.next); {
		case resumed && n > 0 && s.next+n <= s.limit:
			again, err = s.chunk(ctx, epoch, n)
		case resumed && n == 0 && !ended:
			ended = true
			again, err = s.end(ctx, epoch)
		default:
			again, err = s.await(ctx, epoch, stall.C)
		}
		if again || err != nil {
			return nil, err
		}
	}
}

// follow takes over what the receiver says.
func (s *sending) follow(st *status) error {
	if st.have > s.hashed || st.have > s.size {
		return fmt.Errorf("%w: the receiver has %d bytes, %d were sent", ErrCorrupt, st.have, s.hashed)
	}
	switch {
	case st.flags&flagEnded != 0:
		s.next = s.size
	case st.flags&flagResume != 0:
		s.next, s.limit = st.have, st.limit
	default:
		s.limit = max(s.limit, st.limit)
	}
	if st.flags&flagSpoiled == 0 {
		return nil
	}
	if s.at != st.have {
		s.at, s.spoiled = st.have, 0
	}
	if s.spoiled++; s.spoiled >= spoiledMax {
		return fmt.Errorf("%w: the chunk at %d was refused %d times", ErrCorrupt, st.have, s.spoiled)
	}
	return nil
}

// await waits for news; again says that the connection is another one or that
// there was none for too long.
func (s *sending) await(ctx context.Context, epoch uint64, stall <-chan time.Time) (again bool, err error) {
	now, changed := s.lane.state()
	if now != epoch {
		return true, nil
	}
	select {
	case <-s.wake:
		return false, nil
	case <-changed:
		return true, nil
	case <-stall:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// chunk sends the next n bytes.
func (s *sending) chunk(ctx context.Context, epoch uint64, n int64) (again bool, err error) {
	if err := s.lane.peer.bulk.wait(ctx, int(n)); err != nil {
		return false, err
	}
	c := sentChunk{epoch: epoch, frame: chunkPool.Get().(*[]byte)}
	b := (*c.frame)[:headBytes+chunkHeadBytes+int(n)]
	data := b[headBytes+chunkHeadBytes:]
	if got, err := s.r.ReadAt(data, s.next); got < len(data) {
		c.release()
		return false, fmt.Errorf("read at %d: %w", s.next, errors.Join(err, io.ErrUnexpectedEOF))
	}
	if s.next <= s.hashed && s.hashed < s.next+n {
		_, _ = s.sum.Write(data[s.hashed-s.next:])
		s.hashed = s.next + n
	}
	head := chunk{id: s.id, offset: s.next, sum: crc32.Checksum(data, castagnoli)}
	head.appendHead(append(b[:0], 0, 0, 0, 0, byte(kindChunk)))
	if s.t.knobs.spoil != nil {
		s.t.knobs.spoil(data)
	}
	*c.frame = b
	s.next += n
	return s.push(ctx, c)
}

func (s *sending) end(ctx context.Context, epoch uint64) (again bool, err error) {
	c := sentChunk{epoch: epoch, frame: chunkPool.Get().(*[]byte)}
	*c.frame = end{id: s.id, sum: s.sum.Sum64()}.append(append((*c.frame)[:0], 0, 0, 0, 0, byte(kindEnd)))
	return s.push(ctx, c)
}

// push waits until the lane takes c.
func (s *sending) push(ctx context.Context, c sentChunk) (again bool, err error) {
	c.seal()
	now, changed := s.lane.state()
	if now != c.epoch {
		c.release()
		return true, nil
	}
	select {
	case s.lane.chunks <- c:
		return false, nil
	case <-changed:
		c.release()
		return true, nil
	case <-ctx.Done():
		c.release()
		return false, ctx.Err()
	}
}

// news takes what came in since the last call.
func (s *sending) news() (*status, *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.mu.status
	s.mu.status = nil
	return st, s.mu.result
}

func (s *sendings) add(x *sending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.byID == nil {
		s.mu.byID = map[uint64]*sending{}
	}
	s.mu.next++
	x.id = s.mu.next
	s.mu.byID[x.id] = x
}

func (s *sendings) remove(x *sending) {
	s.mu.Lock()
	delete(s.mu.byID, x.id)
	s.mu.Unlock()
}

// dispatch takes a status or result. One about a transfer that is over, or
// that goes to another node, is no fault and has no effect.
func (s *sendings) dispatch(from uint32, k kind, body []byte) error {
	var st *status
	var res *result
	var id uint64
	if k == kindStatus {
		m, err := decodeStatus(body)
		if err != nil {
			return err
		}
		st, id = &m, m.id
	} else {
		m, err := decodeResult(body)
		if err != nil {
			return err
		}
		m.answer = append([]byte(nil), m.answer...)
		res, id = &m, m.id
	}
	s.mu.Lock()
	x := s.mu.byID[id]
	s.mu.Unlock()
	if x != nil && x.lane.peer.number == from {
		x.tell(st, res)
	}
	return nil
}

func (s *sending) tell(st *status, res *result) {
	s.mu.Lock()
	if st != nil {
		if s.mu.status != nil {
			st.flags |= s.mu.status.flags
		}
		s.mu.status = st
	}
	if res != nil {
		s.mu.result = res
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
