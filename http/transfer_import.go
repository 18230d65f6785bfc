package httpedge

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/collection/chunk"
	"github.com/hivehub/waggle/tenant"
)

// ndjsonMedia is the type of what is imported and exported: a JSON object a line.
const ndjsonMedia = "application/x-ndjson"

const (
	// importPageBytes bounds a page of an import: as much as is held of it at a
	// time, and a line.
	importPageBytes = 4 << 20
	// importPageLines bounds its lines: so that they are no more points than one
	// change may be, also where texts are stored in chunks.
	importPageLines = 5000
	// importErrorsMax is how many wrong lines an answer describes.
	importErrorsMax = 100
)

// nativeTransfer are the operations that move more than one request holds.
func (s *Server) nativeTransfer() []*native {
	return []*native{
		operation[importRequest, imported]{
			id: "import_vectors", method: "POST", path: "/collections/:name/import", op: tenant.OpUpload, logs: tenant.LogInsert, media: ndjsonMedia, anywhere: true, streams: true,
			summary: "Store vectors and texts from a stream of lines (NDJSON), of any length.",
			about: "Each line is a JSON object as of insert_vectors, or with text as of insert_texts. Lines are stored page by page as they arrive, each page whole or not at all;" +
				" all before a line that is wrong are stored, and the answer says where it stopped. An id that is there already is replaced." +
				" With an Idempotency-Key the same stream can be sent again after a fault: what was stored is not stored twice. The body may be compressed.",
			do: s.importVectors,
		}.native(),
		operation[exportRequest, nothing]{
			id: "export_vectors", method: "GET", path: "/collections/:name/export", op: tenant.OpDownload, logs: tenant.LogFile, answers: ndjsonMedia, anywhere: true,
			summary: "Send all vectors of a collection with their payloads as lines (NDJSON), which import_vectors takes.",
			about: "In the order of their ids. Each page of some hundred is of one state; what is written meanwhile is in it or not." +
				" An answer that ends without the last chunk of HTTP is broken off. It is compressed for a client that accepts gzip.",
			do: s.exportVectors,
		}.native(),
	}
}

type importRequest struct {
	Collection collectionName `path:"name"`
	OnError    string         `query:"on_error" default:"stop" enum:"stop,skip" doc:"What happens at a line that is wrong: the import ends before it, or passes over it."`
}

// importLine is a line of an import.
type importLine struct {
	ID       vectorID                            `json:"id,omitempty" alias:"client_id"`
	Text     string                              `json:"text,omitempty" alias:"content"`
	Vector   []float32                           `json:"vector,omitempty" alias:"data,embedding"`
	Vectors  map[string][]float32                `json:"vectors,omitempty" max:"64"`
	Sparse   map[string]*collection.SparseVector `json:"sparse,omitempty" max:"64"`
	Payload  collection.Payload                  `json:"payload,omitempty"`
	Metadata collection.Payload                  `json:"metadata,omitempty"`
}

var importLines = shapeOf(reflect.TypeFor[importLine]())

type imported struct {
	Collection collectionName `json:"collection"`
	Lines      int            `json:"lines" doc:"How many were read, empty ones among them."`
	Imported   int            `json:"imported" doc:"How many are stored."`
	Points     int            `json:"points" doc:"As how many points: a long text is stored in chunks."`
	Failed     int            `json:"failed" doc:"How many were wrong and passed over."`
	Errors     []lineFault    `json:"errors" doc:"What was wrong, of the first 100."`
}

type lineFault struct {
	Line  int    `json:"line" doc:"From 1."`
	Error string `json:"error"`
}

// add adds what was done with the next page.
func (d *imported) add(page *imported) {
	for _, f := range page.Errors {
		if len(d.Errors) < importErrorsMax {
			d.Errors = append(d.Errors, lineFault{d.Lines + f.Line, f.Error})
		}
	}
	d.Lines += page.Lines
	d.Imported += page.Imported
	d.Points += page.Points
	d.Failed += page.Failed
}

