package httpedge

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// surface is whose words a route speaks.
type surface uint8

const (
	surfaceNative   surface = iota + 1 // Waggle's own
	surfaceOperator                    // Waggle's own, for the operator key
	surfaceQdrant                      // Qdrant's REST API
	surfaceMCP                         // the Model Context Protocol
)

// String returns the surface's name in metrics.
func (s surface) String() string {
	switch s {
	case surfaceNative:
		return "native"
	case surfaceOperator:
		return "operator"
	case surfaceQdrant:
		return "qdrant"
	case surfaceMCP:
		return "mcp"
	}
	return "unknown"
}

// qdrantPrefix is where Qdrant's API lives on the main listener.
const qdrantPrefix = "/qdrant"

func underQdrantPrefix(path []byte) bool {
	rest, ok := bytes.CutPrefix(path, []byte(qdrantPrefix))
	return ok && (len(rest) == 0 || rest[0] == '/')
}

// handler answers a request on behalf of a tenant, or of the operator. It
// writes an answer, or returns the error to answer with.
type handler func(r *request, tc tenant.Context) error

// openHandler answers a request of anybody.
type openHandler func(r *request) error

// route is one row of the route table. Either handle or open is set, and open
// goes with OpPublic and a name in publicRoutes.
type route struct {
	method  string
	path    string // below the surface's root
	surface surface
	op      tenant.Operation
	handle  handler
	open    openHandler

	anywhere bool // answered by the node that is asked, whoever is in charge
	ofHub    bool // answered by the node that leads the hub, not the tenant's

	logs  tenant.OperationType // in the operation log; 0: see operationType
	label string               // the name of the operation there; register sets it
	named bool                 // the path names a collection; likewise

	media   string // type of the body; "": it is not looked at
	streams bool   // the handler reads the body, unless all of it is signed
}

// publicRoutes are the routes that answer without a key, all of them.
var publicRoutes = map[string]bool{
	"native GET /":                              true, // name and version
	"native GET /health":                        true, // one word; the operator's key shows more
	"native GET /health/live":                   true,
	"native GET /health/ready":                  true,
	"native GET /metrics":                       true, // of the process; the operator's key shows more
	"native GET /openapi.json":                  true, // what can be asked
	"native GET /api/v1/openapi.json":           true,
	"native GET /reference":                     true, // the same for people
	"native GET /reference.js":                  true,
	"native GET /reference.css":                 true,
	"native POST /hub/validate-key":             true, // of a key that the caller has
	"native POST /api/v1/cluster/keys/validate": true, // likewise
	"qdrant GET /":                              true, // clients check the version before they send a key
	"qdrant GET /healthz":                       true,
	"qdrant GET /livez":                         true,
	"qdrant GET /readyz":                        true,
}

func (rt *route) name() string { return rt.surface.String() + " " + rt.method + " " + rt.path }

// check panics for a row that would let a request past the key check.
func (rt *route) check() {
	public := rt.op == tenant.OpPublic
	if rt.op == 0 || public != (rt.open != nil) || public == (rt.handle != nil) || public != publicRoutes[rt.name()] {
		panic("BUG: route " + rt.name() + " must be public by name, or have an operation and a handler with a tenant")
	}
	if !public && !rt.operationType().Valid() {
		panic("BUG: route " + rt.name() + " has no operation type, and none follows from its path: set logs")
	}
	if rt.ofNoTenant() != (rt.surface == surfaceOperator) {
		panic("BUG: route " + rt.name() + " mixes the operator's surface with another")
	}
}

// routes is the whole table.
func (s *Server) routes() []route {
	all := append(append(s.nativeRoutes(), append(s.hubRoutes(), append(s.selfServiceRoutes(), s.usageRoutes()...)...)...), s.qdrantRoutes()...)
	if s.nodes != nil {
		all = append(all, s.clusterRoutes()...)
	}
	return append(append(append(all, s.referenceRoutes()...), s.operationRoutes()...), s.mcpRoutes()...)
}

// mainApp routes the main listener: everything, Qdrant's API below its prefix.
func (s *Server) mainApp() *fiber.App {
	app := newApp()
	for _, rt := range s.routes() {
		prefix := ""
		if rt.surface == surfaceQdrant {
			prefix = qdrantPrefix
		}
		s.register(app, prefix, rt)
	}
	return app
}

// qdrantApp routes the second listener: Qdrant's API at the root.
func (s *Server) qdrantApp() *fiber.App {
	app := newApp()
	for _, rt := range s.qdrantRoutes() {
		s.register(app, "", rt)
	}
	return app
}

// hubApp routes the listener for services: the hub's API and the operator's,
// and the probes.
func (s *Server) hubApp() *fiber.App {
	app := newApp()
	for _, rt := range s.routes() {
		if rt.surface == surfaceOperator || rt.surface == surfaceNative && rt.op == tenant.OpPublic {
			s.register(app, "", rt)
		}
	}
	return app
}

