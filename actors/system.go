package actors

import (
	"context"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// newActorSystem makes the node's one actor system. The library logs whole
// messages, and messages carry tenants' data: only its warnings without
// attributes pass.
func newActorSystem(log *slog.Logger) *actor.ActorSystem {
	quiet := slog.New(bareHandler{log.Handler()})
	return actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }),
		actor.WithDeadLetterRequestLogging(false),
		actor.WithDeadLetterThrottleInterval(time.Millisecond), // each period is a goroutine
	)
}

// bareHandler passes warnings and errors on without their attributes.
type bareHandler struct{ slog.Handler }

// Enabled lets warnings and errors through.
func (h bareHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

// Handle passes the message on and leaves its attributes behind.
func (h bareHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, "actor system: "+r.Message, r.PC))
}

// WithAttrs drops attributes.
func (h bareHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup drops groups.
func (h bareHandler) WithGroup(string) slog.Handler { return h }
