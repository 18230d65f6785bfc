package httpedge

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

func (s *Server) nativeRoutes() []route {
	public := func(path string, h openHandler) route {
		return route{method: "GET", path: path, surface: surfaceNative, op: tenant.OpPublic, open: h}
	}
	return []route{
		public("/", s.root),
		public("/health", s.healthStatus),
		public("/health/live", s.live),
		public("/health/ready", s.ready),
		public("/metrics", s.metrics),
	}
}

// root says what answers here.
func (s *Server) root(r *request) error {
	return r.sendJSON(200, map[string]string{"title": "waggle", "version": s.version, "commit": s.commit})
}

// live answers as long as the process serves requests at all.
func (s *Server) live(r *request) error { return r.sendJSON(200, map[string]string{"status": "ok"}) }

// ready answers 503 while the node cannot serve data.
func (s *Server) ready(r *request) error {
	h := s.health()
	if !h.Ready {
		return &collection.Error{Code: collection.Unavailable, Message: "not ready"}
	}
	body := map[string]any{"status": "ok"}
	maps.Copy(body, h.Notes)
	return r.sendJSON(200, body)
}

// healthStatus is one word for everybody and the whole state for the operator.
func (s *Server) healthStatus(r *request) error {
	h := s.health()
	status, code := "ok", 200
	if !h.Ready {
		status, code = "unavailable", 503
	}
	body := map[string]any{"status": status}
	if tc, err := r.authenticate(); err == nil && tc.IsOperator {
		maps.Copy(body, h.Parts)
		body["status"] = status
		body["version"] = s.version
		body["uptime_seconds"] = int64(time.Since(s.started).Seconds())
		if h.Reason != "" {
			body["reason"] = h.Reason
		}
	}
	return r.sendJSON(code, body)
}

// sendJSON answers with v; for answers that are not on a hot path.
func (r *request) sendJSON(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	r.send(status, b)
	return nil
}
