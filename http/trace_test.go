package httpedge

import (
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// A request that another node carries out is one tree: the client's span, ours,
// the way, and the other node's; with nothing of the request's in it.
func TestTraceOfForwarded(t *testing.T) {
	kept := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(kept))
	t.Cleanup(func() { _ = provider.Shutdown(t.Context()) })
	asked, there, _ := twoNodes(t)
	asked.tracer, there.tracer = provider.Tracer("waggle"), provider.Tracer("waggle")
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	asked.send("PUT", asked.qdrant+"/collections/canary/points?wait=true", asked.keys["READ_WRITE"],
		`{"points":[{"id":1,"vector":[1,2],"payload":{"x":"canary"}}]}`, "Traceparent", "00-"+trace+"-"+parent+"-01", "X-Request-Id", "r-1").is(200, "")
	spans := kept.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	inner, way, edge := spans[0], spans[1], spans[2] // in the order of their ends
	if edge.Parent.SpanID().String() != parent || way.Parent.SpanID() != edge.SpanContext.SpanID() || inner.Parent.SpanID() != way.SpanContext.SpanID() {
		t.Errorf("parents: %v, %v, %v", edge.Parent, way.Parent, inner.Parent)
	}
	for _, s := range spans {
		if s.SpanContext.TraceID().String() != trace {
			t.Errorf("%s is of the trace %s", s.Name, s.SpanContext.TraceID())
		}
		var text strings.Builder
		text.WriteString(s.Name)
		for _, a := range s.Attributes {
			text.WriteString(" " + string(a.Key) + "=" + a.Value.String())
		}
		if strings.Contains(text.String(), "canary") || strings.Contains(text.String(), asked.keys["READ_WRITE"]) {
			t.Errorf("what was asked is in the span: %s", text.String())
		}
		if s.Name != "forward" && (!strings.Contains(text.String(), "waggle.tenant="+string(asked.tenant)) || !strings.Contains(text.String(), "waggle.request_id=r-1")) {
			t.Errorf("the span %q", text.String())
		}
	}
	kept.Reset()
	asked.send("PUT", asked.qdrant+"/collections/canary/points", asked.keys["READ_ONLY"], upsert, "Traceparent", "nonsense").is(403, "")
	if spans := kept.GetSpans(); len(spans) != 0 {
		t.Errorf("a request that was not admitted has %d spans", len(spans))
	}
}
