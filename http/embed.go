package httpedge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/http/embedding"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Embedding says which endpoints make vectors of texts and rank them.
type Embedding struct {
	Client  *embedding.Client  // nil: the edge makes one
	Node    embedding.Endpoint // of every tenant without one of its own; no URL: none
	Rerank  embedding.Endpoint // no URL: none
	Tenants Endpoints          // nil: tenants have none of their own
	// TenantsPrivate lets the endpoints of tenants be at private addresses: only
	// where whoever has an ADMIN key may ask whatever the node can reach.
	TenantsPrivate bool
}

// Endpoints keeps the embedding endpoints of tenants. Its errors are
// *hubsvc.Error, or those of an Engine. *hubsvc.Embedded is one.
type Endpoints interface {
	// Endpoint returns a tenant's endpoint, its key sealed, or NOT_FOUND.
	Endpoint(id tenant.ID) (hubsvc.EndpointRecord, error)
	// OpenEndpoint returns it with its key, and false when there is none.
	OpenEndpoint(id tenant.ID) (hubsvc.EndpointSpec, bool, error)
	PutEndpoint(ctx context.Context, id tenant.ID, s hubsvc.EndpointSpec) (hubsvc.EndpointRecord, error)
	DeleteEndpoint(ctx context.Context, id tenant.ID) (hubsvc.EndpointRecord, error)
}

var errNoEmbedding = &collection.Error{
	Code: collection.FailedPrecondition, Reason: reasonNoEmbedding,
	Message: "no embedding endpoint is configured: set one with PUT /auth/embedding, or ask the node's operator",
}

// embeddingMember is where a collection's configuration keeps which model makes
// its dense vectors.
const embeddingMember = "embedding"

// embeddingParams says which model made the dense vectors of a collection:
// vectors of two models are never compared.
type embeddingParams struct {
	model     string
	dimension int
}

// embeddingOf returns what a collection's texts are embedded with, and false
// when its dense vectors are the caller's own.
func embeddingOf(c *collection.Config) (embeddingParams, bool) {
	kept, ok := c.Extra[embeddingMember].(map[string]any)
	if !ok {
		return embeddingParams{}, false
	}
	model, _ := kept["model"].(string)
	dimension, _ := kept["dimension"].(int64)
	return embeddingParams{model: model, dimension: int(dimension)}, true
}

func (p embeddingParams) kept() map[string]any {
	return map[string]any{"model": p.model, "dimension": int64(p.dimension)}
}

// endpointOf returns the endpoint that embeds a tenant's texts: its own, else
// the node's, else none.
func (s *Server) endpointOf(tc *tenant.Context) (embedding.Endpoint, bool, error) {
	if s.embed.Tenants != nil {
		spec, ok, err := s.embed.Tenants.OpenEndpoint(tc.TenantID)
		if err != nil {
			return embedding.Endpoint{}, false, err
		}
		if ok {
			e := s.endpoint(&spec)
			e.Owner = string(tc.TenantID)
			return e, true, nil
		}
	}
	return s.embed.Node, s.embed.Node.URL != "", nil
}

func (s *Server) endpoint(spec *hubsvc.EndpointSpec) embedding.Endpoint {
	return embedding.Endpoint{
		URL: spec.URL, Model: spec.Model, APIKey: embedding.Secret(spec.Key), Dimension: int(spec.Dimension),
		Batch: int(spec.Batch), Timeout: time.Duration(spec.TimeoutMs) * time.Millisecond, AllowPrivate: s.embed.TenantsPrivate,
	}
}