// reached adds to an error how far the import came.
func (d *imported) reached(err error, line int) error {
	e := *asError(err)
	e.Details = maps.Clone(e.Details)
	if e.Details == nil {
		e.Details = map[string]any{}
	}
	e.Details["line"], e.Details["imported"], e.Details["points"] = line, d.Imported, d.Points
	if d.Failed > 0 {
		e.Details["failed"] = d.Failed
	}
	return &e
}

// importVectors cuts what is sent into pages, and has each one stored by the
// node in charge: the way of any other change. A page that came from another
// node is stored here.
func (s *Server) importVectors(r *request, tc tenant.Context, q *importRequest) (imported, error) {
	done := imported{Collection: q.Collection, Errors: []lineFault{}}
	if r.forwarded != nil {
		err := s.importPage(r, tc, q, &done)
		return done, err
	}
	options, err := r.nativeWriteOptions()
	if err != nil {
		return done, err
	}
	pages, err := r.pages()
	if err != nil {
		return done, err
	}
	defer pages.close()
	key := cmp.Or(options.IdempotencyKey, uuid.NewString()) // a page may be sent to two nodes
	for number := 0; ; number++ {
		page, err := pages.next()
		if err != nil {
			return done, done.reached(err, done.Lines+1)
		}
		if page == nil {
			return done, nil
		}
		one, err := s.storePage(r, tc, q, page, keyOfPart(key, "import", number))
		if err != nil {
			line, _ := asError(err).Details["page_line"].(int64)
			if stored, ok := asError(err).Details["page_imported"].(int64); ok {
				points, _ := asError(err).Details["page_points"].(int64)
				done.Imported, done.Points = done.Imported+int(stored), done.Points+int(points)
			}
			return done, withoutPage(done.reached(err, done.Lines+max(1, int(line))))
		}
		done.add(&one)
	}
}

// keyOfPart is the idempotency key of one of the changes that a request with a
// key makes.
func keyOfPart(key, what string, number int) string {
	sum := sha256.Sum256([]byte(what + "\n" + strconv.Itoa(number) + "\n" + key))
	return hex.EncodeToString(sum[:])
}

// withoutPage takes away what an error says for whoever makes the pages.
func withoutPage(err error) error {
	e := asError(err)
	for _, member := range []string{"page_line", "page_imported", "page_points"} {
		delete(e.Details, member)
	}
	return e
}

// storePage has a page stored by the node in charge, whichever it is.
func (s *Server) storePage(r *request, tc tenant.Context, q *importRequest, page []byte, key string) (imported, error) {
	rt := &route{
		method: fasthttp.MethodPost, path: "/collections/:name/import", surface: surfaceNative, op: tenant.OpUpload, logs: tenant.LogInsert,
		handle: func(part *request, tc tenant.Context) error {
			done := imported{Collection: q.Collection, Errors: []lineFault{}}
			if err := s.importPage(part, tc, q, &done); err != nil {
				return err
			}
			return part.sendJSON(200, &done)
		},
	}
	part := r.part(rt.method, "/collections/"+url.PathEscape(string(q.Collection))+"/import?on_error="+q.OnError)
	defer part.cancel()
	part.body = page
	part.http.Request.Header.Set("Idempotency-Key", key)
	part.http.Request.Header.SetContentType(ndjsonMedia)
	if err := part.inCharge(rt, tc); err != nil {
		return imported{}, err
	}
	r.takePart(part)
	var done imported
	err := json.Unmarshal(part.http.Response.Body(), &done)
	return done, err
}

