package httpedge

import (
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// nativeEmbed are the operations on embeddings and on who makes them.
func (s *Server) nativeEmbed() []*native {
	return []*native{
		operation[embedRequest, embedAnswer]{
			id: "embed_text", method: "POST", path: "/embed", op: tenant.OpDownload, logs: tenant.LogUnknown,
			summary: "Return the vector of a text, as the configured embedding endpoint makes it.",
			about:   "Without an endpoint: 409 NO_EMBEDDING_ENDPOINT. Nothing is stored.",
			do:      s.nativeEmbedText,
		}.native(),
		operation[nothing, endpointJSON]{
			id: "get_embedding_endpoint", method: "GET", path: "/auth/embedding", op: tenant.OpAdmin, logs: tenant.LogCluster, ofHub: true,
			summary: "Show the tenant's own embedding endpoint, its key apart.",
			do:      s.nativeGetEndpoint,
		}.native(),
		operation[newEndpoint, endpointJSON]{
			id: "set_embedding_endpoint", method: "PUT", path: "/auth/embedding", op: tenant.OpAdmin, logs: tenant.LogCluster, ofHub: true,
			summary: "Give the tenant an embedding endpoint of its own, in place of the one that it had.",
			about:   "The key is kept encrypted and never shown again. Collections keep the model that they were created for: an endpoint of another model is refused there.",
			do:      s.nativePutEndpoint,
		}.native(),
		operation[nothing, endpointJSON]{
			id: "delete_embedding_endpoint", method: "DELETE", path: "/auth/embedding", op: tenant.OpAdmin, logs: tenant.LogCluster, ofHub: true,
			summary: "Take the tenant's own embedding endpoint away; the node's, if there is one, takes its place.",
			do:      s.nativeDeleteEndpoint,
		}.native(),
	}
}

type embedRequest struct {
	Text  string `json:"text" doc:"What to embed." min:"1" max:"1048576"`
	Model string `json:"model,omitempty" doc:"Must be the endpoint's; without it, it is." max:"256"`
}

type embedAnswer struct {
	Embedding []float32 `json:"embedding"`
	Text      string    `json:"text"`
	Dimension int       `json:"dimension"`
	Provider  string    `json:"provider" doc:"The endpoint's model."`
}

func (s *Server) nativeEmbedText(r *request, tc tenant.Context, q *embedRequest) (embedAnswer, error) {
	e, ok, err := s.endpointOf(&tc)
	switch {
	case err != nil:
		return embedAnswer{}, err
	case !ok:
		return embedAnswer{}, errNoEmbedding
	case q.Model != "" && q.Model != e.Model:
		return embedAnswer{}, placed(within("model", errValue(clipped(q.Model)+" is not the endpoint's model, which is "+clipped(e.Model))))
	}
	v, err := s.embed.Client.EmbedQuery(r.ctx, string(tc.TenantID), e, q.Text)
	if err != nil {
		return embedAnswer{}, embeddingError(err)
	}
	return embedAnswer{Embedding: v, Text: q.Text, Dimension: len(v), Provider: e.Model}, nil
}

// newEndpoint is a request to set a tenant's endpoint.
type newEndpoint struct {
	URL       string `json:"url" doc:"That requests are posted to, such as https://api.openai.com/v1/embeddings." min:"1" max:"2048"`
	Model     string `json:"model" doc:"Sent with every request." min:"1" max:"256"`
	APIKey    string `json:"api_key,omitempty" doc:"Sent as a bearer token. Never shown again." max:"4096"`
	Dimension int    `json:"dimension" doc:"Values of each vector; an answer with others is refused." min:"1" max:"dimension"`
	Batch     int    `json:"batch,omitempty" doc:"Texts in one request, 64 if it is left out." min:"1" max:"2048"`
	TimeoutMs int    `json:"timeout_ms,omitempty" doc:"Of one request, 30,000 if it is left out." min:"1" max:"300000"`
}

// endpointJSON describes an endpoint.
type endpointJSON struct {
	URL       string `json:"url" doc:"Without its parameters, which may be secret."`
	Model     string `json:"model"`
	Dimension int    `json:"dimension"`
	Batch     int    `json:"batch,omitempty"`
	TimeoutMs int    `json:"timeout_ms,omitempty"`
	HasKey    bool   `json:"has_api_key"`
	UpdatedAt string `json:"updated_at" doc:"RFC 3339."`
}

func endpointBody(r *hubsvc.EndpointRecord) endpointJSON {
	e := &r.Endpoint
	return endpointJSON{
		URL: shownURL(e.URL), Model: e.Model, Dimension: int(e.Dimension), Batch: int(e.Batch), TimeoutMs: int(e.TimeoutMs),
		HasKey: len(e.SealedKey) > 0, UpdatedAt: time.UnixMilli(r.Set).UTC().Format(time.RFC3339),
	}
}

var errNoEndpoints = collection.Errorf(collection.Unimplemented, "this node keeps no endpoints of tenants")

// mayEndpoint refuses a change of the tenant's endpoint by whoever may not:
// every text of the tenant goes there, so a key that is for some collections
// alone has no say in it, and without keys nobody would have done it.
func (s *Server) mayEndpoint(tc *tenant.Context) error {
	switch {
	case s.embed.Tenants == nil:
		return errNoEndpoints
	case tc.Scope != nil && len(tc.Scope.Collections) > 0:
		return errNarrowed
	}
	return somebody(*tc)
}

func (s *Server) nativeGetEndpoint(_ *request, tc tenant.Context, _ *nothing) (endpointJSON, error) {
	if s.embed.Tenants == nil {
		return endpointJSON{}, errNoEndpoints
	}
	rec, err := s.embed.Tenants.Endpoint(tc.TenantID)
	return endpointBody(&rec), err
}

func (s *Server) nativePutEndpoint(r *request, tc tenant.Context, q *newEndpoint) (endpointJSON, error) {
	if err := s.mayEndpoint(&tc); err != nil {
		return endpointJSON{}, err
	}
	spec := hubsvc.EndpointSpec{
		URL: q.URL, Model: q.Model, Key: q.APIKey, Dimension: uint32(q.Dimension), Batch: uint32(q.Batch), TimeoutMs: uint32(q.TimeoutMs),
	}
	e := s.endpoint(&spec)
	if err := e.Validate(); err != nil {
		return endpointJSON{}, errValue(err.Error())
	}
	rec, err := s.embed.Tenants.PutEndpoint(r.ctx, tc.TenantID, spec)
	return endpointBody(&rec), err
}

func (s *Server) nativeDeleteEndpoint(r *request, tc tenant.Context, _ *nothing) (endpointJSON, error) {
	if err := s.mayEndpoint(&tc); err != nil {
		return endpointJSON{}, err
	}
	rec, err := s.embed.Tenants.DeleteEndpoint(r.ctx, tc.TenantID)
	return endpointBody(&rec), err
}
