package httpedge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// Texts that are stored get the vectors of their collection's endpoint: in one
// call, or, when the endpoint fails in any way, nothing is stored.
func TestStoredTextsAreEmbedded(t *testing.T) {
	w := newEmbedded(t)
	w.ok("PUT", "/auth/embedding", w.admin, w.model.spec(), 200)
	w.ok("POST", "/collections", w.admin, `{"name":"notes","embedding":{},"metric":"dot"}`, 201)
	w.ok("POST", "/collections", w.admin, `{"name":"plain"}`, 201)
	const three = `{"collection":"notes","texts":[{"id":"1","text":"red fox"},{"id":"2","text":"lazy dog"},{"id":"x","text":"night owl"}]}`

	points := func() uint64 {
		info, err := w.data.GetCollection(t.Context(), adminOf(w.mine), "notes")
		noError(t, err)
		return info.Points
	}
	for _, fail := range []func(){
		func() { w.model.fail(429, "", "Retry-After", "60") },
		func() { w.model.fail(401, endpointKey) },
		func() { w.model.fail(200, `{"data":[{"index":0,"embedding":[1]}]}`) },
		func() { w.model.fail(200, `{"data":[{"index":0,"emb`) },
	} {
		fail()
		got := w.send("POST", w.main+"/insert_texts", w.writer, three)
		if got.status != 502 && got.status != 503 || strings.Contains(got.text, "canary") || points() != 0 {
			t.Errorf("%d %s, and %d points", got.status, got.text, points())
		}
	}
	w.model.fault.Store(nil)
	before := w.model.requests.Load()
	w.ok("POST", "/insert_texts", w.writer, three, 201)
	if n := w.model.requests.Load() - before; n != 1 || points() != 3 {
		t.Errorf("%d requests of the endpoint, %d points", n, points())
	}
	stored, err := w.data.Retrieve(t.Context(), adminOf(w.mine), "notes", []collection.PointID{collection.NumID(2)}, collection.PayloadSelector{All: true}, collection.VectorSelector{All: true})
	noError(t, err)
	if len(stored) != 1 || !slices.Equal(stored[0].Vector, wordVector("lazy dog")) {
		t.Errorf("%+v", stored)
	}
	w.ok("POST", "/insert", w.writer, fmt.Sprintf(`{"collection":"notes","id":"own","text":"a fox","vector":%s}`, strings.ReplaceAll(fmt.Sprint(wordVector("b c")), " ", ",")), 201)
	if got := w.search("/semantic_search", `{"query":"red fox","collection":"notes","max_results":1}`); !slices.Equal(got.names(), []string{"notes/1"}) {
		t.Errorf("%v", got.names())
	}
	hybrid := w.ok("POST", "/collections/notes/hybrid_search", w.writer, `{"query":"red fox"}`, 200)
	if !strings.Contains(hybrid.text, `"sources":["dense","text"]`) {
		t.Errorf("%s", hybrid.text)
	}

	asked := w.model.requests.Load()
	w.ok("POST", "/insert_texts", w.writer, `{"collection":"plain","texts":[{"text":"red fox"}]}`, 201)
	if hybrid := w.ok("POST", "/collections/plain/hybrid_search", w.writer, `{"query":"red fox"}`, 200); !strings.Contains(hybrid.text, `"sources":["text"]`) || w.model.requests.Load() != asked {
		t.Errorf("%s", hybrid.text)
	}
	w.ok("DELETE", "/auth/embedding", w.admin, "", 200)
	w.ok("POST", "/insert_texts", w.writer, three, 409).hasCode("NO_EMBEDDING_ENDPOINT")
	w.secretsAreKept()
}