// importPage stores a page of lines, in one change.
func (s *Server) importPage(r *request, tc tenant.Context, q *importRequest, done *imported) error {
	options, err := r.writeOptions()
	if err != nil {
		return err
	}
	options.Wait = true
	info, err := s.engine.GetCollection(r.ctx, tc, string(q.Collection))
	if err != nil {
		return err
	}
	p := pageOfLines{s: s, info: &info, skip: q.OnError == "skip", options: &options, done: done}
	leave, err := s.engine.Turn(r.ctx, tc.TenantID, time.Duration(len(r.body))*decodeCost)
	if err != nil {
		return err
	}
	wrong := p.read(r.body)
	leave()
	if err := p.store(r, tc, q.Collection, options); err != nil {
		return err
	}
	if wrong != nil {
		e := *asError(wrong)
		e.Details = map[string]any{"page_line": int64(done.Lines), "page_imported": int64(done.Imported), "page_points": int64(done.Points)}
		return &e
	}
	return nil
}

// pageOfLines is a page on its way to the points that it is stored as.
type pageOfLines struct {
	s       *Server
	info    *collection.Info
	skip    bool
	options *collection.WriteOptions
	done    *imported

	points []collection.Point
	texts  []storedText
	copied int // bytes of payloads of chunks
}

// read reads lines up to the end, or to the first that is wrong and not to be
// passed over. done.Lines counts that one, too.
func (p *pageOfLines) read(page []byte) error {
	for len(page) > 0 {
		var line []byte
		line, page, _ = bytes.Cut(page, []byte{'\n'})
		p.done.Lines++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		err := p.line(line)
		if err == nil {
			p.done.Imported++
			continue
		}
		err = placed(within("line", err))
		if !p.skip {
			return err
		}
		p.done.Failed++
		if len(p.done.Errors) < importErrorsMax {
			p.done.Errors = append(p.done.Errors, lineFault{p.done.Lines, asError(err).Message})
		}
	}
	return nil
}

// line appends the points that a line is stored as, once it is known that they
// can be.
func (p *pageOfLines) line(line []byte) error {
	in := &nativeReader{pointReader: *newPointReader(line, p.s.limits.Request)}
	var q importLine
	if err := importLines.members.readMembers(in, reflect.ValueOf(&q).Elem(), inBody); err != nil {
		return err
	}
	if err := in.end(); err != nil {
		return err
	}
	if q.ID == "" { // the same one if the page is sent again
		q.ID = madeID(p.options, p.done.Lines)
	}
	had := len(p.points)
	points, err := p.pointsOf(&q)
	if err == nil && len(points) > p.s.limits.Request.BatchPoints {
		err = errValue("the text is too long for one line: it would be stored as too many chunks")
	}
	if err == nil {
		err = p.check(points[had:])
	}
	if err != nil {
		return err
	}
	p.points = points
	return nil
}

func (p *pageOfLines) pointsOf(q *importLine) ([]collection.Point, error) {
	if q.Text == "" {
		n := newVector{ID: q.ID, Vector: q.Vector, Sparse: q.Sparse, Payload: q.Payload, Metadata: q.Metadata}
		point, _, err := n.point()
		if err != nil {
			return nil, err
		}
		for _, name := range sortedKeys(q.Vectors) {
			point.Vectors = append(point.Vectors, collection.NamedVector{Name: name, Dense: q.Vectors[name]})
		}
		return append(p.points, point), nil
	}
	if len(p.info.Config.Text) == 0 {
		return nil, within("text", errValue("the collection has no texts: it was created without an index of them"))
	}
	if len(q.Vectors) > 0 {
		return nil, within("vectors", errValue("not with a text"))
	}
	n := newText{ID: q.ID, Text: q.Text, Vector: q.Vector, Sparse: q.Sparse, Payload: q.Payload, Metadata: q.Metadata}
	cut := chunk.Options{Size: chunk.SizeDefault, Overlap: chunk.OverlapDefault}
	made := pointsOfTexts{member: p.info.Config.Text[0].Field, most: p.s.limits.Request.BatchPoints, list: p.points, copied: p.copied}
	stored, err := made.add(&n, true, cut)
	if err == nil {
		p.texts, p.copied = append(p.texts, stored), made.copied
	}
	return made.list, err
}

