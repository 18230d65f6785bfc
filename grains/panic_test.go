package grains

import (
	"log/slog"
	"testing"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hivehub/waggle/collection"
)

// A panic while a grain handles a message answers an error to whoever sent it,
// and the grain goes on to the next message.
func TestPanicInReceive(t *testing.T) {
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
	g := &collectionGrain{handle: &handle{}, client: &Client{log: slog.New(slog.DiscardHandler)}} // no replica: it panics
	pid := system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return g }))
	for range 2 {
		reply := make(chan collection.Outcome, 1)
		system.Root.Send(pid, &write{reply: reply})
		if o := <-reply; collection.CodeOf(o.Err) != collection.Internal {
			t.Fatalf("answer %+v, want an internal error", o)
		}
	}
	system.Shutdown()
}
