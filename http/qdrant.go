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
		row("GET", "/collections/:name", tenant.OpRead, s.getCollection),
		row("GET", "/collections/:name/exists", tenant.OpRead, s.collectionExists),
		row("PUT", "/collections/:name", tenant.OpManageCollections, s.createCollection),
		row("DELETE", "/collections/:name", tenant.OpManageCollections, s.deleteCollection),
		row("PUT", "/collections/:name/points", tenant.OpWrite, s.upsertPoints),
		row("POST", "/collections/:name/points", tenant.OpRead, s.retrievePoints),
		row("GET", "/collections/:name/points/:id", tenant.OpRead, s.getPoint),
		row("POST", "/collections/:name/points/delete", tenant.OpDeletePoints, s.deletePoints),
		row("POST", "/collections/:name/points/scroll", tenant.OpRead, s.scrollPoints),
		row("POST", "/collections/:name/points/count", tenant.OpRead, s.countPoints),
		row("POST", "/collections/:name/points/query", tenant.OpRead, s.queryPoints),
		row("POST", "/collections/:name/points/payload", tenant.OpWrite, s.setPayload),
		row("PUT", "/collections/:name/points/payload", tenant.OpWrite, s.overwritePayload),
		row("POST", "/collections/:name/points/payload/delete", tenant.OpWrite, s.deletePayload),
		row("POST", "/collections/:name/points/payload/clear", tenant.OpWrite, s.clearPayload),
	}
	for _, op := range notYet {
		rows = append(rows, row(op.method, op.path, op.op, unimplemented(op.method, op.path)))
	}
	return rows
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
	existed, err := s.engine.DeleteCollection(r.ctx, tc, name)
	if err != nil {
		return err
	}
	return r.answerBool(existed)
}
