package httpedge

import (
	"cmp"
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
	"go.opentelemetry.io/otel/trace"

	"github.com/hivehub/waggle/http/embedding"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Options is what a Server is made of.
type Options struct {
	Engine  Engine
	Hub     Hub
	Cluster Cluster       // nil: there are no other nodes
	Nodes   Nodes         // what the operator may ask about the cluster; nil: nothing
	Health  func() Health // called for every probe: it must be cheap. nil: always ready
	Rates   Rates         // counts requests; nil lets none in where there are rates
	// AgentRates counts calls of MCP tools, apart from requests.
	AgentRates Rates
	Version    string // of Waggle
	Commit     string // 40 characters, or ""
	Limits     Limits
	Access     Access // its Validate has no fault
	Embedding  Embedding
	// RecordAuth tells the hub who came with which key; nil tells nobody.
	RecordAuth func(context.Context, []hubsvc.AuthSeen) error
	// Count counts a request that was answered for a tenant, on the node that the
	// client asked, whoever carried it out; nil counts nothing. A request whose key
	// was refused is nobody's, and one that was refused for its rate is not counted.
	Count  func(tenant.ID)
	Logger *slog.Logger // nil: nothing is logged
	// OperationLog keeps what was asked for; nil keeps nothing.
	OperationLog OperationLog
	// Registry holds the series of the rest of the node. Only the operator sees
	// them. The process and Go collectors are the edge's own: do not add them.
	Registry prometheus.Gatherer
	// MeteredTenants is how many tenants the operator is shown one by one among the
	// series, the busiest; default 20.
	MeteredTenants int
	// Tracer makes the spans of requests; nil: nothing is traced.
	Tracer trace.Tracer
}

// Health is the state of the node as the probes show it.
type Health struct {
	Ready  bool
	Reason string         // why not ready, for the operator
	Notes  map[string]any // what everybody may know of a node that is ready
	Parts  map[string]any // further members of the operator's view: "hub", "cluster", ...
}

// Server is the edge of one node. New makes it, Serve lets requests in,
// Shutdown ends it; it cannot be used again.
type Server struct {
	engine  Engine
	hub     Hub
	cluster Cluster
	nodes   Nodes
	rates   Rates
	shut    shut
	health  func() Health
	version string
	commit  string
	limits  Limits
	door    door
	log     *slog.Logger
	meter   *meter
	tracer  trace.Tracer
	tenants tenantMeter
	metered int // tenants that the operator is shown
	count   func(tenant.ID)
	started time.Time

	base     context.Context // of every request; cancelled when Shutdown gives up waiting
	cancel   context.CancelFunc
	inFlight gate
	waiters  atomic.Int64 // requests that wait for events
	bodies   atomic.Int64 // bytes of request bodies held
	conns    conns
	ports    []*port

	agents   *agents
	forwards fasthttp.RequestHandler // routes what other nodes send

	operations   []*native // the native API's
	replacing    *replacing
	embed        Embedding
	operationLog OperationLog
}

// port is one listener and the server behind it.
type port struct {
	ln     net.Listener
	server *fasthttp.Server
	done   chan struct{} // closed when the server accepts no more
}

// New makes a server that does not serve yet.
func New(o Options) *Server {
	if o.Rates == nil {
		o.Rates = closed{}
	}
	if o.AgentRates == nil {
		o.AgentRates = closed{}
	}
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Count == nil {
		o.Count = func(tenant.ID) {}
	}
	if o.Health == nil {
		o.Health = func() Health { return Health{Ready: true} }
	}
	s := &Server{
		engine: o.Engine, hub: o.Hub, cluster: o.Cluster, nodes: o.Nodes, rates: o.Rates, health: o.Health,
		version: o.Version, commit: o.Commit, operationLog: o.OperationLog,
		limits: o.Limits, door: newDoor(&o), log: o.Logger,
		embed: o.Embedding, tracer: o.Tracer,
		count: o.Count, started: time.Now(), metered: cmp.Or(o.MeteredTenants, meteredDefault),
	}
	s.meter = newMeter(o.Version, load{s}, o.Registry)
	s.base, s.cancel = context.WithCancel(context.Background())
	if s.embed.Client == nil {
		s.embed.Client = embedding.New(embedding.Options{})
	}
	s.embed.Client.Observe(s.meter.embedded)
	s.conns.init()
	s.inFlight.init()
	s.replacing = newReplacing()
	s.operations = s.natives()
	s.agents = newAgents(s, o.AgentRates)
	s.forwards = s.mainApp().Handler()
	return s
}

// Serve answers on main and, unless it is nil, on qdrant, where Qdrant's API is
// at the root. It returns at once and takes the listeners over: Shutdown closes
// them.
func (s *Server) Serve(main, qdrant net.Listener) {
	s.door.sightings.run()
	s.serve(main, s.mainApp(), surfaceNative)
	if qdrant != nil {
		s.serve(qdrant, s.qdrantApp(), surfaceQdrant)
	}
}

// ServeHub answers on a listener of its own what only services and the operator
// ask, after Serve. It returns at once and takes the listener over.
func (s *Server) ServeHub(hub net.Listener) { s.serve(hub, s.hubApp(), surfaceOperator) }

// serve answers the connections of ln with app. Requests that reach no route
// are answered in the words of fallback.
func (s *Server) serve(ln net.Listener, app *fiber.App, fallback surface) {
	p := &port{ln: ln, done: make(chan struct{}), server: s.fasthttpServer(app, fallback)}
	s.ports = append(s.ports, p)
	go func() {
		defer close(p.done)
		if err := p.server.Serve(ln); err != nil {
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
	s.door.sightings.stop(ctx)
	for _, p := range s.ports {
		if e := p.ln.Close(); e != nil && !errors.Is(e, net.ErrClosed) && err == nil {
			err = fmt.Errorf("close the listener: %w", e)
		}
		<-p.done
	}
	s.embed.Client.Close()
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
