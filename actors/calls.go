package actors

import (
	"context"
	"encoding/binary"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hivehub/waggle/collection"
)

// Handler answers a call of another node. ctx ends with the caller's deadline
// or with this node. The request is the handler's.
type Handler func(ctx context.Context, from uint32, request []byte) ([]byte, error)

// callsMax is how many calls of other nodes are answered at a time; more are
// refused as overload, so that the caller may try elsewhere or later.
const callsMax = 4096

// callTimeMax bounds a call whose caller sets no deadline.
const callTimeMax = time.Minute

// messageBytesMax is what fits into one message to another node.
const messageBytesMax = 64 << 20

// calls are the questions between nodes: those asked here that wait for an
// answer, and those of others that are being answered. One message each way:
//
//	request  01 | id u64 | time left, ms u32 | length u8, method | body
//	answer   02 | id u64 | body
//	error    03 | id u64 | the error, see appendError
//
// little endian. An answer that comes after its caller has gone is dropped.
type calls struct {
	node     *Node
	handlers sync.Map      // method -> Handler
	room     chan struct{} // one place for each call that is being answered
	running  sync.WaitGroup
	ctx      context.Context // ends at stop
	cancel   context.CancelFunc

	mu      sync.Mutex
	last    uint64
	pending map[uint64]pendingCall
}

type pendingCall struct {
	to    uint32
	reply chan<- callReply // has room for one
}

type callReply struct {
	body []byte
	err  error
}

const (
	callRequest byte = iota + 1
	callAnswer
	callError
)

func newCalls(n *Node) *calls {
	c := &calls{node: n, room: make(chan struct{}, callsMax), pending: map[uint64]pendingCall{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Handle registers who answers a method. Until then callers are told that this
// node is not in charge yet.
func (n *Node) Handle(method string, h Handler) { n.calls.handlers.Store(method, h) }

// Call asks another node and waits for its answer. The errors of the handler
// come back as they were. Unavailable with the outcome "unknown" means that the
// request may have been answered there; without it, it was never sent.
func (n *Node) Call(ctx context.Context, to uint32, method string, request []byte) ([]byte, error) {
	c := n.calls
	ctx, cancel := context.WithTimeout(ctx, callTimeMax)
	defer cancel()
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if left <= 0 {
		return nil, context.DeadlineExceeded
	}
	reply := make(chan callReply, 1)
	id := c.begin(to, reply)
	defer c.end(id)
	m := make([]byte, 0, 14+len(method)+len(request))
	m = binary.LittleEndian.AppendUint64(append(m, callRequest), id)
	m = binary.LittleEndian.AppendUint32(m, uint32(min(left.Milliseconds()+1, 1<<31)))
	m = append(append(m, byte(len(method))), method...)
	if err := n.network.Send(to, append(m, request...)); err != nil {
		return nil, err
	}
	select {
	case r := <-reply:
		return r.body, r.err
	case <-ctx.Done():
		return nil, outcomeUnknown(ctx.Err())
	}
}

func (c *calls) begin(to uint32, reply chan<- callReply) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	c.pending[c.last] = pendingCall{to, reply}
	return c.last
}

func (c *calls) end(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// peerLost ends the waiting for a node whose connection broke.
func (c *calls) peerLost(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range c.pending {
		if p.to == number {
			p.reply <- callReply{err: outcomeUnknown(errNotConnected())}
			delete(c.pending, id)
		}
	}
}

func errNotConnected() error {
	return collection.Errorf(collection.Unavailable, "the node in charge cannot be reached at the moment; retry")
}

// ReceiveMessage takes what another node sent. It never blocks.
func (n *Node) ReceiveMessage(from uint32, payload []byte) {
	c := n.calls
	if len(payload) < 9 {
		return
	}
	id, body := binary.LittleEndian.Uint64(payload[1:]), payload[9:]
	switch payload[0] {
	case callRequest:
		c.request(from, id, body)
	case callAnswer:
		c.answered(from, id, callReply{body: body})
	case callError:
		c.answered(from, id, callReply{err: decodeError(body)})
	}
}

func (c *calls) answered(from uint32, id uint64, r callReply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.pending[id]; ok && p.to == from {
		p.reply <- r
		delete(c.pending, id)
	}
}

// request starts the answering of a call. What is malformed is a fault of the
// other node's program and is answered as such.
func (c *calls) request(from uint32, id uint64, b []byte) {
	if len(b) < 5 || len(b) < 5+int(b[4]) {
		c.refuse(from, id, collection.Errorf(collection.Internal, "a malformed call"))
		return
	}
	left := time.Duration(binary.LittleEndian.Uint32(b)) * time.Millisecond
	method, body := string(b[5:5+int(b[4])]), b[5+int(b[4]):]
	h, ok := c.handlers.Load(method)
	if !ok {
		c.refuse(from, id, &collection.Error{
			Code: collection.Unavailable, Reason: collection.ReasonNotLeader, Message: "this node is still starting; retry",
		})
		return
	}
	select {
	case c.room <- struct{}{}:
	default:
		c.refuse(from, id, &collection.Error{
			Code: collection.Unavailable, Reason: collection.ReasonOverload,
			Message: "too many requests wait on this node; retry shortly",
		})
		return
	}
	c.running.Go(func() {
		defer func() { <-c.room }()
		ctx, cancel := context.WithTimeout(c.ctx, left)
		defer cancel()
		answer, err := c.guarded(ctx, h.(Handler), from, body)
		if err != nil {
			c.refuse(from, id, err)
			return
		}
		c.answer(from, id, answer)
	})
}

// answer sends what a handler returned, or says that it cannot be sent.
func (c *calls) answer(to uint32, id uint64, answer []byte) {
	if len(answer)+9 > messageBytesMax {
		c.refuse(to, id, collection.Errorf(collection.InvalidArgument, "the answer is larger than 64 MB; ask for less at a time"))
		return
	}
	m := binary.LittleEndian.AppendUint64(append(make([]byte, 0, 9+len(answer)), callAnswer), id)
	if err := c.node.network.Send(to, append(m, answer...)); err != nil {
		c.refuse(to, id, outcomeUnknown(err))
	}
}

func (c *calls) guarded(ctx context.Context, h Handler, from uint32, body []byte) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.node.log.Error("panic in a call", "panic", p, "stack", string(debug.Stack()))
			err = collection.Errorf(collection.Internal, "internal error")
		}
	}()
	return h(ctx, from, body)
}

func (c *calls) refuse(to uint32, id uint64, err error) {
	c.send(to, appendError(binary.LittleEndian.AppendUint64([]byte{callError}, id), err))
}

// send sends a refusal. When that fails the caller learns from its deadline or from
// the broken connection.
func (c *calls) send(to uint32, m []byte) {
	if err := c.node.network.Send(to, m); err != nil {
		c.node.log.Debug("an answer to another node was not sent", "node", to, "err", err)
	}
}

// stop ends what is being answered and waits for it.
func (c *calls) stop() {
	c.cancel()
	c.running.Wait()
}
