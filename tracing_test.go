package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx/fxtest"
)

// What is traced when the node stops is with the collector, unless that does
// not answer: then the node stops all the same.
func TestTracesAreSentAtTheStop(t *testing.T) {
	got := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	c := DefaultConfig()
	c.Tracing = TracingConfig{Endpoint: collector.URL, SampleRatio: 1}
	lc := fxtest.NewLifecycle(t)
	tracer, err := startTracing(lc, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	lc.RequireStart()
	ctx, outer := tracer.Start(t.Context(), "outer-span")
	_, inner := tracer.Start(ctx, "inner-span")
	inner.End()
	outer.End()
	lc.RequireStop()
	select {
	case sent := <-got:
		if !strings.HasPrefix(sent, "POST /v1/traces ") || !strings.Contains(sent, "inner-span") || !strings.Contains(sent, "outer-span") {
			t.Errorf("the collector got %q", sent)
		}
	default:
		t.Error("the collector got nothing")
	}

	silent := make(chan struct{})
	deaf := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	defer deaf.Close()
	defer close(silent)
	c.Tracing.Endpoint = deaf.URL
	lc = fxtest.NewLifecycle(t)
	if tracer, err = startTracing(lc, c, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Start(t.Context(), "lost")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 3*lastTracesTime)
	defer cancel()
	lc.RequireStart()
	if err := lc.Stop(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("the stop: %v, %v", err, ctx.Err())
	}
}

// Without an endpoint nothing is made.
func TestNoTracing(t *testing.T) {
	var none trace.Tracer
	if tracer, err := startTracing(nil, DefaultConfig(), nil); tracer != none || err != nil {
		t.Error(tracer, err)
	}
}
