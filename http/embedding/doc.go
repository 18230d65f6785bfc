// Package embedding asks endpoints that somebody configured for the dense
// vectors of texts (OpenAI's POST /v1/embeddings and what is compatible with
// it) and for the order of documents by a query (the rerank form of Cohere,
// Jina and Text Embeddings Inference).
//
// An endpoint is not trusted: its address may be a tenant's. So a Client
// checks each address after the name was resolved, when it dials; follows
// redirects to the same origin alone; knows no proxies of the environment;
// bounds what it reads; and quotes nothing of an answer in an error, for a
// server may echo the key. The key itself is a Secret, which prints as
// "[redacted]" wherever it is printed.
//
// A Client owns its connections, the state of up to endpointsMax endpoints
// (slots and circuit) and a cache of query vectors. It starts goroutines only
// for the time of a call. All of it may be used by many goroutines.
package embedding
