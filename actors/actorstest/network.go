package actorstest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hivehub/waggle/actors"
)

// Network carries messages between the nodes of one process, in order on each
// way from one node to another. Ways can be cut, and everything can be slow or
// lost.
type Network struct {
	mu    sync.Mutex
	nodes map[uint32]*station
	cut   map[way]bool
	links map[way]*link
	delay time.Duration
	loss  float64 // of raft's messages
	dice  *rand.Rand
	done  sync.WaitGroup
	stop  chan struct{}

	transfers int
}

// way is a direction between two nodes.
type way struct{ from, to uint32 }

// station is a node that can be reached. It is held for reading while
// something is delivered to it.
type station struct {
	sync.RWMutex
	node *actors.Node // nil once it has left
}

// link delivers what goes one way, from a goroutine of its own.
type link struct {
	wake  chan struct{}
	queue []delivery // under the network's mutex
}

type delivery struct {
	at   time.Time
	give func(*actors.Node)
}

// NewNetwork returns a network without nodes. Close ends its goroutines.
func NewNetwork() *Network {
	return &Network{
		nodes: map[uint32]*station{}, cut: map[way]bool{}, links: map[way]*link{},
		dice: rand.New(rand.NewPCG(1, 2)), stop: make(chan struct{}),
	}
}

// Close ends all delivery and waits for what runs.
func (n *Network) Close() {
	close(n.stop)
	n.done.Wait()
}

// Attach makes a node reachable; Detach ends that: nothing is delivered to it
// any more when Detach returns, and the others lose their connections to it.
func (n *Network) Attach(node *actors.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[node.Number()] = &station{node: node}
}

// Detach takes a node away, see Attach.
func (n *Network) Detach(number uint32) {
	n.mu.Lock()
	s := n.nodes[number]
	delete(n.nodes, number)
	var others []*station
	for _, other := range n.nodes {
		others = append(others, other)
	}
	n.mu.Unlock()
	if s == nil {
		return
	}
	s.Lock()
	s.node = nil
	s.Unlock()
	for _, other := range others {
		other.lost(number)
	}
}

func (s *station) lost(number uint32) {
	s.RLock()
	defer s.RUnlock()
	if s.node != nil {
		s.node.PeerLost(number)
	}
}

// Cut breaks the connection between two nodes; both notice. Silence breaks it
// without a word, as a lost cable does.
func (n *Network) Cut(a, b uint32) {
	n.Silence(a, b)
	n.mu.Lock()
	at, bt := n.nodes[a], n.nodes[b]
	n.mu.Unlock()
	if at != nil {
		at.lost(b)
	}
	if bt != nil {
		bt.lost(a)
	}
}

// Silence loses everything between two nodes from now on.
func (n *Network) Silence(a, b uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[way{a, b}], n.cut[way{b, a}] = true, true
}

// SilenceWay loses everything in one direction.
func (n *Network) SilenceWay(from, to uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[way{from, to}] = true
}

// Heal ends every cut.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
}

// Worsen makes every message take up to delay, and loses a share of raft's.
func (n *Network) Worsen(delay time.Duration, loss float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay, n.loss = delay, loss
}

// Transfers is how many transfers have ended well.
func (n *Network) Transfers() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.transfers
}

// Of is the network as one node sees it.
func (n *Network) Of(number uint32) actors.Network { return &endpoint{n, number} }

var errTooLarge = errors.New("actorstest: the message is too large")

var errCut = errors.New("actorstest: the nodes are not connected")

func (n *Network) openLocked(w way) bool {
	return n.nodes[w.from] != nil && n.nodes[w.to] != nil && !n.cut[w]
}