// newApp makes a router. Its paths stay encoded, so that an encoded slash in a
// name is no separator; a handler decodes its own parameters. A slash at the
// end of a path does not count.
func newApp() *fiber.App {
	return fiber.New(fiber.Config{
		CaseSensitive:         true,
		DisableStartupMessage: true,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			of(c.Context()).fail(routingError(err))
			return nil
		},
	})
}

// routingError is the answer to a request that reached no route.
func routingError(err error) error {
	var f *fiber.Error
	if !errors.As(err, &f) {
		return err
	}
	switch f.Code {
	case fiber.StatusNotFound:
		return collection.Errorf(collection.NotFound, "there is nothing at this path")
	case fiber.StatusMethodNotAllowed:
		return errMethod
	}
	return collection.Errorf(collection.InvalidArgument, "bad request")
}

// register is the one way a handler gets a path.
func (s *Server) register(app *fiber.App, prefix string, rt route) {
	rt.check()
	rt.logs, rt.label, rt.named = rt.operationType(), rt.method+" "+rt.path, hasName(&rt)
	app.Add(rt.method, prefix+rt.path, func(c *fiber.Ctx) error {
		r := of(c.Context())
		r.params, r.surface, r.route = c, rt.surface, rt.path
		if err := r.run(&rt); err != nil {
			r.fail(err)
		}
		return nil
	})
}

// run takes a request through what stands before every handler.
func (r *request) run(rt *route) error {
	r.routed(rt)
	if rt.open != nil {
		return rt.open(r)
	}
	tc, err := r.admit(rt)
	if err != nil {
		return err
	}
	if err := r.limitTime(rt.op); err != nil {
		return err
	}
	if err := r.checkMedia(rt.media); err != nil {
		return err
	}
	switch {
	case rt.method == fiber.MethodGet:
	case rt.streams && r.caller.signed == nil:
		r.limitStream()
	default:
		if err := r.readBody(); err != nil {
			return err
		}
	}
	if r.caller.signed != nil { // the body is a part of what is signed
		if tc, err = r.prove(rt); err != nil {
			return err
		}
	}
	if err := r.decompress(); err != nil {
		return err
	}
	if err := r.checkPath(rt, &tc); err != nil {
		return err
	}
	if rt.op == tenant.OpAdmin || rt.ofNoTenant() {
		r.ctx = hubsvc.WithActor(r.ctx, r.actor(&tc))
	}
	r.beginSpan(rt, string(tc.TenantID))
	err = r.inCharge(rt, tc)
	r.endSpan(err)
	if err != nil && r.forwarded == nil && asError(err).Reason == collection.ReasonRate {
		r.refusedByRate(&tc, asError(err))
	}
	if err != nil && r.caller.signed != nil && asError(err).Reason == collection.ReasonNonceReplayed {
		r.unproven(err)
	}
	return err
}

// checkPath refuses a collection that the key is not for, by its name alone:
// whether there is one of that name makes no difference.
func (r *request) checkPath(rt *route, tc *tenant.Context) error {
	if tc.Scope == nil || rt.surface == surfaceOperator || !strings.Contains(rt.path, "/:name") {
		return nil
	}
	name, err := r.param("name")
	if err != nil {
		return err
	}
	return mayCollection(tc, name)
}

// mayCollection refuses a name that the key is not for. It is asked for every
// name that a request holds, wherever it stands.
func mayCollection(tc *tenant.Context, name string) error {
	if !tc.MayCollection(name) {
		return errNarrowed
	}
	return nil
}

// protocolError answers what is no HTTP request, and what a client was too
// slow to send. No request was made for it yet.
func (s *Server) protocolError(fallback surface) func(*fasthttp.RequestCtx, error) {
	return func(ctx *fasthttp.RequestCtx, err error) {
		r := &request{s: s, http: ctx, surface: fallback, route: "none", start: time.Now(), ctx: s.base, id: requestID(nil), closes: true}
		r.fail(protocolFault(err))
		s.meter.request(r.surface, r.route, ctx.Response.StatusCode(), 0)
	}
}

func protocolFault(err error) error {
	var small *fasthttp.ErrSmallBuffer
	if errors.As(err, &small) {
		return &collection.Error{Code: collection.InvalidArgument, Reason: reasonHeaderTooLong, Message: "the request's headers are too large", Err: err}
	}
	if slow := uploadError(err); faultOf(asError(slow)).native == fasthttp.StatusRequestTimeout || strings.Contains(err.Error(), "timeout") {
		return &collection.Error{Code: collection.DeadlineExceeded, Reason: reasonSlowBody, Message: "the request arrived too slowly", Err: err}
	}
	return &collection.Error{Code: collection.InvalidArgument, Message: "this is not an HTTP request", Err: err}
}
