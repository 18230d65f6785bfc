package httpedge

import (
	"context"
	"time"

	"github.com/valyala/fasthttp"
)

// part is a request that this one is made of: to be answered by the node in
// charge, in time of its own. It is counted against no rate: the whole was. Its
// cancel ends it.
func (r *request) part(method, uri string) *request {
	whole := partOf{s: r.s, id: r.id, start: r.start, address: r.caller, ctx: r.ctx}
	whole.address.address = r.address()
	return whole.part(method, uri)
}

// partOf is what the parts of a request know of it, also when it is over.
type partOf struct {
	s       *Server
	id      string
	start   time.Time
	address caller
	ctx     context.Context
}

func (p *partOf) part(method, uri string) *request {
	var c fasthttp.RequestCtx
	c.Init(&fasthttp.Request{}, nil, nil)
	c.Request.Header.SetMethod(method)
	c.Request.SetRequestURI(apiPrefix + uri)
	part := &request{
		s: p.s, http: &c, surface: surfaceNative, route: "none", start: p.start, id: p.id, bodyDone: true, counted: true,
		caller: caller{address: p.address.address, tenant: p.address.tenant},
	}
	part.ctx, part.cancel = context.WithTimeout(p.ctx, p.s.limits.RequestedTimeMax)
	return part
}

// takePart notes what the answer to a part says of the tenant.
func (r *request) takePart(part *request) {
	r.stored = part.stored
	r.stored.tell(r)
}
