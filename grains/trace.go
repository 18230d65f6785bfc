package grains

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// begin begins a span below that of ctx. Without one that is kept it does
// nothing. end is never nil.
func begin(ctx context.Context, name string) (_ context.Context, end func()) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func() {}
	}
	ctx, span := parent.TracerProvider().Tracer("waggle").Start(ctx, name)
	return ctx, func() { span.End() }
}

// proposed are the spans of an entry: until a majority has it in its log, and
// until it is applied here. nil is that of a write that is not traced.
type proposed struct {
	ctx    context.Context //nolint:containedctx // of the spans, for as long as the entry is under way
	mu     sync.Mutex
	ended  bool
	finish func() // of the running span
}

func beginProposal(ctx context.Context) *proposed {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return nil
	}
	p := &proposed{ctx: ctx}
	_, p.finish = begin(ctx, "raft propose")
	return p
}

// committed is the hook for actors.Proposal; nil of a write that is not traced.
func (p *proposed) committed() func() {
	if p == nil {
		return nil
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.ended {
			p.finish()
			_, p.finish = begin(p.ctx, "raft apply")
		}
	}
}

// end ends what runs: the outcome is known, or is not waited for any more.
func (p *proposed) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.finish()
}
