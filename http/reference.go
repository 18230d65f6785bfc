package httpedge

import (
	"embed"
	"encoding/json"
	"sync"

	"github.com/hivehub/waggle/tenant"
)

// assets is the reference page for browsers. It reads openapi.json and nothing
// else, and loads nothing from anywhere else.
//
//go:embed assets
var assets embed.FS

// pagePolicy lets the page have its own script and style, and ask this server.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// referenceRoutes are the OpenAPI document and the page that shows it.
func (s *Server) referenceRoutes() []route {
	public := func(path string, h openHandler) route {
		return route{method: "GET", path: path, surface: surfaceNative, op: tenant.OpPublic, open: h}
	}
	document := sync.OnceValues(func() ([]byte, error) { return json.Marshal(s.openAPI()) })
	answer := func(r *request) error {
		b, err := document()
		if err == nil {
			r.send(200, b[:len(b):len(b)])
		}
		return err
	}
	return []route{
		public("/openapi.json", answer),
		public(apiPrefix+"/openapi.json", answer),
		public("/reference", page("reference.html", "text/html; charset=utf-8")),
		public("/reference.js", page("reference.js", "text/javascript; charset=utf-8")),
		public("/reference.css", page("reference.css", "text/css; charset=utf-8")),
	}
}

// page answers with an asset.
func page(name, media string) openHandler {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic("BUG: no asset " + name)
	}
	return func(r *request) error {
		h := &r.http.Response
		h.Header.SetCanonical(policyName, []byte(pagePolicy))
		h.Header.SetContentType(media)
		h.SetBody(body)
		return nil
	}
}
