package httpedge

import (
	"net/url"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// mcpServerRequest registers an MCP endpoint for the agents of one tenant.
type mcpServerRequest struct {
	service, name, endpoint, tenant string
}

func (p *pointReader) mcpServerRequest() (q mcpServerRequest, err error) {
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "service":
			return p.stringTo(&q.service)
		case "name":
			return p.stringTo(&q.name)
		case "endpoint":
			return p.stringTo(&q.endpoint)
		case "tenant_id", "user_id", "project_id":
			return p.stringTo(&q.tenant)
		}
		return p.skip()
	})
	return q, err
}

// endpointMax is the longest URL of an endpoint.
const endpointMax = 2048

func (q *mcpServerRequest) check() error {
	u, err := url.Parse(q.endpoint)
	switch {
	case q.tenant == "":
		return errValue("tenant_id: is missing; a key is of one tenant")
	case q.name == "":
		return errValue("name: is missing")
	case len(q.endpoint) > endpointMax || err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil:
		return errValue("endpoint: must be a URL such as https://HOST/mcp")
	}
	return nil
}

// registerMCP makes the key with which the agents of a tenant reach its MCP
// endpoint, and is no more than that: the key is revoked as any other is.
func (s *Server) registerMCP(r *request, _ tenant.Context) error {
	var q mcpServerRequest
	err := r.decode(func(p *pointReader) (err error) { q, err = p.mcpServerRequest(); return err })
	if err == nil {
		err = q.check()
	}
	if err != nil {
		return err
	}
	k, plain, err := s.hub.CreateKey(r.ctx, hubsvc.KeySpec{
		Tenant: tenant.ID(q.tenant), Kind: tenant.KeyMCP, Name: q.name, Permissions: []tenant.Permission{tenant.MCP},
	})
	if err != nil {
		return err
	}
	return r.sendJSON(201, struct {
		ID       tenant.KeyID `json:"id"`
		Tenant   tenant.ID    `json:"tenant_id"`
		Service  string       `json:"service"`
		Name     string       `json:"name"`
		Endpoint string       `json:"endpoint"`
		Key      string       `json:"api_key"`
	}{k.ID, k.Tenant, q.service, k.Name, q.endpoint, plain})
}
