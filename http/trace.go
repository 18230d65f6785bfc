package httpedge

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Traces follow a request through the nodes: a span where the client is
// answered, one for the way to the node in charge, one there. They say whose
// request it was and on which route, and nothing of what is in it: no text, no
// name of a collection, no key.

// traceParent is W3C's header, and how a trace goes on to another node.
const traceParent = "Traceparent"

// beginSpan begins the span of a request that is admitted. Without a tracer it does
// nothing. The caller's trace is gone on with; whether it is kept is ours to say.
func (r *request) beginSpan(rt *route, id string) {
	if r.s.tracer == nil {
		return
	}
	given := r.header(traceParent)
	if r.forwarded != nil {
		given = r.forwarded.Trace
	}
	ctx := propagation.TraceContext{}.Extract(r.ctx, propagation.MapCarrier{"traceparent": given})
	r.ctx, r.span = r.s.tracer.Start(ctx, rt.surface.String()+" "+rt.method+" "+rt.path,
		trace.WithTimestamp(r.start), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(
			attribute.String("http.route", rt.path), attribute.String("http.request.method", rt.method),
			attribute.String("waggle.tenant", id), attribute.String("waggle.request_id", r.id),
			attribute.Bool("waggle.forwarded", r.forwarded != nil)))
}

// endSpan ends it with what is answered; a forwarded request's with its error.
func (r *request) endSpan(err error) {
	if r.span == nil {
		return
	}
	if err != nil {
		word := faultOf(asError(err)).word
		r.span.SetAttributes(attribute.String("error.type", word))
		r.span.SetStatus(codes.Error, word)
	} else {
		r.span.SetAttributes(attribute.Int("http.response.status_code", r.http.Response.StatusCode()))
	}
	r.span.End()
	r.span = nil
}

// spanTo begins the span of a request's way to another node, and returns what
// goes on with it. end is never nil.
func (r *request) spanTo(number uint32) (ctx context.Context, parent string, end func()) {
	if r.span == nil {
		return r.ctx, "", func() {}
	}
	ctx, span := r.s.tracer.Start(r.ctx, "forward", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.Int64("waggle.node", int64(number))))
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return ctx, carrier["traceparent"], func() { span.End() }
}
