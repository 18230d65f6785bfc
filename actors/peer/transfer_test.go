package peer

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

func content(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestTransfer(t *testing.T) {
	a, b := pair(t, quick())
	for _, n := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 3*windowBytes + 77} {
		want := content(n)
		s := newStore()
		s.answer = []byte("thanks")
		var meta []byte
		f := func(from uint32, m []byte, size int64) (Sink, error) {
			if from != 1 || size != int64(n) {
				t.Errorf("accept %d bytes from %d", size, from)
			}
			meta = m
			return s, nil
		}
		b.accept.Store(&f)
		answer, err := a.Transfer(within(t), 2, []byte("meta"), int64(n), bytes.NewReader(want))
		if err != nil || string(answer) != "thanks" || string(meta) != "meta" {
			t.Fatalf("%d bytes: %q %q %v", n, answer, meta, err)
		}
		if !bytes.Equal(s.buf, want) || !s.committed {
			t.Fatalf("%d bytes arrived of %d", len(s.buf), n)
		}
	}
	eventually(t, "the receiver forgets", func() bool { return b.openArrivals() == 0 })
	if len(a.sendings.mu.byID) != 0 {
		t.Fatal("the sender does not forget")
	}
}

func (n *node) openArrivals() int {
	n.arrivals.mu.Lock()
	defer n.arrivals.mu.Unlock()
	return len(n.arrivals.mu.byKey)
}

func TestTransferRefused(t *testing.T) {
	a, b := pair(t, quick())
	want := content(2 << 20)
	if _, err := a.Transfer(within(t), 2, nil, 1, bytes.NewReader(want)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "nobody wants it") {
		t.Fatalf("not accepted: %v", err)
	}
	s := newStore()
	s.err = errors.New("no room\nleft")
	b.into(s)
	if _, err := a.Transfer(within(t), 2, nil, int64(len(want)), bytes.NewReader(want)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no room?left") {
		t.Fatalf("commit failed: %v", err)
	}
	s = newStore()
	s.onWrite = func(off int64) error {
		if off > 0 {
			return errors.New("disk is gone")
		}
		return nil
	}
	b.into(s)
	if _, err := a.Transfer(within(t), 2, nil, int64(len(want)), bytes.NewReader(want)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "disk is gone") {
		t.Fatalf("write failed: %v", err)
	}
	receive(t, "abort", s.aborted)
	s = newStore()
	s.answer = make([]byte, AnswerBytesMax+1)
	b.into(s)
	if _, err := a.Transfer(within(t), 2, nil, 1, bytes.NewReader(want)); !errors.Is(err, ErrRefused) {
		t.Fatalf("answer too large: %v", err)
	}
	s = newStore()
	b.into(s)
	if _, err := a.Transfer(within(t), 2, nil, int64(len(want))+1, bytes.NewReader(want)); err == nil || s.committed {
		t.Fatalf("source too short: %v", err)
	}
	receive(t, "abort", s.aborted)
	if _, err := a.Transfer(within(t), 2, make([]byte, MetaBytesMax+1), 1, bytes.NewReader(want)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("meta too large: %v", err)
	}
}

// Every connection is cut again and again; no byte is written twice.
func TestTransferResumes(t *testing.T) {
	a, b, toA, toB := proxied(t, quick())
	want := content(40 << 20)
	s := newStore()
	s.answer = []byte("done")
	var cuts atomic.Int32
	s.onWrite = func(off int64) error {
		if off > 0 && off%(8<<20) == 0 {
			cuts.Add(1)
			toB.each("bulk.", (*proxyLink).cut)
			if off%(16<<20) == 0 {
				toA.each("bulk.", (*proxyLink).cut)
			}
		}
		return nil
	}
	b.into(s)
	answer, err := a.Transfer(within(t), 2, nil, int64(len(want)), bytes.NewReader(want))
	if err != nil || string(answer) != "done" || !bytes.Equal(s.buf, want) {
		t.Fatalf("%q %v, %d bytes", answer, err, len(s.buf))
	}
	if cuts.Load() != 4 || s.writes != len(want)/chunkBytes {
		t.Fatalf("%d cuts, %d writes", cuts.Load(), s.writes)
	}
	// The receiver dies in the middle and knows nothing any more.
	s2 := newStore()
	s2.onWrite = func(off int64) error {
		if off == 8<<20 {
			b.arrivals.mu.Lock()
			for k := range b.arrivals.mu.byKey {
				delete(b.arrivals.mu.byKey, k)
			}
			b.arrivals.mu.Unlock()
			b.into(s)
		}
		return nil
	}
	b.into(s2)
	s.buf, s.onWrite = nil, nil
	if _, err := a.Transfer(within(t), 2, nil, int64(len(want)), bytes.NewReader(want)); err != nil || !bytes.Equal(s.buf, want) {
		t.Fatalf("%v, %d bytes", err, len(s.buf))
	}
}

