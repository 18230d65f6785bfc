package grains

import (
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
)

// The collection grain's messages.
type (
	// write is a finished command on its way to the log. reply has room for one.
	write struct {
		data  []byte
		reply chan<- collection.Outcome

		committed func() // may be nil
	}
	// activate asks for the index; reply has room for one.
	activate struct {
		info  collection.Info
		reply chan<- error
	}
	// loaded tells that the load ended. The index is in handle.live.
	loaded struct{ err error }
)

// collectionGrain is one active collection. Its fields are the actor's own,
// except handle, which it shares with the directory and the load.
type collectionGrain struct {
	handle  *handle
	client  *Client
	loading bool
	waiting []chan<- error
}

// Receive is the actor's loop body. A panic answers an error to whoever sent
// the message; the grain goes on, since its state is only a cache.
func (g *collectionGrain) Receive(ctx actor.Context) {
	defer g.guard(ctx.Message())
	switch m := ctx.Message().(type) {
	case *write:
		g.write(m)
	case *activate:
		g.activate(ctx.Self(), m)
	case *loaded:
		g.finishLoading(m)
	case *actor.Stopping:
		g.passivate()
	}
}

func (g *collectionGrain) guard(message any) {
	p := recover()
	if p == nil {
		return
	}
	g.client.log.Error("panic in a collection grain", "grain", g.handle.key.String(), "panic", p, "stack", string(debug.Stack()))
	err := collection.Errorf(collection.Internal, "internal error")
	switch m := message.(type) {
	case *write:
		offer(m.reply, collection.Outcome{Err: err})
	case *activate:
		offer(m.reply, error(err))
	}
}

// offer sends v unless something is there already: a panic may have come after
// the answer.
func offer[T any](reply chan<- T, v T) {
	select {
	case reply <- v:
	default:
	}
}

// write hands the command on to the replica, whose answer goes to the caller
// without passing here again.
func (g *collectionGrain) write(m *write) {
	g.handle.replica.Post(actors.Proposal{Tenant: g.handle.key.tenant, Data: m.data, Committed: m.committed}, m.reply)
}

func (g *collectionGrain) activate(self *actor.PID, m *activate) {
	if g.handle.live.Load() != nil {
		m.reply <- nil
		return
	}
	g.waiting = append(g.waiting, m.reply)
	if g.loading {
		return
	}
	if !g.client.directory.pin(g.handle) {
		g.passivate() // it is being stopped
		return
	}
	g.loading = true
	g.client.load(self, g.handle, m.info)
}

func (g *collectionGrain) finishLoading(m *loaded) {
	g.loading = false
	for _, w := range g.waiting {
		w <- m.err
	}
	g.waiting = nil
}

// passivate answers who still waits. The directory has ended the subscription.
func (g *collectionGrain) passivate() {
	err := collection.Errorf(collection.Unavailable, "the collection was put aside; retry")
	for _, w := range g.waiting {
		w <- err
	}
	g.waiting = nil
}
