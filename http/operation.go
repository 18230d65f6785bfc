package httpedge

import (
	"cmp"
	"errors"
	"reflect"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// apiPrefix is where the native API lives; the same paths without it are the
// same handlers.
const apiPrefix = "/api/v1"

// operation is one operation of the native API: all that any surface of it is
// made of. Its routes, the decoder of its requests, its part of the OpenAPI
// document, its row of docs/api.md and its MCP tool come from this value, and
// so cannot say different things.
//
// To add one:
//
//  1. Declare its request Q and its answer A as structs (see shape for the
//     types and tags that there are; a name of a collection is always a
//     collectionName, an id of a point a vectorID, so that what holds for every
//     one of them is checked for yours).
//  2. Write do. Q has been decoded and is within its limits, and the key is for
//     every collection that it names, when do is called. What do returns is
//     encoded as it is.
//  3. Put the value into the list of its area: nativeCollections, nativeVectors,
//     nativeSearch, ... A new area gets a list of its own, called in natives.
//  4. Say in matrix_test.go (rules) of which row of the contract's table of
//     permissions the route is, and in bodyOf with which body it does something.
//  5. Run go test ./http -run 'TestAPIPage' -update-api, which writes the table
//     of docs/api.md.
//
// A list is walked once for every server: what it holds must not depend on
// anything but the server.
type operation[Q, A any] struct {
	id      string               // in snake case, never used for anything else: insert_texts
	method  string               // of HTTP
	path    string               // below the root, and below /api/v1: /collections/:name
	op      tenant.Operation     // who may: a row of the contract's table
	logs    tenant.OperationType // in the operation log
	summary string               // what it does, in one line
	about   string               // what else a caller has to know; "": nothing
	status  int                  // of success; 0: 200
	media   string               // type of a body that is no JSON: it is do's to read from r.body
	answers string               // type of an answer that is no JSON: it is do's to send

	anywhere bool // answered by the node that is asked, whoever is in charge
	ofHub    bool // answered by the node that leads the hub, not the tenant's
	later    bool // it is not built: no tool, and do has no answer
	streams  bool // do reads the body as it arrives, of any length: with media, and anywhere

	tagged bool // it has an ETag, and may answer 304

	do func(r *request, tc tenant.Context, q *Q) (A, error)
}

// native is an operation as the surfaces use it: without its types.
type native struct {
	id, method, path       string
	op                     tenant.Operation
	logs                   tenant.OperationType
	summary, about         string
	status                 int
	media, answers         string
	anywhere, ofHub, later bool
	streams, tagged        bool

	request *shape // of a struct
	answer  *shape
	fresh   func() reflect.Value // a new request, addressable
	run     func(r *request, tc tenant.Context, q reflect.Value) (reflect.Value, error)
}

// native returns o without its types.
func (o operation[Q, A]) native() *native {
	n := &native{
		id: o.id, method: o.method, path: o.path, op: o.op, logs: o.logs, summary: o.summary, about: o.about,
		status: o.status, media: o.media, answers: o.answers, anywhere: o.anywhere, ofHub: o.ofHub, later: o.later, streams: o.streams, tagged: o.tagged,
		request: shapeOf(reflect.TypeFor[Q]()), answer: shapeOf(reflect.TypeFor[A]()),
		fresh: func() reflect.Value { return reflect.ValueOf(new(Q)).Elem() },
		run: func(r *request, tc tenant.Context, q reflect.Value) (reflect.Value, error) {
			a, err := o.do(r, tc, q.Addr().Interface().(*Q))
			return reflect.ValueOf(&a).Elem(), err
		},
	}
	if n.status == 0 {
		n.status = 200
	}
	if n.id == "" || n.op == 0 || n.summary == "" || !n.logs.Valid() || o.do == nil {
		panic("BUG: operation " + n.id + " " + n.method + " " + n.path + " is not whole")
	}
	n.request.checkPath(n.path)
	return n
}

// natives is the whole table.
func (s *Server) natives() []*native {
	return slices.Concat(s.nativeCollections(), s.nativeVectors(), s.nativeMoves(), s.nativeSearch(), s.nativeTexts(), s.nativeEmbed(), s.nativeDiscover(), s.nativeUsage(), s.nativeTransfer(), s.nativeFiles(), nativeLater())
}

// operationRoutes are the routes of the table: each with and without the prefix.
func (s *Server) operationRoutes() []route {
	all := make([]route, 0, 2*len(s.operations))
	for _, n := range s.operations {
		for _, prefix := range []string{apiPrefix, ""} {
			all = append(all, route{
				method: n.method, path: prefix + n.path, surface: surfaceNative, op: n.op, handle: n.serve,
				anywhere: n.anywhere, ofHub: n.ofHub, media: cmp.Or(n.media, jsonMedia), logs: n.logs, streams: n.streams,
			})
		}
	}
	return all
}

// serve answers an HTTP request.
func (n *native) serve(r *request, tc tenant.Context) error {
	q := n.fresh()
	if err := n.request.readRequest(r, &tc, n, q); err != nil {
		return err
	}
	a, err := n.run(r, tc, q)
	if errors.Is(err, errNotModified) {
		r.http.Response.SetStatusCode(fasthttp.StatusNotModified)
		return nil
	}
	if err != nil || n.answers != "" {
		return err
	}
	r.send(n.status, n.answer.write(make([]byte, 0, 512), a))
	return nil
}

// errNotModified is what an operation returns that has nothing new for whoever
// sent If-None-Match.
var errNotModified = errors.New("not modified")

// call answers a request whose members are all in one JSON object, wherever
// they stand in the request of HTTP, and returns the answer as JSON. It is for a
// surface that has one route for all operations: here the row is checked that
// the route table checks for the others.
func (n *native) call(r *request, tc tenant.Context, arguments []byte) (answer []byte, err error) {
	r.logged.Operation, r.logged.Type = n.id, n.logs
	defer func() {
		if err != nil {
			r.failedWith(faultOf(asError(err)).word)
		}
	}()
	switch {
	case n.media != "" || n.answers != "":
		panic("BUG: operation " + n.id + " is not of JSON and was called by its name")
	case !tc.May(n.op) && tc.Suspended:
		return nil, errSuspended
	case !tc.May(n.op):
		return nil, errForbidden
	}
	q := n.fresh()
	if err := n.request.readArguments(r, &tc, arguments, q); err != nil {
		return nil, err
	}
	a, err := n.run(r, tc, q)
	if err != nil {
		return nil, err
	}
	return n.answer.write(make([]byte, 0, 512), a), nil
}

// nativeWriteOptions says how a native change of points is answered: when it is
// applied. So every answer can say what happened.
func (r *request) nativeWriteOptions() (collection.WriteOptions, error) {
	o, err := r.writeOptions()
	if given, there := r.query("wait"); err == nil && there && given != "" && !o.Wait {
		err = errParameter("query parameters", "wait: changes through this API are always waited for")
	}
	o.Wait = true
	return o, err
}
