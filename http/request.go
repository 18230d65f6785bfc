package httpedge

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// request is one HTTP request on its way through the edge. It is owned by the
// goroutine that serves the connection and reused after the answer.
type request struct {
	s         *Server
	http      *fasthttp.RequestCtx
	params    *fiber.Ctx // names in the route's path; nil until a route is reached
	surface   surface
	route     string // the table's path, for metrics: never the client's
	start     time.Time
	id        string
	caller    caller
	closes    bool // the connection ends with this answer
	ctx       context.Context
	cancel    context.CancelFunc
	entered   bool // counted by the gate
	uncounted bool // among the tenant's requests: it was refused for its rate
	atRoot    bool // of the listener where Qdrant's API is at the root
	atHub     bool // of the listener where services ask the hub

	stored     stored     // to be told to the tenant
	span       trace.Span // nil: it is not traced
	changesHub bool       // it changes the hub's state
	forwarded  *forwarded // the request came from another node, which admitted it
	failure    error      // and is answered with this

	rate       tenant.RateLeft        // to be told to the tenant; zero: nothing
	counted    bool                   // against its rates, on this node
	row        *route                 // nil until one is reached
	logged     tenant.LoggedOperation // what the operation log will say
	nameBuf    []byte                 // of the collection in the path; kept from request to request
	ofOperator bool                   // by his key
	tenant     tenant.ID              // on whose behalf the handler runs; "" before it does

	body     []byte  // whole, once the route has been admitted
	bodyDone bool    // read to its end
	pooled   *[]byte // where body lives
	held     int     // bytes counted against the server's budget
	bodyMax  int     // of this request; 0: what the server's limits say
}

// caller is what is known of whoever sent a request.
type caller struct {
	address netip.Addr    // zero until request.address is asked
	tenant  string        // for X-Tenant-ID; "" before the key is checked
	retired time.Time     // when a key that was rotated ends; zero: it was not
	signed  *signedHeader // of a service that has yet to prove itself
	kind    tenant.KeyKind
}

// requestKey is where a request is found in its fasthttp.RequestCtx.
type requestKey struct{}

var requests = sync.Pool{New: func() any { return new(request) }}

// methods are those that some route has.
var methods = map[string]bool{"GET": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true}

// guard stands before every route of a listener: it makes the request, refuses
// it while the node drains or when its body is announced too long, and after
// it, whatever happened, settles the answer, the body and the books.
func (s *Server) guard(next fasthttp.RequestHandler, fallback surface) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		r := s.begin(ctx, fallback)
		defer r.end()
		defer r.recovered()
		if !r.entered {
			r.fail(errDraining)
			return
		}
		if !framed(ctx.Request.Header.RawHeaders()) {
			r.closes = true
			r.fail(errFraming)
			return
		}
		if s.door.Implicit != "" {
			if err := r.guardOpen(); err != nil {
				r.fail(err)
				return
			}
		}
		if r.preflight() {
			return
		}
		if !methods[text(ctx.Method())] {
			r.fail(errMethod)
			return
		}
		if ctx.Request.Header.ContentLength() > s.limits.Request.BodyBytes && !bytes.HasSuffix(ctx.Path(), []byte("/import")) {
			r.fail(errTooLarge(s.limits.Request.BodyBytes))
			return
		}
		next(ctx)
	}
}

func (s *Server) begin(ctx *fasthttp.RequestCtx, fallback surface) *request {
	r := requests.Get().(*request)
	*r = request{s: s, http: ctx, surface: fallback, route: "none", start: time.Now(), ctx: s.base, nameBuf: r.nameBuf}
	r.atRoot, r.atHub = fallback == surfaceQdrant, fallback == surfaceOperator
	if fallback == surfaceNative && underQdrantPrefix(ctx.URI().PathOriginal()) {
		r.surface = surfaceQdrant
	}
	r.id = requestID(ctx.Request.Header.Peek("X-Request-Id"))
	s.conns.begin(ctx.Conn())
	r.entered = s.inFlight.enter()
	ctx.SetUserValue(requestKey{}, r)
	r.closes = !r.entered
	r.setHeaders()
	return r
}

