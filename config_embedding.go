package main

import (
	"errors"
	"fmt"
	"time"

	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/http/embedding"
)

// EmbeddingConfig is the node's own endpoint that makes vectors of texts, and
// what holds for those of tenants.
type EmbeddingConfig struct {
	URL          string // "" for none
	Model        string
	APIKey       secretText
	Dimension    int
	AllowPrivate bool
	Batch        int
	Timeout      time.Duration

	CacheBytes     int
	TenantsPrivate bool
}

// RerankConfig is the endpoint that orders documents by a query.
type RerankConfig struct {
	URL          string // "" for none
	Model        string
	APIKey       secretText
	AllowPrivate bool
	Timeout      time.Duration
	Form         string
}

// endpointSettings are the keys of both endpoints.
func (c *Config) endpointSettings() []setting {
	return []setting{
		{"embedding.url", &c.Embedding.URL},
		{"embedding.model", &c.Embedding.Model},
		{"embedding.api_key", &c.Embedding.APIKey},
		{"embedding.dimension", &c.Embedding.Dimension},
		{"embedding.allow_private", &c.Embedding.AllowPrivate},
		{"embedding.batch", &c.Embedding.Batch},
		{"embedding.timeout", &c.Embedding.Timeout},
		{"embedding.cache_bytes", &c.Embedding.CacheBytes},
		{"embedding.tenants_allow_private", &c.Embedding.TenantsPrivate},
		{"rerank.url", &c.Rerank.URL},
		{"rerank.model", &c.Rerank.Model},
		{"rerank.api_key", &c.Rerank.APIKey},
		{"rerank.allow_private", &c.Rerank.AllowPrivate},
		{"rerank.timeout", &c.Rerank.Timeout},
		{"rerank.form", &c.Rerank.Form},
	}
}

// The words of rerank.form.
const (
	formDocuments = "documents"
	formTexts     = "texts"
)

func (e *EmbeddingConfig) endpoint() embedding.Endpoint {
	return embedding.Endpoint{
		URL: e.URL, Model: e.Model, APIKey: embedding.Secret(e.APIKey), Dimension: e.Dimension,
		Batch: e.Batch, Timeout: e.Timeout, AllowPrivate: e.AllowPrivate,
	}
}

func (r *RerankConfig) endpoint() embedding.Endpoint {
	return embedding.Endpoint{
		URL: r.URL, Model: r.Model, APIKey: embedding.Secret(r.APIKey), Timeout: r.Timeout,
		AllowPrivate: r.AllowPrivate, Texts: r.Form == formTexts,
	}
}

func (e *EmbeddingConfig) validate() error {
	if e.URL == "" {
		if e.Model != "" || e.APIKey != "" || e.Dimension != 0 {
			return errors.New("embedding.url: is empty; model, api_key and dimension are those of what is there")
		}
		return nil
	}
	endpoint := e.endpoint()
	if err := endpoint.Validate(); err != nil {
		return fmt.Errorf("embedding: %w", err)
	}
	return nil
}

func (r *RerankConfig) validate() error {
	fault := oneOf("rerank.form", r.Form, formDocuments, formTexts)
	if r.URL == "" {
		if r.Model != "" || r.APIKey != "" {
			fault = errors.Join(fault, errors.New("rerank.url: is empty; model and api_key are those of what is there"))
		}
		return fault
	}
	endpoint := r.endpoint()
	if err := endpoint.Validate(); err != nil {
		fault = errors.Join(fault, fmt.Errorf("rerank: %w", err))
	}
	return fault
}

// embedding is what the edge is told of endpoints.
func (c *Config) embedding(tenants httpedge.Endpoints) httpedge.Embedding {
	return httpedge.Embedding{
		Client: embedding.New(embedding.Options{CacheBytes: c.Embedding.CacheBytes}),
		Node:   c.Embedding.endpoint(), Rerank: c.Rerank.endpoint(),
		Tenants: tenants, TenantsPrivate: c.Embedding.TenantsPrivate,
	}
}
