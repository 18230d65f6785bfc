package peer

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

func TestRaftLanes(t *testing.T) {
	a, b := pair(t, quick())
	a.Raft(2, 5, []*raftpb.Message{say(raftpb.MsgHeartbeat, 1, 2, 1)})
	a.Raft(2, 6, []*raftpb.Message{say(raftpb.MsgHeartbeatResp, 1, 2, 2)})
	entry := &raftpb.Entry{Term: new(uint64(3)), Index: new(uint64(11)), Data: bytes.Repeat([]byte("x"), 3<<20)}
	app := say(raftpb.MsgApp, 1, 2, 10)
	app.Entries = []*raftpb.Entry{entry}
	a.Raft(2, 7, []*raftpb.Message{app})
	got := receive(t, "the append, while heartbeats wait", b.rafts)
	if got.from != 1 || got.group != 7 || got.m.GetType() != raftpb.MsgApp || !bytes.Equal(got.m.Entries[0].GetData(), entry.GetData()) {
		t.Fatalf("got %d bytes of group %d from %d", len(got.m.Entries[0].GetData()), got.group, got.from)
	}
	before := b.Stats().Lanes[Heartbeats]
	a.Flush()
	first, second := receive(t, "a heartbeat", b.rafts), receive(t, "a heartbeat", b.rafts)
	if first.group != 5 || second.group != 6 || second.m.GetIndex() != 2 {
		t.Fatalf("groups %d and %d", first.group, second.group)
	}
	after := b.Stats().Lanes[Heartbeats]
	if n := after.Received - before.Received; n != 2 {
		t.Fatalf("%d heartbeats counted, want 2", n)
	}

	// A vote does not wait, and takes along what does.
	a.Raft(2, 8, []*raftpb.Message{say(raftpb.MsgHeartbeat, 1, 2, 1)})
	a.Raft(2, 9, []*raftpb.Message{say(raftpb.MsgPreVote, 1, 2, 1)})
	if g := receive(t, "a heartbeat", b.rafts); g.group != 8 {
		t.Fatalf("group %d, want 8", g.group)
	}
	if g := receive(t, "a vote", b.rafts); g.group != 9 {
		t.Fatalf("group %d, want 9", g.group)
	}
	// So does a heartbeat that a read waits for.
	read := say(raftpb.MsgHeartbeat, 1, 2, 1)
	read.Context = []byte("read")
	a.Raft(2, 10, []*raftpb.Message{read})
	if g := receive(t, "a heartbeat of a read", b.rafts); g.group != 10 || string(g.m.Context) != "read" {
		t.Fatalf("group %d, want 10", g.group)
	}
}

// All heartbeats of a tick are one frame.
func TestFlushIsOneFrame(t *testing.T) {
	a, b := pair(t, quick())
	var bytes int
	for g := range uint64(100) {
		m := say(raftpb.MsgHeartbeat, 1, 2, g)
		e, err := appendEnvelope(nil, g, m)
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(e)
		a.Raft(2, g, []*raftpb.Message{m})
	}
	before := a.Stats().Lanes[Heartbeats].BytesSent
	a.Flush()
	for range 100 {
		receive(t, "a heartbeat", b.rafts)
	}
	sent := int(a.Stats().Lanes[Heartbeats].BytesSent - before)
	for sent > bytes+headBytes { // pings
		sent -= headBytes
	}
	if sent != bytes+headBytes {
		t.Fatalf("%d bytes sent for %d bytes of messages", sent, bytes)
	}
}

func TestSend(t *testing.T) {
	a, b := pair(t, quick())
	receive(t, "nothing was lost before", instead(b.messages, messageGot{}))
	for _, n := range []int{0, 1, 1024, SmallBytesMax, SmallBytesMax + 1, pieceBytes, pieceBytes + 1, 3 << 20, PayloadBytesMax} {
		payload := bytes.Repeat([]byte{byte(n), 3, 9}, n/3+1)[:n]
		if err := a.Send(2, payload); err != nil {
			t.Fatal(err)
		}
		got := receive(t, "a payload", b.messages)
		if got.from != 1 || !bytes.Equal(got.payload, payload) {
			t.Fatalf("%d bytes arrived as %d", n, len(got.payload))
		}
	}
	if err := a.Send(2, make([]byte, PayloadBytesMax+1)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("one byte too many: %v", err)
	}
	if err := a.Send(9, []byte("x")); !errors.Is(err, ErrNotConnected) {
		t.Fatalf("to nobody: %v", err)
	}
	if err := a.Send(1, []byte("x")); err == nil {
		t.Fatal("sent to itself")
	}
	if !a.Connected(2) || a.Connected(9) || a.Connected(1) {
		t.Fatal("Connected is wrong")
	}
	a.stop()
	if err := a.Send(2, []byte("x")); err == nil {
		t.Fatal("sent after Stop")
	}
}

