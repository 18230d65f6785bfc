package embedding

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The bounds of a call.
const (
	TextBytesMax  = 1 << 20 // of one text
	batchBytesMax = 256 << 10
	parallelMax   = 4 // requests at once of one call
	attemptsMax   = 4
	backoffFirst  = 200 * time.Millisecond
	backoffMax    = 5 * time.Second
	// CacheBytesDefault bounds the vectors of queries that are kept.
	CacheBytesDefault = 32 << 20
)

// Options is what a Client is made of.
type Options struct {
	CacheBytes int         // 0: CacheBytesDefault; below 0: nothing is kept
	TLS        *tls.Config // nil: the system's authorities, TLS 1.2 and up
}

// Client asks endpoints. Close ends its idle connections.
type Client struct {
	open, private http.Client // to public addresses alone; to private ones, too
	states        *states
	cache         *cache
	owners        *states       // slots of tenants, whichever endpoints they have
	all           chan struct{} // a slot for every request that is out to an endpoint of a tenant's

	observe func(err error, took time.Duration) // may be nil

	now   func() time.Time
	sleep func(context.Context, time.Duration) error
}

// New makes a client.
func New(o Options) *Client {
	if o.CacheBytes == 0 {
		o.CacheBytes = CacheBytesDefault
	}
	return &Client{
		open: httpClient(o.TLS, false), private: httpClient(o.TLS, true),
		states: newStates(), owners: newStates(), cache: newCache(o.CacheBytes), all: make(chan struct{}, slotsAll),
		now: time.Now, sleep: sleep,
	}
}

// Observe has fn told of each request to an endpoint, how it ended and how long
// it took. It comes before all other calls.
func (c *Client) Observe(fn func(err error, took time.Duration)) { c.observe = fn }

// Close ends the connections that nobody uses. Calls under way end with their
// contexts.
func (c *Client) Close() {
	c.open.CloseIdleConnections()
	c.private.CloseIdleConnections()
}

func httpClient(secure *tls.Config, private bool) http.Client {
	if secure == nil {
		secure = &tls.Config{}
	}
	secure = secure.Clone()
	secure.MinVersion = max(secure.MinVersion, tls.VersionTLS12)
	return http.Client{
		CheckRedirect: sameOrigin,
		Transport: &http.Transport{
			Proxy:               nil, // not even that of the environment: it would see keys and resolve names
			DialContext:         dialer(private),
			TLSClientConfig:     secure,
			TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        slotsAll, MaxIdleConnsPerHost: slotsEach,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // what is read is what is counted
		},
	}
}

const redirectsMax = 3

var (
	errRedirect  = errors.New("it redirects to another origin")
	errRedirects = errors.New("it redirects too often")
)

// sameOrigin follows a redirect only to where the key went anyway, and only
// one that keeps the method.
func sameOrigin(next *http.Request, via []*http.Request) error {
	first := via[0]
	if next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host || next.Method != first.Method {
		return errRedirect
	}
	if len(via) > redirectsMax {
		return errRedirects
	}
	return nil
}

// Embed returns a vector for each of texts, in their order, all of e.Dimension
// values, or nothing and an *Error or ctx's error. Large calls go out in
// several requests, up to parallelMax at once.
func (c *Client) Embed(ctx context.Context, e Endpoint, texts []string) ([][]float32, error) {
	for i, text := range texts {
		if text == "" || len(text) > TextBytesMax {
			return nil, e.fault(KindInput, "text %d has %d bytes; must be 1 to %d", i, len(text), TextBytesMax)
		}
	}
	out := make([][]float32, len(texts))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wait  sync.WaitGroup
		slots = make(chan struct{}, parallelMax)
	)
	for from, to := range batches(texts, e.batch()) {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			defer func() { <-slots }()
			vectors, err := c.embedBatch(ctx, &e, texts[from:to])
			if err != nil {
				cancel(err)
			}
			copy(out[from:to], vectors)
		})
	}
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for _, v := range out {
		if len(v) != len(out[0]) {
			return nil, e.fault(KindAnswer, "it gave vectors of %d and of %d values in one call", len(out[0]), len(v))
		}
	}
	return out, nil
}

// batches yields the ranges [from, to) of texts that go out together: up to
// count of them and batchBytesMax bytes, or a single one.
func batches(texts []string, count int) func(yield func(from, to int) bool) {
	return func(yield func(from, to int) bool) {
		from, bytes := 0, 0
		for to := range texts {
			if to > from && (to-from == count || bytes+len(texts[to]) > batchBytesMax) {
				if !yield(from, to) {
					return
				}
				from, bytes = to, 0
			}
			bytes += len(texts[to])
		}
		if from < len(texts) {
			yield(from, len(texts))
		}
	}
}

func (c *Client) embedBatch(ctx context.Context, e *Endpoint, texts []string) ([][]float32, error) {
	body := struct {
		Model string   `json:"model,omitempty"`
		Input []string `json:"input"`
	}{e.Model, texts}
	dimension := e.Dimension
	if dimension == 0 {
		dimension = dimensionMax
	}
	answer, err := c.post(ctx, e, body, min(len(texts)*(dimension*numberBytesMax+answerExtra)+answerExtra, answerBytesMax))
	if err != nil {
		return nil, err
	}
	vectors, err := decodeEmbeddings(answer, len(texts), e.Dimension)
	if err != nil {
		return nil, e.fault(KindAnswer, "its answer cannot be used: %v", err)
	}
	return vectors, nil
}

// EmbedQuery is Embed for one text that is likely to come again: the vector is
// kept for the tenant. The vector is the caller's.
func (c *Client) EmbedQuery(ctx context.Context, tenant string, e Endpoint, text string) ([]float32, error) {
	key := cacheKey{tenant: tenant, endpoint: e.sum(), text: sha256.Sum256([]byte(text))}
	if v, ok := c.cache.get(key); ok {
		return slices.Clone(v), nil
	}
	vectors, err := c.Embed(ctx, e, []string{text})
	if err != nil {
		return nil, err
	}
	c.cache.put(key, vectors[0])
	return slices.Clone(vectors[0]), nil
}

// DocumentsMax is the most documents that Rerank orders.
const DocumentsMax = 1000

// Rerank returns a score for each of documents, the best first; those of equal
// score in their order.
func (c *Client) Rerank(ctx context.Context, e Endpoint, query string, documents []string) ([]Ranked, error) {
	if len(documents) == 0 {
		return nil, nil
	}
	total := len(query)
	for _, d := range documents {
		total += len(d)
	}
	if query == "" || len(documents) > DocumentsMax || total > 8*TextBytesMax {
		return nil, e.fault(KindInput, "%d documents and a query of %d bytes together; must be up to %d of %d", len(documents), total, DocumentsMax, 8*TextBytesMax)
	}
	body := map[string]any{"query": query}
	if e.Texts {
		body["texts"] = documents
	} else {
		body["documents"], body["top_n"] = documents, len(documents)
		if e.Model != "" {
			body["model"] = e.Model
		}
	}
	// Some servers send the documents back.
	answer, err := c.post(ctx, &e, body, min(2*total+len(documents)*answerExtra+answerExtra, answerBytesMax))
	if err != nil {
		return nil, err
	}
	ranking, err := decodeRanking(answer, len(documents))
	if err != nil {
		return nil, e.fault(KindAnswer, "its answer cannot be used: %v", err)
	}
	slices.SortFunc(ranking, func(a, b Ranked) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return a.Index - b.Index
	})
	return ranking, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
