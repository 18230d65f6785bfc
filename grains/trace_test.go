package grains

import (
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// The spans of an entry follow each other, below the write's; without a trace
// there are none.
func TestSpansOfAnEntry(t *testing.T) {
	if p := beginProposal(t.Context()); p != nil || p.committed() != nil {
		t.Fatal("spans of a write that is not traced")
	}
	kept := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(kept))
	defer func() { _ = provider.Shutdown(t.Context()) }()
	ctx, root := provider.Tracer("x").Start(t.Context(), "edge")
	ctx, end := begin(ctx, "grain write")
	p := beginProposal(ctx)
	p.committed()()
	p.end()
	p.committed()() // of a write that nobody waits for any more
	end()
	root.End()
	spans := kept.GetSpans()
	want := []string{"raft propose", "raft apply", "grain write", "edge"}
	if len(spans) != len(want) {
		t.Fatalf("%d spans", len(spans))
	}
	for i, s := range spans {
		if s.Name != want[i] {
			t.Errorf("span %d is %q", i, s.Name)
		}
		if i < 2 && s.Parent.SpanID() != spans[2].SpanContext.SpanID() {
			t.Errorf("%s is below %v", s.Name, s.Parent)
		}
	}
}
