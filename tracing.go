package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/hivehub/waggle/cli"
)

// TracingConfig says where traces go.
type TracingConfig struct {
	Endpoint    string // URL of a collector that takes OTLP over HTTP; "" for none
	SampleRatio float64
}

func (t *TracingConfig) validate() error {
	var faults []error
	if t.SampleRatio <= 0 || t.SampleRatio > 1 {
		faults = append(faults, fmt.Errorf("tracing.sample_ratio: is %v; must be more than 0 and at most 1", t.SampleRatio))
	}
	if u, err := url.Parse(t.Endpoint); t.Endpoint != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		faults = append(faults, errors.New("tracing.endpoint: must be a URL such as http://127.0.0.1:4318"))
	}
	return errors.Join(faults...)
}

const (
	tracesPath = "/v1/traces" // of a collector
	// lastTracesTime is how long a node that stops tries to send its last spans.
	lastTracesTime = time.Second
)

// startTracing returns what makes spans, nil when nothing is traced. What does
// not fit into the queue of spans, 2,048, is dropped: no request waits for the
// collector. Whether a trace is kept is decided by its id alone, so that all
// nodes decide alike, and not by what a caller asks for.
func startTracing(lc fx.Lifecycle, c Config, log *slog.Logger) (trace.Tracer, error) {
	if c.Tracing.Endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(c.Tracing.Endpoint)
	if err != nil {
		return nil, err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	exporter, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(u.String()))
	if err != nil {
		return nil, fmt.Errorf("tracing.endpoint: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "error", err) }))
	version, _ := cli.Version()
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(exporter), sdk.WithSampler(sdk.TraceIDRatioBased(c.Tracing.SampleRatio)),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "waggle"), attribute.String("service.version", version),
			attribute.String("service.instance.id", c.Cluster.NodeID))))
	lc.Append(fx.StopHook(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, lastTracesTime)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Info("the last traces were not sent", "error", err)
		}
		return nil
	}))
	return provider.Tracer("waggle"), nil
}