// endpointFor returns the endpoint that makes the vectors of a collection, and
// false when nobody makes any. It refuses an endpoint that is gone or is of
// another model: what it made could not be compared with what is there.
func (s *Server) endpointFor(tc *tenant.Context, info *collection.Info) (embedding.Endpoint, bool, error) {
	p, ok := embeddingOf(&info.Config)
	if !ok {
		return embedding.Endpoint{}, false, nil
	}
	e, ok, err := s.endpointOf(tc)
	switch {
	case err != nil:
		return embedding.Endpoint{}, false, err
	case !ok:
		return embedding.Endpoint{}, false, errNoEmbedding
	case e.Model != p.model || e.Dimension != p.dimension:
		return embedding.Endpoint{}, false, &collection.Error{
			Code: collection.FailedPrecondition, Reason: reasonEmbeddingDiffers,
			Message: fmt.Sprintf("the vectors of collection %s are of the model %s with %d values, the endpoint's of %s with %d: vectors of two models are never mixed",
				clipped(info.Name), clipped(p.model), p.dimension, clipped(e.Model), e.Dimension),
			Details: map[string]any{"collection": info.Name, "collection_model": p.model, "collection_dimension": p.dimension, "endpoint_model": e.Model, "endpoint_dimension": e.Dimension},
		}
	}
	return e, true, nil
}

// embedTexts returns the dense vectors of texts for a collection, in their
// order: all of them, or an error and none. It returns nil for a collection
// whose dense vectors are the caller's own.
func (s *Server) embedTexts(ctx context.Context, tc tenant.Context, info *collection.Info, texts []string) ([][]float32, error) {
	e, ok, err := s.endpointFor(&tc, info)
	if err != nil || !ok {
		return nil, err
	}
	if most := s.limits.Request.BodyBytes; e.Dimension > 0 && len(texts) > most/(4*e.Dimension) {
		return nil, errTooMuch(fmt.Sprintf("%d texts with vectors of %d values are more than %d bytes: send fewer at once", len(texts), e.Dimension, most))
	}
	vectors, err := s.embed.Client.Embed(ctx, e, texts)
	return vectors, embeddingError(err)
}

// embedPoints gives points of texts their dense vectors, those apart that have
// one of the caller's.
func (s *Server) embedPoints(ctx context.Context, tc tenant.Context, info *collection.Info, points []collection.Point) error {
	if len(info.Config.Text) == 0 {
		return nil
	}
	var texts []string
	var at []int
	for i := range points {
		text, _ := points[i].Payload[info.Config.Text[0].Field].(string)
		if points[i].Vector == nil && text != "" {
			texts, at = append(texts, text), append(at, i)
		}
	}
	vectors, err := s.embedTexts(ctx, tc, info, texts)
	if err != nil {
		return err
	}
	for i := range vectors {
		points[at[i]].Vector = vectors[i]
	}
	return nil
}

// embedChanges gives changes of texts the vectors of the new ones, those apart
// that come with one.
func (s *Server) embedChanges(r *request, tc tenant.Context, name collectionName, changes []*vectorChange) error {
	var asked []*vectorChange
	for _, c := range changes {
		if c.Vector == nil && len(c.Payload)+len(c.Metadata) > 0 {
			asked = append(asked, c)
		}
	}
	if asked == nil {
		return nil
	}
	info, err := s.engine.GetCollection(r.ctx, tc, string(name))
	if err != nil {
		return err
	}
	if _, ok := embeddingOf(&info.Config); !ok || len(info.Config.Text) == 0 {
		return nil
	}
	member := info.Config.Text[0].Field
	var texts []string
	at := asked[:0]
	for _, c := range asked {
		given, is := c.Payload[member]
		if !is {
			given, is = c.Metadata[member]
		}
		if !is {
			continue
		}
		text, _ := given.(string)
		if text == "" {
			return errValue("payload." + member + ": must be a text: the collection's vectors are made of it")
		}
		texts, at = append(texts, text), append(at, c)
	}
	if texts == nil {
		return nil
	}
	vectors, err := s.embedTexts(r.ctx, tc, &info, texts)
	for i := range vectors {
		at[i].Vector = vectors[i]
	}
	return err
}

