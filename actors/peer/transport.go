package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// knobs are the times of the protocol, and what tests turn.
type knobs struct {
	dial      time.Duration // to connect
	handshake time.Duration // for TLS and hellos
	retry     backoff
	settled   time.Duration // a connection that lived as long resets the back-off
	stall     time.Duration // without news of a transfer, before asking
	abandon   time.Duration // without a frame of a transfer, before it is dropped
	forget    time.Duration // without an address of a peer, before it is dropped
	pong      time.Duration // between two pongs, at least
	pace      [laneCount]pace

	spoil func(chunk []byte) // may change the bytes of a chunk that is sent
}

// pace says how a lane notices that the other side is gone.
type pace struct {
	ping    time.Duration // unheard for as long, the dialler asks
	silence time.Duration // unheard for as long, the connection is reset
	write   time.Duration // for writeBytes
}

func standard() knobs {
	slow := pace{ping: 2 * time.Second, silence: 10 * time.Second, write: 10 * time.Second}
	return knobs{
		dial: 2 * time.Second, handshake: 3 * time.Second,
		retry:   backoff{least: 50 * time.Millisecond, most: 2 * time.Second},
		settled: time.Second, stall: 5 * time.Second, abandon: time.Minute, forget: time.Minute,
		pong: 250 * time.Millisecond,
		pace: [laneCount]pace{
			Heartbeats: {ping: 500 * time.Millisecond, silence: 2 * time.Second, write: 2 * time.Second},
			Appends:    slow, Requests: slow, Bulk: slow,
		},
	}
}

// Transport connects this node with the others. All methods may be called from
// any goroutine.
type Transport struct {
	o        Options
	self     passport
	knobs    knobs
	log      *slog.Logger
	hush     hush
	counters counters

	ctx        context.Context // ends with Stop
	cancel     context.CancelFunc
	goroutines sync.WaitGroup
	handshakes chan struct{} // a token for each incoming connection that is not yet known
	joins      chan struct{}

	sendings sendings
	arrivals arrivals

	mu struct {
		sync.RWMutex
		stopped bool
		peers   map[uint32]*peer
		inbound map[inboundKey]net.Conn
	}
}

// Bounds of what strangers can make this node do at the same time.
const (
	handshakesMax = 128
	joinsMax      = 16
)

// Start makes a transport and accepts connections. It panics when o lacks
// something.
func Start(o Options) *Transport { return start(o, standard()) }

func start(o Options, k knobs) *Transport {
	o.validate()
	t := &Transport{
		o: o, knobs: k, log: o.Logger,
		self:       passport{cluster: o.Cluster, number: o.Self.Number, name: o.Self.Name},
		handshakes: make(chan struct{}, handshakesMax), joins: make(chan struct{}, joinsMax),
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.sendings.mu.next = rand.Uint64()
	t.mu.peers, t.mu.inbound = map[uint32]*peer{}, map[inboundKey]net.Conn{}
	t.goroutines.Go(t.accept)
	return t
}

// Stop closes all connections, ends what runs and waits for it. What is queued
// is not sent. It must not be called from a callback.
func (t *Transport) Stop(ctx context.Context) error {
	t.mu.Lock()
	t.mu.stopped = true
	t.mu.Unlock()
	t.cancel()
	err := t.o.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	done := make(chan struct{})
	go func() {
		t.goroutines.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stop the transport between nodes: %w", ctx.Err())
	}
}

// peer returns the connections to a node, begun if need be; nil for this node
// itself and after Stop.
func (t *Transport) peer(number uint32) *peer {
	t.mu.RLock()
	p, stopped := t.mu.peers[number], t.mu.stopped
	t.mu.RUnlock()
	if p != nil || stopped || number == 0 || number == t.self.number {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.mu.peers[number]; p != nil || t.mu.stopped {
		return p
	}
	p = newPeer(t, number)
	t.mu.peers[number] = p
	return p
}

// forget ends the connections to a node that has no address any more.
func (t *Transport) forget(p *peer) {
	t.mu.Lock()
	if t.mu.peers[p.number] == p {
		delete(t.mu.peers, p.number)
	}
	t.mu.Unlock()
	p.cancel()
}

// Raft sends messages of a group's replica to its peers on node to. Heartbeats
// and their answers wait for Flush; votes, and heartbeats that a read waits
// for, do not, and take what waits with them. The messages are the transport's
// from here on. It never blocks: what finds no connection or no room is
// dropped and counted, as raft expects of a network.
func (t *Transport) Raft(to uint32, group uint64, ms []*raftpb.Message) {
	p := t.peer(to)
	for _, m := range ms {
		lane, urgent, ok := laneOf(m)
		switch {
		case !ok:
			t.counters.lanes[Appends].dropped.Add(1)
			t.log.Error("BUG: raft message that is not for peers", "type", m.GetType(), "group", group)
		case p == nil || p.lanes[lane].queue.put(item{msg: m, group: group, kind: kindRaft, bytes: sizeOf(m)}, urgent) != nil:
			t.counters.lanes[lane].dropped.Add(1)
		}
	}
}

// Flush sends the heartbeats that wait, one envelope per peer. It is called
// after each tick.
func (t *Transport) Flush() {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range t.mu.peers {
		p.lanes[Heartbeats].queue.release()
	}
}

// Send hands an actor message to node to. No error means that it was queued;
// it is lost when the connection is. The payload must not be changed any more.
// Payloads of up to SmallBytesMax keep their order among themselves, and so do
// larger ones.
func (t *Transport) Send(to uint32, payload []byte) error {
	lane, k := Requests, kindMessage
	if len(payload) > SmallBytesMax {
		lane, k = Bulk, kindPiece
	}
	err := t.send(to, lane, item{kind: k, data: payload, bytes: len(payload) + 64})
	if err != nil {
		t.counters.lanes[lane].dropped.Add(1)
		return fmt.Errorf("send %d bytes to node %d: %w", len(payload), to, err)
	}
	return nil
}

func (t *Transport) send(to uint32, lane Lane, i item) error {
	if len(i.data) > PayloadBytesMax {
		return ErrTooLarge
	}
	p, err := t.reach(to)
	if err != nil {
		return err
	}
	return p.lanes[lane].queue.put(i, true)
}

// reach is peer with a reason.
func (t *Transport) reach(to uint32) (*peer, error) {
	if to == t.self.number || to == 0 {
		return nil, fmt.Errorf("node %d is no peer of node %d", to, t.self.number)
	}
	if p := t.peer(to); p != nil {
		return p, nil
	}
	return nil, ErrStopped
}

// Connected reports whether heartbeats, appends and requests to that node can
// be sent now.
func (t *Transport) Connected(number uint32) bool {
	t.mu.RLock()
	p := t.mu.peers[number]
	t.mu.RUnlock()
	return p != nil && p.lanes[Heartbeats].queue.isOpen() && p.lanes[Appends].queue.isOpen() && p.lanes[Requests].queue.isOpen()
}

func (t *Transport) resetCallback(number uint32) {
	if t.o.Reset != nil && t.ctx.Err() == nil {
		t.o.Reset(number)
	}
}
