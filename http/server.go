package httpedge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// Options is what a Server is made of.
type Options struct {
	Engine  Engine
	Hub     Hub
	Health  func() Health // called for every probe: it must be cheap. nil: always ready
	Version string        // of Waggle
	Commit  string        // 40 characters, or ""
	Limits  Limits
	Logger  *slog.Logger // nil: nothing is logged
	// Registry holds the series of the rest of the node. Only the operator sees
	// them. The process and Go collectors are the edge's own: do not add them.
	Registry prometheus.Gatherer
}

// Health is the state of the node as the probes show it.
type Health struct {
	Ready  bool
	Reason string         // why not ready, for the operator
	Parts  map[string]any // further members of the operator's view: "hub", "cluster", ...
}

// Server is the edge of one node. New makes it, Listen opens it, Shutdown ends
// it; it cannot be opened again.
type Server struct {
	engine  Engine
	hub     Hub
	health  func() Health
	version string
	commit  string
	limits  Limits
	log     *slog.Logger
	meter   *meter
	started time.Time

	base     context.Context // of every request; cancelled when Shutdown gives up waiting
	cancel   context.CancelFunc
	inFlight gate
	bodies   atomic.Int64 // bytes of request bodies held
	conns    conns
	servers  []*listener
}

// listener is one open port.
type listener struct {
	ln     net.Listener
	server *fasthttp.Server
	done   chan struct{} // closed when Serve has returned
}

// New makes a server that does not listen yet.
func New(o Options) *Server {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Health == nil {
		o.Health = func() Health { return Health{Ready: true} }
	}
	s := &Server{
		engine: o.Engine, hub: o.Hub, health: o.Health,
		version: o.Version, commit: o.Commit,
		limits: o.Limits, log: o.Logger,
		meter: newMeter(o.Version, o.Registry), started: time.Now(),
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	s.conns.init()
	s.inFlight.init()
	return s
}

// Listen opens the main listener and, unless qdrantAddr is "off", the second
// one with Qdrant's API at its root, and returns the bound addresses ("off" for
// one that is not open). Port 0 takes a free port. When one cannot be opened,
// neither is.
func (s *Server) Listen(mainAddr, qdrantAddr string) (boundMain, boundQdrant string, err error) {
	main, err := net.Listen("tcp", mainAddr)
	if err != nil {
		return "", "", fmt.Errorf("open the main listener: %w", err)
	}
	if qdrantAddr == "off" {
		s.serve(main, s.mainApp(), surfaceNative)
		return main.Addr().String(), "off", nil
	}
	second, err := net.Listen("tcp", qdrantAddr)
	if err != nil {
		return "", "", errors.Join(fmt.Errorf("open the Qdrant listener: %w", err), main.Close())
	}
	s.serve(main, s.mainApp(), surfaceNative)
	s.serve(second, s.qdrantApp(), surfaceQdrant)
	return main.Addr().String(), second.Addr().String(), nil
}

// serve answers the connections of ln with app. Requests that reach no route
// are answered in the words of fallback.
func (s *Server) serve(ln net.Listener, app *fiber.App, fallback surface) {
	l := &listener{ln: ln, done: make(chan struct{}), server: s.fasthttpServer(app, fallback)}
	s.servers = append(s.servers, l)
	go func() {
		defer close(l.done)
		if err := l.server.Serve(ln); err != nil {
			s.log.Error("listener ended", "address", ln.Addr().String(), "error", err)
		}
	}()
}

// fasthttpServer is where every setting of the HTTP server stands. Bodies are
// streamed, which switches fasthttp's own limit off: guard counts them.
func (s *Server) fasthttpServer(app *fiber.App, fallback surface) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      s.guard(app.Handler(), fallback),
		ErrorHandler:                 s.protocolError(fallback),
		ConnState:                    s.conns.changed,
		Concurrency:                  s.limits.Connections,
		ReadBufferSize:               s.limits.HeaderBytes,
		ReadTimeout:                  s.limits.HeaderTimeout,
		WriteTimeout:                 s.limits.ResponseTimeout,
		IdleTimeout:                  s.limits.IdleTimeout,
		MaxRequestBodySize:           s.limits.Request.BodyBytes,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		TCPKeepalive:                 true,
		Logger:                       debugLogger{s.log},
	}
}

// Shutdown refuses new requests (503), waits for those under way, then closes
// every connection. When ctx ends first it cancels what is under way, closes
// the connections all the same, and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.inFlight.drain(ctx)
	s.cancel()
	for _, l := range s.servers {
		if e := l.ln.Close(); e != nil && err == nil {
			err = fmt.Errorf("close the listener: %w", e)
		}
		<-l.done
	}
	if e := s.conns.drain(ctx); e != nil && err == nil {
		err = e
	}
	return err
}

// debugLogger passes what fasthttp has to say about connections to the log.
type debugLogger struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (d debugLogger) Printf(format string, args ...any) {
	d.log.Debug(fmt.Sprintf(format, args...))
}
