package client

import (
	"context"
)

// Text is a text to store. The payload has it as its member text, beside the
// members given here.
type Text struct {
	ID      string             `json:"id,omitempty"` // up to 240 bytes without #; "": the server makes a UUID
	Text    string             `json:"text"`
	Values  []float32          `json:"vector,omitempty"` // the dense vector, of a text that is not stored in chunks
	Sparse  map[string]*Sparse `json:"sparse,omitempty"`
	Payload map[string]any     `json:"payload,omitempty"`
}

// Chunking says how long texts are stored: in chunks, points of their own. What
// is nil is the server's choice: chunks of 2,048 characters that share 128.
type Chunking struct {
	Auto    *bool `json:"auto_chunk,omitempty"`
	Size    *int  `json:"chunk_size,omitempty"`
	Overlap *int  `json:"chunk_overlap,omitempty"`
}

// TextInserted says what became of a text.
type TextInserted struct {
	ID        string   // of the text
	VectorIDs []string // of its points: itself, or its chunks
	Chunked   bool
}

// InsertText stores a text, to be found by its words and, where an endpoint makes
// vectors, by its meaning. A text that is there under the id is replaced.
func (k *Collection) InsertText(ctx context.Context, t Text, how Chunking) (TextInserted, error) {
	in := struct {
		Collection string `json:"collection"`
		Text
		Chunking
	}{k.name, t, how}
	var answer struct {
		ID        string   `json:"id"`
		VectorIDs []string `json:"vector_ids"`
		Chunked   bool     `json:"chunked"`
	}
	err := k.c.callAgain(ctx, t.ID != "", "POST", nativePath("insert"), in, &answer)
	return TextInserted(answer), err
}

// InsertTexts stores texts, all or none. A request takes up to 10,000 points,
// chunks among them.
func (k *Collection) InsertTexts(ctx context.Context, texts []Text, how Chunking) ([]TextInserted, error) {
	in := struct {
		Collection string `json:"collection"`
		Texts      []Text `json:"texts"`
		Chunking
	}{k.name, orEmpty(texts), how}
	again := true
	for i := range texts {
		again = again && texts[i].ID != ""
	}
	var answer struct {
		Results []struct {
			ID        string   `json:"client_id"`
			VectorIDs []string `json:"vector_ids"`
			Chunked   bool     `json:"chunked"`
		} `json:"results"`
	}
	if err := k.c.callAgain(ctx, again, "POST", nativePath("insert_texts"), in, &answer); err != nil {
		return nil, err
	}
	done := make([]TextInserted, len(answer.Results))
	for i, r := range answer.Results {
		done[i] = TextInserted(r)
	}
	return done, nil
}

// Embed returns the vector of a text, as the configured embedding endpoint makes
// it. Without an endpoint it is an error of code NO_EMBEDDING_ENDPOINT.
func (c *Client) Embed(ctx context.Context, text string) ([]float32, error) {
	in := struct {
		Text string `json:"text"`
	}{text}
	var answer struct {
		Embedding []float32 `json:"embedding"`
	}
	err := c.ask(ctx, nativePath("embed"), in, &answer)
	return answer.Embedding, err
}

// EmbeddingEndpoint is who makes vectors of a tenant's texts.
type EmbeddingEndpoint struct {
	URL       string `json:"url"`
	Model     string `json:"model"`
	Dimension int    `json:"dimension"`
	APIKey    string `json:"api_key,omitempty"` // never in an answer
	Batch     int    `json:"batch,omitempty"`
	TimeoutMs int    `json:"timeout_ms,omitempty"`
	HasAPIKey bool   `json:"has_api_key,omitzero"` // in answers
	UpdatedAt string `json:"updated_at,omitempty"` // in answers; RFC 3339
}

// SetEmbeddingEndpoint gives the tenant an endpoint of its own. It needs an ADMIN
// key, as the next two do.
func (c *Client) SetEmbeddingEndpoint(ctx context.Context, e EmbeddingEndpoint) (EmbeddingEndpoint, error) {
	e.HasAPIKey, e.UpdatedAt = false, ""
	var set EmbeddingEndpoint
	err := c.callAgain(ctx, true, "PUT", nativePath("auth", "embedding"), e, &set)
	return set, err
}

// GetEmbeddingEndpoint describes the tenant's own endpoint.
func (c *Client) GetEmbeddingEndpoint(ctx context.Context) (EmbeddingEndpoint, error) {
	var e EmbeddingEndpoint
	err := c.call(ctx, "GET", nativePath("auth", "embedding"), nil, &e)
	return e, err
}

// DeleteEmbeddingEndpoint takes the tenant's own endpoint away.
func (c *Client) DeleteEmbeddingEndpoint(ctx context.Context) error {
	return c.call(ctx, "DELETE", nativePath("auth", "embedding"), nil, nil)
}
