package httpedge

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A short request for very many chunks, or for many with a large payload each,
// is refused before they are made.
func TestChunksAreBoundedWhileTheyAreMade(t *testing.T) {
	w := newTexts(t, `{"name":"texts"}`)
	for _, k := range []struct {
		bytes, members int
		want           string
	}{
		{320 << 10, 60, "points"},
		{72 << 10, 2000, "payload"},
	} {
		metadata := map[string]any{}
		for i := range k.members {
			metadata[fmt.Sprintf("m%d", i)] = 1
		}
		body, _ := json.Marshal(map[string]any{
			"collection": "texts", "id": "many", "text": strings.Repeat("x", k.bytes), "metadata": metadata, "chunk_size": 16, "chunk_overlap": 8,
		})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := w.api("POST", "/insert", string(body))
		runtime.ReadMemStats(&after)
		if got.status != 413 || !strings.Contains(got.text, k.want) {
			t.Errorf("%d %s, want 413 and %s", got.status, got.text, k.want)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 120 {
			t.Errorf("%d MB were taken for %d bytes in chunks of 16 with %d members", took, k.bytes, k.members)
		}
	}
	if got := w.stored(t); len(got) != 0 {
		t.Errorf("%d points are stored", len(got))
	}
}

// Texts whose vectors could not be stored are not sent to the endpoint.
func TestVectorsThatAreTooManyAreNotAskedFor(t *testing.T) {
	w := newEmbedded(t)
	w.ok("PUT", "/auth/embedding", w.admin, strings.Replace(w.model.spec(), `"dimension":16`, `"dimension":65535`, 1), 200)
	w.ok("POST", "/collections", w.admin, `{"name":"wide","embedding":{}}`, 201)
	texts := strings.TrimSuffix(strings.Repeat(`{"text":"word"},`, 130), ",")
	if got := w.send("POST", w.main+"/insert_texts", w.writer, `{"collection":"wide","texts":[`+texts+`]}`); got.status != 413 || !strings.Contains(got.text, "65535") {
		t.Errorf("%d %s", got.status, got.text)
	}
	if n := w.model.requests.Load(); n != 0 {
		t.Errorf("the endpoint got %d requests", n)
	}
}
