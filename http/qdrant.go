package httpedge

import (
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// qdrantVersion is the version of the API that is spoken here. Clients warn
// when theirs is more than one minor version away.
const qdrantVersion = "1.18.0"

func (s *Server) qdrantRoutes() []route {
	row := func(method, path string, op tenant.Operation, h handler) route {
		return route{method: method, path: path, surface: surfaceQdrant, op: op, handle: h}
	}
	public := func(path string, h openHandler) route {
		return route{method: "GET", path: path, surface: surfaceQdrant, op: tenant.OpPublic, open: h}
	}
	rows := []route{
		public("/", s.qdrantRoot),
		public("/healthz", s.qdrantLive),
		public("/livez", s.qdrantLive),
		public("/readyz", s.qdrantReady),
		row("GET", "/collections", tenant.OpRead, s.listCollections),
		row("POST", "/collections/aliases", tenant.OpManageCollections, s.changeAliases),
		row("GET", "/aliases", tenant.OpRead, s.listAliases),
		row("GET", "/collections/:name", tenant.OpRead, s.getCollection),
		row("GET", "/collections/:name/exists", tenant.OpRead, s.collectionExists),
		row("GET", "/collections/:name/aliases", tenant.OpRead, s.collectionAliases),
		row("PUT", "/collections/:name", tenant.OpManageCollections, s.createCollection),
		row("PATCH", "/collections/:name", tenant.OpManageCollections, s.updateCollection),
		row("DELETE", "/collections/:name", tenant.OpManageCollections, s.deleteCollection),
		row("PUT", "/collections/:name/index", tenant.OpManageCollections, s.putPayloadIndex),
		row("DELETE", "/collections/:name/index/:field", tenant.OpManageCollections, s.deletePayloadIndex),
		row("POST", "/collections/:name/points", tenant.OpRead, s.retrievePoints),
		row("GET", "/collections/:name/points/:id", tenant.OpRead, s.getPoint),
		row("POST", "/collections/:name/points/scroll", tenant.OpRead, s.scrollPoints),
		row("POST", "/collections/:name/points/count", tenant.OpRead, s.countPoints),
	}
	rows = append(append(rows, s.pointRoutes(row)...), s.queryRoutes(row)...)
	for _, op := range notYet {
		rows = append(rows, row(op.method, op.path, op.op, unimplemented(op.method, op.path)))
	}
	return rows
}

// makeRow makes a row of the route table.
type makeRow func(method, path string, op tenant.Operation, h handler) route

// pointRoutes are those that change points.
func (s *Server) pointRoutes(row makeRow) []route {
	write := func(method, path string, op tenant.Operation, read func(*pointReader) (collection.Write, error)) route {
		return row(method, "/collections/:name/points"+path, op, s.writes(read))
	}
	return []route{
		write("PUT", "", tenant.OpWrite, (*pointReader).upsertWrite),
		write("POST", "/delete", tenant.OpDeletePoints, (*pointReader).deleteWrite),
		write("PUT", "/vectors", tenant.OpWrite, (*pointReader).updateVectorsWrite),
		write("POST", "/vectors/delete", tenant.OpDeletePoints, (*pointReader).deleteVectorsWrite),
		write("POST", "/payload", tenant.OpWrite, (*pointReader).setPayloadWrite),
		write("PUT", "/payload", tenant.OpWrite, (*pointReader).overwriteWrite),
		write("POST", "/payload/delete", tenant.OpWrite, (*pointReader).deletePayloadWrite),
		write("POST", "/payload/clear", tenant.OpWrite, (*pointReader).clearWrite),
		write("POST", "/batch", tenant.OpDeletePoints, (*pointReader).batchWrite),
	}
}

// queryRoutes are those that find points: the older ones are queries, too, and
// their answers a list without a name.
func (s *Server) queryRoutes(row makeRow) []route {
	read := func(path string, h handler) route {
		return row("POST", "/collections/:name/points"+path, tenant.OpRead, h)
	}
	const begin, end = `{"points":`, `}`
	return []route{
		read("/query", s.queries((*pointReader).query, begin, end)),
		read("/query/batch", s.batches((*pointReader).query, begin, end)),
		read("/search", s.queries((*pointReader).search, "", "")),
		read("/search/batch", s.batches((*pointReader).search, "", "")),
		read("/recommend", s.queries((*pointReader).recommendation, "", "")),
		read("/recommend/batch", s.batches((*pointReader).recommendation, "", "")),
	}
}

// qdrantRoot is what clients ask for the version.
func (s *Server) qdrantRoot(r *request) error {
	return r.sendJSON(200, map[string]string{
		"title": "waggle - vector search engine, Qdrant API", "version": qdrantVersion, "commit": s.commit,
	})
}

func (s *Server) qdrantLive(r *request) error {
	r.sendText(200, "healthz check passed")
	return nil
}

func (s *Server) qdrantReady(r *request) error {
	if !s.health().Ready {
		r.sendText(503, "some shards are not ready")
		return nil
	}
	r.sendText(200, "all shards are ready")
	return nil
}

func (r *request) sendText(status int, text string) {
	r.http.Response.SetStatusCode(status)
	r.http.Response.Header.SetContentType("text/plain; charset=utf-8")
	r.http.Response.SetBodyString(text)
}

// answer sends Qdrant's envelope around what result appends.
func (r *request) answer(result func(dst []byte) []byte) error {
	b := append(make([]byte, 0, 512), `{"result":`...)
	b = result(b)
	b = append(b, `,"status":"ok","time":`...)
	b = appendSeconds(b, r.elapsed())
	r.send(200, append(b, `,"usage":null}`...))
	return nil
}

func (r *request) answerBool(v bool) error {
	return r.answer(func(dst []byte) []byte {
		if v {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	})
}

func appendQdrantError(dst []byte, text string, took time.Duration) []byte {
	dst = append(dst, `{"status":{"error":`...)
	dst = appendString(dst, text)
	dst = append(dst, `},"time":`...)
	dst = appendSeconds(dst, took)
	return append(dst, `,"result":null}`...)
}

func (s *Server) listCollections(r *request, tc tenant.Context) error {
	list, err := s.engine.ListCollections(r.ctx, tc)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte {
		dst = append(dst, `{"collections":[`...)
		first := true
		for _, info := range list {
			if !tc.MayCollection(info.Name) {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(appendString(append(dst, `{"name":`...), info.Name), '}')
		}
		return append(dst, `]}`...)
	})
}

func (s *Server) collectionExists(r *request, tc tenant.Context) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	_, err = s.engine.GetCollection(r.ctx, tc, name)
	exists := err == nil
	if !exists && collection.CodeOf(err) != collection.NotFound {
		return err
	}
	return r.answer(func(dst []byte) []byte {
		if exists {
			return append(dst, `{"exists":true}`...)
		}
		return append(dst, `{"exists":false}`...)
	})
}

func (s *Server) deleteCollection(r *request, tc tenant.Context) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	o, err := r.changeOptions()
	if err != nil {
		return err
	}
	existed, err := s.engine.DeleteCollection(r.ctx, tc, name, o)
	if err != nil {
		return err
	}
	return r.answerBool(existed)
}