// post puts something on its way.
func (n *Network) post(w way, lossy bool, give func(*actors.Node)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.openLocked(w) {
		return errCut
	}
	if lossy && n.loss > 0 && n.dice.Float64() < n.loss {
		return nil
	}
	l := n.links[w]
	if l == nil {
		l = &link{wake: make(chan struct{}, 1)}
		n.links[w] = l
		n.done.Go(func() { n.run(w, l) })
	}
	at := time.Now()
	if n.delay > 0 {
		at = at.Add(time.Duration(n.dice.Int64N(int64(n.delay))))
	}
	l.queue = append(l.queue, delivery{at, give})
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

func (n *Network) run(w way, l *link) {
	for {
		n.mu.Lock()
		queue := l.queue
		l.queue = nil
		n.mu.Unlock()
		for _, d := range queue {
			if wait := time.Until(d.at); wait > 0 {
				select {
				case <-time.After(wait):
				case <-n.stop:
					return
				}
			}
			n.deliver(w, d.give)
		}
		select {
		case <-l.wake:
		case <-n.stop:
			return
		}
	}
}

// deliver gives it to the node, unless the way was cut meanwhile.
func (n *Network) deliver(w way, give func(*actors.Node)) {
	n.mu.Lock()
	s, open := n.nodes[w.to], n.openLocked(w)
	n.mu.Unlock()
	if !open {
		return
	}
	s.RLock()
	defer s.RUnlock()
	if s.node != nil {
		give(s.node)
	}
}

// endpoint is the network of one node.
type endpoint struct {
	*Network
	number uint32
}

// Raft implements actors.Network.
func (e *endpoint) Raft(to uint32, group uint64, ms []*raftpb.Message) {
	for _, m := range ms {
		b, err := proto.Marshal(m)
		if err != nil {
			panic(err)
		}
		_ = e.post(way{e.number, to}, true, func(n *actors.Node) {
			m := &raftpb.Message{}
			if err := proto.Unmarshal(b, m); err != nil {
				panic(err)
			}
			n.ReceiveRaft(e.number, group, m)
		})
	}
}

// Flush implements actors.Network.
func (e *endpoint) Flush() {}

// PayloadBytesMax is the largest message, as that of a peer.Transport.
const PayloadBytesMax = 64 << 20

// Send implements actors.Network.
func (e *endpoint) Send(to uint32, payload []byte) error {
	if len(payload) > PayloadBytesMax {
		return errTooLarge
	}
	payload = bytes.Clone(payload)
	return e.post(way{e.number, to}, false, func(n *actors.Node) { n.ReceiveMessage(e.number, payload) })
}

// Connected implements actors.Network.
func (e *endpoint) Connected(number uint32) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.openLocked(way{e.number, number}) && e.openLocked(way{number, e.number})
}

// Transfer implements actors.Network.
func (e *endpoint) Transfer(ctx context.Context, to uint32, meta []byte, size int64, r io.ReaderAt) ([]byte, error) {
	e.mu.Lock()
	s, open := e.nodes[to], e.openLocked(way{e.number, to})
	e.mu.Unlock()
	if !open {
		return nil, errCut
	}
	s.RLock()
	node := s.node
	s.RUnlock()
	if node == nil {
		return nil, errCut
	}
	sink, err := node.ReceiveTransfer(e.number, meta, size)
	if err != nil {
		return nil, err
	}
	return e.pour(ctx, to, sink, size, r)
}

// pour writes in pieces until the way is cut.
func (e *endpoint) pour(ctx context.Context, to uint32, sink actors.Sink, size int64, r io.ReaderAt) ([]byte, error) {
	piece := make([]byte, 64<<10)
	for off := int64(0); off < size; off += int64(len(piece)) {
		p := piece[:min(int64(len(piece)), size-off)]
		_, err := r.ReadAt(p, off)
		if err == nil || errors.Is(err, io.EOF) {
			_, err = sink.WriteAt(p, off)
		}
		if err == nil && !e.Connected(to) {
			err = errCut
		}
		if err != nil {
			sink.Abort()
			return nil, err
		}
	}
	answer, err := sink.Commit(ctx)
	if err == nil {
		e.mu.Lock()
		e.transfers++
		e.mu.Unlock()
	}
	return answer, err
}