// instead drains c of what connect sent and returns a channel that has v.
func instead[T any](c chan T, v T) chan T {
	for len(c) > 0 {
		<-c
	}
	out := make(chan T, 1)
	out <- v
	return out
}

func TestMisdirectedRaft(t *testing.T) {
	a, b := pair(t, quick())
	a.Raft(2, 1, []*raftpb.Message{
		say(raftpb.MsgVote, 3, 2, 1), // speaks for another node
		say(raftpb.MsgVote, 1, 3, 1), // for another node
		say(raftpb.MsgVote, 1, 2, 42),
		say(raftpb.MsgSnap, 1, 2, 1),
		say(raftpb.MsgHup, 1, 2, 1),
	})
	if got := receive(t, "the third", b.rafts); got.m.GetIndex() != 42 {
		t.Fatalf("passed on: %v", got.m)
	}
	if n := b.Stats().Misdirected; n != 2 {
		t.Fatalf("%d counted, want 2", n)
	}
	if n := a.Stats().Lanes[Appends].Dropped; n != 2 {
		t.Fatalf("%d dropped, want the image and the local one", n)
	}
}

func TestQueuesAreBounded(t *testing.T) {
	a, _, _, toB := proxied(t, quick())
	if n := toB.each("requests.", (*proxyLink).stall); n != 1 {
		t.Fatalf("%d connections for requests", n)
	}
	toB.each("appends.", (*proxyLink).stall)
	payload := make([]byte, SmallBytesMax)
	var err error
	sent := 0
	for ; err == nil && sent < 10000; sent++ {
		err = a.Send(2, payload)
	}
	if !errors.Is(err, ErrQueueFull) {
		t.Fatalf("after %d: %v", sent, err)
	}
	for range 200 {
		m := say(raftpb.MsgApp, 1, 2, 1)
		m.Entries = []*raftpb.Entry{{Index: new(uint64(2)), Term: new(uint64(2)), Data: make([]byte, 1<<20)}}
		a.Raft(2, 1, []*raftpb.Message{m})
	}
	s := a.Stats()
	if d := s.Lanes[Appends].Dropped; d < 50 || d > 140 {
		t.Fatalf("%d of 200 appends dropped", d)
	}
	if s.Lanes[Requests].Dropped == 0 || s.Lanes[Heartbeats].Resets != 0 {
		t.Fatalf("stats %+v", s)
	}
	if !a.Connected(2) {
		t.Fatal("a stalled lane counts as lost at once")
	}
}

func TestReconnectAfterCut(t *testing.T) {
	a, b, toA, toB := proxied(t, quick())
	toB.each("", (*proxyLink).cut)
	if n := receive(t, "a's reset", a.resets); n != 2 {
		t.Fatalf("reset of %d", n)
	}
	if n := receive(t, "b's reset", b.resets); n != 1 {
		t.Fatalf("reset of %d", n)
	}
	eventually(t, "connected again", func() bool { return whole(a, b) && whole(b, a) })
	if toA.each("", func(*proxyLink) {}) != 4 {
		t.Fatal("the other direction was not left alone")
	}
	instead(b.messages, messageGot{})
	if err := a.Send(2, []byte("again")); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, "a payload", b.messages); string(got.payload) != "again" {
		t.Fatalf("got %q", got.payload)
	}
	if a.Stats().Lanes[Heartbeats].Resets != 1 || b.Stats().Lanes[Bulk].Resets != 1 {
		t.Fatalf("resets not counted: %+v %+v", a.Stats(), b.Stats())
	}
}

// A silent partition leaves the connections as they are; only silence tells.
func TestSilence(t *testing.T) {
	a, b, toA, toB := proxied(t, quick())
	began := time.Now()
	toA.each("", (*proxyLink).stall)
	toB.each("", (*proxyLink).stall)
	toA.setRefuse(true)
	toB.setRefuse(true)
	for range 2 {
		receive(t, "a's resets", a.resets)
		receive(t, "b's resets", b.resets)
	}
	if d := time.Since(began); d < time.Second || d > 6*time.Second {
		t.Fatalf("noticed after %v", d)
	}
	eventually(t, "all lanes are reset with the heartbeats", func() bool {
		for _, l := range a.peer(2).lanes {
			if l.queue.isOpen() {
				return false
			}
		}
		return true
	})
	if d := time.Since(began); d > 8*time.Second {
		t.Fatalf("the other lanes were reset after %v", d)
	}
	if err := a.Send(2, []byte("x")); !errors.Is(err, ErrNotConnected) {
		t.Fatalf("during the partition: %v", err)
	}
	toA.each("", (*proxyLink).cut)
	toB.each("", (*proxyLink).cut)
	toA.setRefuse(false)
	toB.setRefuse(false)
	eventually(t, "healed", func() bool { return whole(a, b) && whole(b, a) })
}