// check refuses points that could not be stored, so that it is known of which
// line they are.
func (p *pageOfLines) check(points []collection.Point) error {
	for i := range points {
		if _, err := collection.Finalize(*p.info, collection.Write{Upsert: points[i : i+1]}, p.s.limits.Request); err != nil {
			return err
		}
	}
	return nil
}

// store stores what was read, and whatever it replaces goes with it.
func (p *pageOfLines) store(r *request, tc tenant.Context, name collectionName, o collection.WriteOptions) error {
	if len(p.points) == 0 {
		return nil
	}
	if err := p.s.replaceTexts(r, tc, p.info, name, replacement{p.points, p.texts, o}); err != nil {
		return err
	}
	p.done.Points += len(p.points)
	return nil
}

// pages cuts a stream into pages of whole lines. Where it cuts depends on the
// stream alone, so that the same stream has the same pages again.
type pages struct {
	r    *request
	src  io.Reader
	end  func() error
	held int

	buf   []byte
	used  int // bytes of buf that the last page was
	ended bool
}

// pages are those of the request's body: of what is held already, if it was
// signed as a whole, or as it arrives.
func (r *request) pages() (*pages, error) {
	encoding, err := r.encoding()
	if err != nil {
		return nil, err
	}
	p := &pages{r: r, end: func() error { return nil }, held: 2*importPageBytes + decoderBytes[encoding]}
	if r.s.bodies.Add(int64(p.held)) > r.s.limits.BodyBytesAllMax {
		r.s.bodies.Add(int64(-p.held))
		return nil, errBodiesFull
	}
	switch stream := r.http.RequestBodyStream(); {
	case r.body != nil:
		p.src = &sliceReader{b: r.body}
		return p, nil
	case stream == nil:
		p.src = &sliceReader{}
		return p, nil
	default:
		p.src = &upload{r: r, stream: stream}
	}
	if encoding != "" {
		d, err := decoder(encoding, p.src)
		if err != nil {
			p.close()
			return nil, decodingError(err)
		}
		p.src, p.end = &unpacked{Reader: d, left: r.s.limits.ImportBytes}, d.Close
	}
	return p, nil
}

func (p *pages) close() {
	p.r.s.bodies.Add(int64(-p.held))
	_ = p.end() // of a decoder
}

// next returns the next page, nil at the end. It is valid until the next call.
func (p *pages) next() ([]byte, error) {
	p.buf = p.buf[:copy(p.buf, p.buf[p.used:])]
	p.used = 0
	if p.buf == nil {
		p.buf = make([]byte, 0, importPageBytes)
	}
	for !p.ended && len(p.buf) < importPageBytes {
		n, err := p.src.Read(p.buf[len(p.buf):importPageBytes])
		p.buf = p.buf[:len(p.buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			p.ended = true
		case err != nil:
			return nil, decodingError(err)
		}
	}
	if len(p.buf) == 0 {
		return nil, nil
	}
	most := min(importPageLines, p.r.s.limits.Request.BatchPoints/2)
	end, lines := endOfLines(p.buf, most)
	if len(p.buf) < importPageBytes && lines < most { // all of the rest is here, and the last line need not be ended
		end = len(p.buf)
	}
	if p.used = end; end == 0 {
		return nil, &collection.Error{
			Code: collection.InvalidArgument, Reason: collection.ReasonTooLarge,
			Message: "a line of " + strconv.Itoa(importPageBytes) + " bytes or more",
		}
	}
	return p.buf[:end], nil
}

// endOfLines is where the last of at most so many whole lines ends, and how many
// these are.
func endOfLines(b []byte, most int) (end, lines int) {
	for lines < most {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			break
		}
		end += i + 1
		lines++
	}
	return end, lines
}