// The result is lost with the connection; the sender asks and gets it.
func TestTransferResultIsRepeated(t *testing.T) {
	a, b, toA, _ := proxied(t, quick())
	s := newStore()
	s.answer = []byte("once")
	toA.each("bulk.", func(l *proxyLink) {
		s.onWrite = func(int64) error { // statuses before it have passed
			l.stall()
			return nil
		}
	})
	b.into(s)
	go func() {
		eventually(t, "committed", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.committed
		})
		toA.each("bulk.", (*proxyLink).cut)
	}()
	answer, err := a.Transfer(within(t), 2, nil, 10, bytes.NewReader(content(10)))
	if err != nil || string(answer) != "once" {
		t.Fatalf("%q %v", answer, err)
	}
}

// A chunk that was spoiled on its way is refused and sent again; one that
// always is ends the transfer.
func TestTransferSpoiledChunk(t *testing.T) {
	k := quick()
	var n atomic.Int32
	var always atomic.Bool
	k.spoil = func(chunk []byte) {
		if i := n.Add(1); i%7 == 3 || always.Load() {
			chunk[len(chunk)/2] ^= 1
		}
	}
	a, b := pair(t, k)
	want := content(20 << 20)
	s := newStore()
	b.into(s)
	if _, err := a.Transfer(within(t), 2, nil, int64(len(want)), bytes.NewReader(want)); err != nil || !bytes.Equal(s.buf, want) {
		t.Fatalf("%v, %d bytes", err, len(s.buf))
	}
	if b.Stats().ChunksSpoiled < 5 {
		t.Fatalf("%d spoiled chunks counted", b.Stats().ChunksSpoiled)
	}
	always.Store(true)
	s = newStore()
	b.into(s)
	if _, err := a.Transfer(within(t), 2, nil, 1<<20, bytes.NewReader(want)); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("always spoiled: %v", err)
	}
	receive(t, "abort", s.aborted)
}

// changing reads other bytes when a chunk is read again.
type changing struct {
	bytes.Reader
	reads atomic.Int32
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	if c.reads.Add(1) > 1 {
		p[0] ^= 1
	}
	return n, err
}

func TestTransferChecksTheWhole(t *testing.T) {
	k := quick()
	var n atomic.Int32
	k.spoil = func(chunk []byte) {
		if n.Add(1) == 1 {
			chunk[0] ^= 1
		}
	}
	a, b := pair(t, k)
	s := newStore()
	b.into(s)
	r := &changing{Reader: *bytes.NewReader(content(100))}
	if _, err := a.Transfer(within(t), 2, nil, 100, r); !errors.Is(err, ErrCorrupt) || s.committed {
		t.Fatalf("committed what was not sent: %v", err)
	}
	receive(t, "abort", s.aborted)
}

// A sink that does not go on stops its sender at the window, and the end of
// the caller's context aborts it.
func TestTransferCreditAndCancel(t *testing.T) {
	a, b := pair(t, quick())
	s := newStore()
	hold := make(chan struct{})
	s.onWrite = func(off int64) error {
		if off == chunkBytes {
			<-hold
		}
		return nil
	}
	b.into(s)
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 1)
	source := &counting{Reader: *bytes.NewReader(content(5 * windowBytes))}
	go func() {
		_, err := a.Transfer(ctx, 2, nil, 5*windowBytes, source)
		done <- err
	}()
	eventually(t, "the window is used", func() bool { return source.top.Load() == windowBytes+chunkBytes })
	// Heartbeats and large messages go on beside it.
	instead(b.messages, messageGot{})
	if err := a.Send(2, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	receive(t, "a large message", b.messages)
	if source.top.Load() != windowBytes+chunkBytes {
		t.Fatalf("read up to %d without credit", source.top.Load())
	}
	cancel()
	if err := receive(t, "the end", done); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	close(hold)
	receive(t, "abort", s.aborted)
}

// counting notes how far it was read.
type counting struct {
	bytes.Reader
	top atomic.Int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.top.Store(max(c.top.Load(), off+int64(len(p))))
	return c.Reader.ReadAt(p, off)
}

func TestTransferEndsWithStop(t *testing.T) {
	a, b := pair(t, quick())
	started := make(chan struct{}, 100)
	s := newStore()
	s.onWrite = func(int64) error { started <- struct{}{}; return nil }
	b.into(s)
	done := make(chan error, 1)
	go func() {
		_, err := a.Transfer(within(t), 2, nil, 1<<40, endless{})
		done <- err
	}()
	receive(t, "a write", started)
	go func() {
		for range started {
		}
	}()
	a.stop()
	if err := receive(t, "the end", done); !errors.Is(err, ErrStopped) {
		t.Fatalf("stopped: %v", err)
	}
	b.stop()
	receive(t, "abort", s.aborted)
	close(started)
}

