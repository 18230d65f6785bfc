package httpedge

import (
	"slices"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// A vector that an endpoint made is always that of the text beside it.
func TestChangedTextsAreEmbeddedAnew(t *testing.T) {
	w := newEmbedded(t)
	w.ok("PUT", "/auth/embedding", w.admin, w.model.spec(), 200)
	w.ok("POST", "/collections", w.admin, `{"name":"notes","embedding":{},"metric":"dot"}`, 201)
	w.ok("POST", "/insert_texts", w.writer, `{"collection":"notes","texts":[{"id":"1","text":"red fox"},{"id":"2","text":"lazy dog"}]}`, 201)
	is := func(id uint64, text string) {
		t.Helper()
		got, err := w.data.Retrieve(t.Context(), adminOf(w.mine), "notes", []collection.PointID{collection.NumID(id)}, collection.PayloadSelector{All: true}, collection.VectorSelector{All: true})
		noError(t, err)
		if len(got) != 1 || got[0].Payload["text"] != text || !slices.Equal(got[0].Vector, wordVector(text)) {
			t.Errorf("%+v, want %s", got, text)
		}
	}
	w.ok("PUT", "/collections/notes/vectors/1", w.writer, `{"payload":{"text":"blue whale"}}`, 200)
	is(1, "blue whale")
	w.ok("POST", "/batch_update", w.writer, `{"collection":"notes","updates":[{"id":"1","metadata":{"text":"night owl"}},{"id":"2","payload":{"n":1}}]}`, 200)
	is(1, "night owl")
	is(2, "lazy dog")
	w.ok("PUT", "/collections/notes/vectors/1", w.writer, `{"payload":{"text":null}}`, 400)
	w.ok("POST", "/collections/notes/vectors/bulk_update_metadata", w.writer, `{"filter":{"must":[{"key":"n","match":{"value":1}}]},"patch":{"text":"x"}}`, 400)
	is(2, "lazy dog")

	w.ok("PUT", "/auth/embedding", w.admin, strings.Replace(w.model.spec(), `"words"`, `"newer"`, 1), 200)
	w.ok("POST", "/collections", w.admin, `{"name":"newer","embedding":{},"metric":"dot"}`, 201)
	w.ok("POST", "/collections/notes/vectors/copy", w.writer, `{"destination":"newer","filter":{}}`, 409).hasCode("EMBEDDING_MISMATCH")
	got := w.ok("POST", "/intelligent_search", w.writer, `{"query":"owl"}`, 409)
	if got.hasCode("EMBEDDING_MISMATCH"); !strings.Contains(got.text, `collection \"notes\"`) {
		t.Errorf("%s", got.text)
	}
}

func TestATextInChunksSaysWhereTheyAre(t *testing.T) {
	w := newTexts(t, `{"name":"texts"}`)
	w.api("POST", "/insert", `{"collection":"texts","id":"t","text":"`+sentences("w", 4)+`","chunk_size":32,"chunk_overlap":0}`).is(201, `"chunked":true`)
	w.api("GET", "/collections/texts/vectors/t", "").is(404, `ask for \"t#0\" to \"t#`)
	w.api("PUT", "/collections/texts/vectors/t", `{"payload":{"a":1}}`).is(404, `ask for \"t#0\" to \"t#`)
	w.api("GET", "/collections/texts/vectors/u", "").is(404, `there is no vector \"u\"`)
}

// A copy of a text in fewer chunks leaves none of those it replaces.
func TestACopyOfATextReplacesItsChunks(t *testing.T) {
	w := newTexts(t, `{"name":"texts"}`)
	w.api("POST", "/collections", `{"name":"from"}`).is(201, "")
	for name, n := range map[string]int{"texts": 9, "from": 3} {
		w.api("POST", "/insert", `{"collection":"`+name+`","id":"t","text":"`+sentences(name, n)+`","chunk_size":32,"chunk_overlap":0}`).is(201, `"chunked":true`)
	}
	w.api("POST", "/collections/from/vectors/copy", `{"destination":"texts","filter":{}}`).is(200, `"failed":0`)
	for id, text := range w.stored(t) {
		if !strings.HasPrefix(text, "from") {
			t.Errorf("%s is left: %s", id, text)
		}
	}
}