// of returns the request that guard made.
func of(ctx *fasthttp.RequestCtx) *request {
	r, ok := ctx.UserValue(requestKey{}).(*request)
	if !ok {
		panic("BUG: a handler was reached past the guard")
	}
	return r
}

func (r *request) end() {
	if r.cancel != nil {
		r.cancel()
	}
	if r.span != nil {
		r.span.End() // a handler's panic
	}
	r.settleBody()
	r.releaseBody()
	if r.caller.tenant != "" && !r.uncounted {
		r.s.count(tenant.ID(r.caller.tenant))
	}
	if r.caller.tenant != "" {
		r.s.tenants.of(r.caller.tenant).count(r)
	}
	r.s.meter.request(r.surface, r.route, r.http.Response.StatusCode(), r.elapsed())
	r.logOperation()
	if r.entered {
		r.s.inFlight.leave()
	}
	r.http.RemoveUserValue(requestKey{})
	*r = request{nameBuf: r.nameBuf}
	requests.Put(r)
}

// recovered turns a panic of a handler into an answer without inner text.
func (r *request) recovered() {
	p := recover()
	if p == nil {
		return
	}
	r.s.log.LogAttrs(r.ctx, slog.LevelError, "panic in a handler",
		slog.String("request_id", r.id), slog.String("route", r.route),
		slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	r.http.Response.ResetBody()
	r.fail(collection.Errorf(collection.Internal, "panic"))
}

// param returns a parameter of the path, decoded, in memory of its own.
func (r *request) param(name string) (string, error) {
	raw := r.params.Params(name)
	if strings.IndexByte(raw, '%') < 0 {
		return strings.Clone(raw), nil
	}
	return unescape(raw)
}

func (r *request) query(name string) (string, bool) {
	args := r.http.QueryArgs()
	if !args.Has(name) {
		return "", false
	}
	return string(args.Peek(name)), true
}

func (r *request) header(name string) string { return string(r.http.Request.Header.Peek(name)) }

// requestIDMax is the longest id that is taken from a client.
const requestIDMax = 64

// requestID keeps a client's id when it is harmless, and makes one otherwise.
func requestID(given []byte) string {
	if n := len(given); n > 0 && n <= requestIDMax {
		ok := true
		for _, c := range given {
			ok = ok && isNameByte(c)
		}
		if ok {
			return string(given)
		}
	}
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	return hex.EncodeToString(raw[:])
}

func isNameByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.'
}

// setHeaders sets what every answer carries. The answers are data of one
// tenant: no browser may guess their type, frame or keep them.
func (r *request) setHeaders() {
	h := &r.http.Response.Header
	h.SetCanonical(nosniffName, nosniffValue)
	h.SetCanonical(frameName, frameValue)
	h.SetCanonical(policyName, policyValue)
	h.SetCanonical(referrerName, referrerValue)
	h.SetCanonical(cacheName, cacheValue)
	h.Set("X-Request-Id", r.id)
	if r.http.IsTLS() {
		h.SetCanonical(transportName, transportValue)
	}
	r.allowOrigin()
	r.setCaller()
	if r.closes {
		h.SetConnectionClose()
	}
}

// setCaller tells the caller who he is taken for.
func (r *request) setCaller() {
	h := &r.http.Response.Header
	if r.caller.tenant != "" {
		h.Set("X-Tenant-Id", r.caller.tenant)
	}
	r.rateHeaders()
	if !r.caller.retired.IsZero() {
		h.Set("X-Api-Key-Deprecated", "true")
		h.Set("X-Api-Key-Expires", r.caller.retired.UTC().Format(time.RFC3339))
	}
}

var (
	nosniffName, nosniffValue   = []byte("X-Content-Type-Options"), []byte("nosniff")
	frameName, frameValue       = []byte("X-Frame-Options"), []byte("DENY")
	policyName, policyValue     = []byte("Content-Security-Policy"), []byte("default-src 'none'; frame-ancestors 'none'")
	referrerName, referrerValue = []byte("Referrer-Policy"), []byte("no-referrer")
	cacheName, cacheValue       = []byte("Cache-Control"), []byte("no-store")

	transportName, transportValue = []byte("Strict-Transport-Security"), []byte("max-age=31536000")
)