// endless is a large source of zeros.
type endless struct{}

func (endless) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

// A sender that is gone for good leaves nothing behind.
func TestTransferAbandoned(t *testing.T) {
	k := quick()
	k.abandon = 200 * time.Millisecond
	a, b := pair(t, k)
	s := newStore()
	b.into(s)
	a.peer(2).lanes[Bulk].tell(kindBegin, begin{id: 99, size: 1000}.encode())
	receive(t, "abort", s.aborted)
	eventually(t, "forgotten", func() bool { return b.openArrivals() == 0 })
}

func TestTransfersAtOnceAreBounded(t *testing.T) {
	a, b := pair(t, quick())
	f := func(uint32, []byte, int64) (Sink, error) { return newStore(), nil }
	b.accept.Store(&f)
	l := a.peer(2).lanes[Bulk]
	for id := range uint64(arrivalsMax) {
		l.tell(kindBegin, begin{id: id, size: 1000}.encode())
	}
	if _, err := a.Transfer(within(t), 2, nil, 1, bytes.NewReader([]byte{1})); !errors.Is(err, ErrRefused) {
		t.Fatalf("one too many: %v", err)
	}
	if b.openArrivals() != arrivalsMax {
		t.Fatalf("%d transfers", b.openArrivals())
	}
}

func TestBulkRate(t *testing.T) {
	ca, addresses := newAuthority(t), &book{}
	a := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: addresses, knobs: quick(), rate: 8 << 20})
	b := startNode(t, setup{number: 2, cluster: demo, tls: ca.config(t, demo, 2, "n2"), book: addresses, knobs: quick()})
	connect(t, a, b)
	s := newStore()
	b.into(s)
	began := time.Now()
	if _, err := a.Transfer(within(t), 2, nil, 4<<20, endless{}); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d < 400*time.Millisecond || d > 3*time.Second {
		t.Fatalf("4 MB at 8 MB/s took %v", d)
	}
}

// A slow link is not a dead one.
func TestTransferOverThrottledLink(t *testing.T) {
	k := quick()
	k.pace[Bulk].silence, k.pace[Bulk].ping = 700*time.Millisecond, 200*time.Millisecond
	a, b, _, toB := proxied(t, k)
	toB.each("bulk.", func(l *proxyLink) { l.throttle(600 << 10) })
	s := newStore()
	b.into(s)
	want := content(1 << 20)
	if _, err := a.Transfer(within(t), 2, nil, int64(len(want)), bytes.NewReader(want)); err != nil || !bytes.Equal(s.buf, want) {
		t.Fatal(err)
	}
	if n := a.Stats().Lanes[Bulk].Resets; n != 0 {
		t.Fatalf("%d resets of a slow link", n)
	}
}

// Chunks of before a reconnect come late and twice; each is written once.
func TestTransferIgnoresRepeatedChunks(t *testing.T) {
	a, b := pair(t, quick())
	s := newStore()
	b.into(s)
	l := a.peer(2).lanes[Bulk]
	l.tell(kindBegin, begin{id: 5, size: 30}.encode())
	part := func(offset int64) {
		data := content(30)[offset : offset+10]
		c := chunk{id: 5, offset: offset, sum: crc32.Checksum(data, castagnoli)}
		l.tell(kindChunk, append(c.appendHead(nil), data...))
	}
	for _, offset := range []int64{0, 20, 0, 10, 0, 20, 10} {
		part(offset)
	}
	sum := xxhash.Sum64(content(30))
	l.tell(kindEnd, end{id: 5, sum: sum}.append(nil))
	eventually(t, "committed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.committed
	})
	if s.writes != 3 || !bytes.Equal(s.buf, content(30)) {
		t.Fatalf("%d writes, %d bytes", s.writes, len(s.buf))
	}
}

func TestPiecesContinue(t *testing.T) {
	const total = SmallBytesMax + 100
	first := append(appendPieceHead(nil, 1, total, 0), make([]byte, 100)...)
	for name, next := range map[string][]byte{
		"hole":           append(appendPieceHead(nil, 1, total, 101), 1),
		"again":          first,
		"other message":  append(appendPieceHead(nil, 2, total, 100), 1),
		"other total":    append(appendPieceHead(nil, 1, total+1, 100), 1),
		"more than that": append(appendPieceHead(nil, 1, total, 100), make([]byte, total)...),
		"no bytes":       appendPieceHead(nil, 1, total, 100),
	} {
		var a assembler
		if _, err := a.add(first); err != nil {
			t.Fatal(err)
		}
		if _, err := a.add(next); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
