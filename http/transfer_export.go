package httpedge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// exportPage is how many points are asked for at a time; fewer when they are large.
const exportPage = 500

// exportPageMedia is the type of a page between nodes: a line with the cursor of
// the next page, "" for none, and then the lines of the points.
const exportPageMedia = "application/x-ndjson; page"

var exportLine = shapeOf(reflect.TypeFor[nativePoint]())

type exportRequest struct {
	Collection  collectionName `path:"name"`
	Cursor      string         `query:"cursor,omitempty" doc:"The id of a point: the export begins with it, or with the next one that is there." max:"64"`
	WithPayload bool           `query:"with_payload" default:"true"`
	WithVector  bool           `query:"with_vector" default:"true"`
}

// exportVectors sends the first page, or an error, and the rest as fast as the
// client takes it. Another node asks for one page at a time.
func (s *Server) exportVectors(r *request, tc tenant.Context, q *exportRequest) (nothing, error) {
	if r.forwarded != nil {
		return nothing{}, s.exportPage(r, tc, q)
	}
	e := &export{s: s, tc: tc, q: *q, left: s.limits.ResponseTimeout, conn: r.http.Conn()}
	e.of = partOf{s: s, id: r.id, start: r.start, address: caller{address: r.address(), tenant: r.caller.tenant}, ctx: r.ctx}
	if err := e.page(); err != nil {
		return nothing{}, err
	}
	e.of.ctx, e.cancel = context.WithCancel(s.base)
	h := &r.http.Response
	h.SetStatusCode(200)
	h.Header.SetContentType(ndjsonMedia)
	if acceptsGzip(r.header("Accept-Encoding")) {
		h.Header.Set("Content-Encoding", encodingGzip)
		h.Header.Set("Vary", "Accept-Encoding")
		e.compress()
	}
	h.SetBodyStream(e, -1)
	return nothing{}, nil
}

// acceptsGzip reports whether a client takes an answer that is compressed so.
func acceptsGzip(header string) bool {
	for one := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), encodingGzip) {
			weight = strings.ReplaceAll(weight, " ", "")
			return weight != "q=0" && strings.TrimRight(weight, "0") != "q=0."
		}
	}
	return false
}

// exportPage answers with one page, as exportPageMedia.
func (s *Server) exportPage(r *request, tc tenant.Context, q *exportRequest) error {
	info, err := s.engine.GetCollection(r.ctx, tc, string(q.Collection))
	if err != nil {
		return err
	}
	parts := shownParts{WithPayload: q.WithPayload, WithVector: q.WithVector}
	req := collection.ScrollRequest{Limit: pageOfCopy(&info.Config, exportPage)}
	req.WithPayload, req.WithVector = parts.selectors()
	if q.Cursor != "" {
		if req.Offset, err = readCursor(q.Cursor); err != nil {
			return err
		}
	}
	page, err := s.engine.Scroll(r.ctx, tc, string(q.Collection), req)
	if err != nil {
		return err
	}
	b := append([]byte(cursorOf(page.Next)), '\n')
	for i := range page.Points {
		shown := shownPoint(&page.Points[i])
		b = append(exportLine.write(b, reflect.ValueOf(&shown).Elem()), '\n')
	}
	r.send(200, b)
	r.http.Response.Header.SetContentType(exportPageMedia)
	return nil
}

// export is the rest of an answer that is read as the client takes it. It is
// owned by the goroutine that serves the connection, also when the request that
// it belongs to is over.
type export struct {
	s      *Server
	tc     tenant.Context
	q      exportRequest
	of     partOf
	cancel context.CancelFunc
	conn   net.Conn
	left   time.Duration // that the client has for a page

	lines []byte // of the page, not yet read
	ended bool
	err   error

	packer *gzip.Writer // nil: it is sent as it is
	packed bytes.Buffer
}

// page asks the node in charge for the next page.
func (e *export) page() error {
	rt := &route{
		method: fasthttp.MethodGet, path: "/collections/:name/export", surface: surfaceNative, op: tenant.OpDownload, logs: tenant.LogFile,
		handle: func(part *request, tc tenant.Context) error { return e.s.exportPage(part, tc, &e.q) },
	}
	query := url.Values{"with_payload": {strconv.FormatBool(e.q.WithPayload)}, "with_vector": {strconv.FormatBool(e.q.WithVector)}}
	if e.q.Cursor != "" {
		query.Set("cursor", e.q.Cursor)
	}
	part := e.of.part(rt.method, "/collections/"+url.PathEscape(string(e.q.Collection))+"/export?"+query.Encode())
	defer part.cancel()
	if err := part.inCharge(rt, e.tc); err != nil {
		return err
	}
	cursor, lines, ok := bytes.Cut(part.http.Response.Body(), []byte{'\n'})
	if !ok {
		return errors.New("a page of an export without a cursor")
	}
	e.q.Cursor, e.lines, e.ended = string(cursor), lines, len(cursor) == 0
	return nil
}

// compress makes e compressed from here on.
func (e *export) compress() { e.packer = gzip.NewWriter(&e.packed) }

// Read implements io.Reader. An error ends the connection without the end of the
// answer: the client sees that it is not whole.
func (e *export) Read(p []byte) (int, error) {
	for e.err == nil {
		if e.packed.Len() > 0 {
			return e.packed.Read(p)
		}
		if e.packer == nil && len(e.lines) > 0 {
			n := copy(p, e.lines)
			e.lines = e.lines[n:]
			return n, nil
		}
		e.err = e.more()
	}
	return 0, e.err
}

// more gets something to read, or says that there is nothing more.
func (e *export) more() error {
	if len(e.lines) == 0 && !e.ended {
		if err := e.page(); err != nil {
			e.s.log.Warn("an export is broken off", "request_id", e.of.id, "error", err)
			return err
		}
		if err := e.conn.SetWriteDeadline(time.Now().Add(e.left)); err != nil {
			return err
		}
	}
	switch {
	case e.packer == nil && len(e.lines) == 0 && e.ended:
		return io.EOF
	case e.packer == nil:
		return nil
	case len(e.lines) > 0:
		_, err := e.packer.Write(e.lines)
		e.lines = nil
		return err
	case e.ended && e.packed.Len() == 0:
		packer := e.packer
		e.packer = nil
		return packer.Close()
	}
	return nil
}

// Close implements io.Closer: the server is done with the answer.
func (e *export) Close() error {
	if e.cancel != nil {
		e.cancel()
	}
	return nil
}