// textStays refuses a patch of many points at once that would change the texts
// that their vectors are made of.
func (s *Server) textStays(r *request, tc tenant.Context, name collectionName, patch collection.Payload) error {
	info, err := s.engine.GetCollection(r.ctx, tc, string(name))
	if err != nil {
		return err
	}
	if _, ok := embeddingOf(&info.Config); !ok || len(info.Config.Text) == 0 {
		return nil
	}
	if _, is := patch[info.Config.Text[0].Field]; is {
		return errValue("patch." + info.Config.Text[0].Field + ": the collection's vectors are made of it: change each vector with update_vector")
	}
	return nil
}

// sameModel refuses to mix the vectors of two models.
func sameModel(from, to *collection.Info) error {
	a, made := embeddingOf(&from.Config)
	b, makes := embeddingOf(&to.Config)
	if !made || !makes || a == b {
		return nil
	}
	return &collection.Error{
		Code: collection.FailedPrecondition, Reason: reasonEmbeddingDiffers,
		Message: fmt.Sprintf("the vectors of collection %s are of the model %s, those of %s of %s: vectors of two models are never mixed",
			clipped(from.Name), clipped(a.model), clipped(to.Name), clipped(b.model)),
	}
}

// embedQuery is embedTexts for what is searched for.
func (s *Server) embedQuery(ctx context.Context, tc tenant.Context, info *collection.Info, text string) ([]float32, error) {
	e, ok, err := s.endpointFor(&tc, info)
	if err != nil || !ok {
		return nil, err
	}
	vector, err := s.embed.Client.EmbedQuery(ctx, string(tc.TenantID), e, text)
	return vector, embeddingError(err)
}

// embeddingError is the answer to a request whose endpoint failed.
func embeddingError(err error) error {
	e, ok := errors.AsType[*embedding.Error](err)
	if !ok {
		return err // nil, or the request's time
	}
	out := &collection.Error{Code: collection.Unavailable, Reason: reasonEmbeddingRefused, Message: e.Error(), Err: err}
	switch e.Kind {
	case embedding.KindInput:
		return &collection.Error{Code: collection.InvalidArgument, Message: e.Error()}
	case embedding.KindRate, embedding.KindUnavailable:
		out.Reason = reasonEmbeddingNotThere
		if e.RetryAfter > 0 {
			out.Details = map[string]any{"retry_after_s": int((e.RetryAfter + time.Second - 1) / time.Second)}
		}
	case embedding.KindSettings, embedding.KindAnswer:
	}
	return out
}

// embeddingJSON says which model makes a collection's dense vectors.
type embeddingJSON struct {
	Model     string `json:"model,omitempty" doc:"Must be the endpoint's; without it, it is." max:"256"`
	Dimension int    `json:"dimension,omitempty" doc:"Likewise." min:"1" max:"dimension"`
}

// resolveEmbedding completes a request for a collection whose texts are to be
// embedded: it becomes one of the endpoint's model and dimension, or is refused
// as asking for another.
func (s *Server) resolveEmbedding(tc *tenant.Context, q *newCollection) error {
	if q.Embedding == nil {
		return nil
	}
	e, ok, err := s.endpointOf(tc)
	switch {
	case err != nil:
		return err
	case !ok:
		return errNoEmbedding
	case q.Embedding.Model != "" && q.Embedding.Model != e.Model:
		return placed(within("embedding.model", errValue(clipped(q.Embedding.Model)+" is not the endpoint's model, which is "+clipped(e.Model))))
	}
	for _, d := range []struct {
		name  string
		given int
	}{{"embedding.dimension", q.Embedding.Dimension}, {"dimension", q.Dimension}} {
		if d.given != 0 && d.given != e.Dimension {
			return placed(within(d.name, errValue(fmt.Sprintf("%d is not that of the endpoint's vectors, which have %d values", d.given, e.Dimension))))
		}
	}
	q.Embedding.Model, q.Embedding.Dimension, q.Dimension = e.Model, e.Dimension, e.Dimension
	return nil
}

// shownURL is an address without what may be secret in it.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.RawQuery, u.User = "", nil
	return u.String()
}