// Nothing is said for longer than the silence allowed; pings keep it.
func TestIdleConnectionsStay(t *testing.T) {
	k := quick()
	for i := range k.pace {
		k.pace[i].ping, k.pace[i].silence = 100*time.Millisecond, time.Second
	}
	k.pong = 50 * time.Millisecond
	a, b := pair(t, k)
	idle := time.After(2500 * time.Millisecond)
	<-idle
	if s := a.Stats(); s.Lanes[Heartbeats].Resets+s.Lanes[Bulk].Resets != 0 || !whole(a, b) {
		t.Fatalf("idle connections were reset: %+v", s)
	}
}

// A stalled bulk lane is none of the heartbeats' business.
func TestStalledBulkLeavesHeartbeats(t *testing.T) {
	a, b, _, toB := proxied(t, quick())
	toB.each("bulk.", (*proxyLink).stall)
	for range 8 {
		_ = a.Send(2, make([]byte, 4<<20))
	}
	for i := range uint64(50) {
		a.Raft(2, 1, []*raftpb.Message{say(raftpb.MsgHeartbeat, 1, 2, i)})
		a.Flush()
		if got := receive(t, "a heartbeat", b.rafts); got.m.GetIndex() != i {
			t.Fatalf("heartbeat %d, want %d", got.m.GetIndex(), i)
		}
	}
	toB.each("bulk.", (*proxyLink).resume)
	instead(b.messages, messageGot{})
}

// A flipped bit on the way costs the connection, never a wrong message.
func TestFlippedBit(t *testing.T) {
	a, b, _, toB := proxied(t, quick())
	instead(b.messages, messageGot{})
	want := bytes.Repeat([]byte("intact"), 100)
	for range 5 {
		resets := a.Stats().Lanes[Requests].Resets
		toB.each("requests.", (*proxyLink).flip)
		_ = a.Send(2, want)
		eventually(t, "a reset", func() bool { return a.Stats().Lanes[Requests].Resets > resets })
		eventually(t, "connected again", func() bool { return a.Send(2, want) == nil })
		if got := receive(t, "a payload", b.messages); !bytes.Equal(got.payload, want) {
			t.Fatalf("got %q", got.payload)
		}
	}
}

// A peer without an address is given up, and its goroutines with it.
func TestForgetsPeersWithoutAddress(t *testing.T) {
	k := quick()
	k.forget = 50 * time.Millisecond
	a, _ := pair(t, k)
	before := runtime.NumGoroutine()
	_ = a.Send(77, []byte("x"))
	eventually(t, "forgotten", func() bool {
		a.mu.RLock()
		defer a.mu.RUnlock()
		return a.mu.peers[77] == nil
	})
	eventually(t, "its goroutines ended", func() bool { return runtime.NumGoroutine() <= before })
}

// A restarted process takes over; the old connections do not linger.
func TestRestart(t *testing.T) {
	ca, addresses := newAuthority(t), &book{}
	a := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: addresses, knobs: quick()})
	b := startNode(t, setup{number: 2, cluster: demo, tls: ca.config(t, demo, 2, "n2"), book: addresses, knobs: quick()})
	connect(t, a, b)
	b.stop()
	receive(t, "a's reset", a.resets)
	addresses.m.Delete(uint32(2))
	c := startNode(t, setup{number: 2, cluster: demo, tls: ca.config(t, demo, 2, "n2"), book: addresses, knobs: quick()})
	eventually(t, "connected with the new process", func() bool { return whole(a, c) && whole(c, a) })
}

// What Start needs is a programmer's to give; what it makes stops at once.
func TestStart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Self: Identity{Number: 1, Name: "n1"}, Cluster: demo, Listener: listener,
		TLS:     func() *tls.Config { return nil },
		Address: func(uint32) (string, bool) { return listener.Addr().String(), true },
		Raft:    func(uint32, uint64, *raftpb.Message) {}, Message: func(uint32, []byte) {},
		Accept: func(uint32, []byte, int64) (Sink, error) { return nil, errors.New("no") },
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("took options without a number")
			}
		}()
		bad := o
		bad.Self.Number = 0
		Start(bad)
	}()
	n := Start(o)
	_ = n.Send(2, []byte("x"))
	eventually(t, "a connection without a TLS configuration is refused", func() bool {
		c, err := net.Dial("tcp", listener.Addr().String())
		if err == nil {
			_, _ = c.Write([]byte("nonsense"))
			_ = c.Close()
		}
		return n.Stats().Refused > 0
	})
	if err := n.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(within(t)); err != nil {
		t.Fatalf("again: %v", err)
	}
}

// What was written makes room again.
func TestQueueRoomComesBack(t *testing.T) {
	a, b := pair(t, quick())
	for i := range uint64(100) {
		m := say(raftpb.MsgApp, 1, 2, i)
		m.Entries = []*raftpb.Entry{{Index: new(i + 1), Term: new(uint64(2)), Data: make([]byte, 1<<20)}}
		a.Raft(2, 1, []*raftpb.Message{m})
		if got := receive(t, "an append", b.rafts); got.m.GetIndex() != i {
			t.Fatalf("append %d, want %d", got.m.GetIndex(), i)
		}
	}
}
