package httpedge

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

// texts is a world with a collection of texts, and a key for it.
type texts struct {
	*world
	admin string
}

func newTexts(t *testing.T, create string) *texts {
	w := &texts{world: newWorld(t)}
	_, w.admin = w.key(w.mine, tenant.Admin, nil)
	w.api("POST", "/collections", create).is(201, `"collection":"texts"`)
	return w
}

func (w *texts) api(method, path, body string) reply {
	w.t.Helper()
	return w.ask(method, w.main+path, body, "Api-Key", w.admin)
}

// into reads an answer.
func into[A any](t *testing.T, r reply) A {
	t.Helper()
	var a A
	if err := json.Unmarshal([]byte(r.text), &a); err != nil || r.status >= 300 {
		t.Fatalf("%d %s: %v", r.status, r.text, err)
	}
	return a
}

// stored are the texts in the collection, by the ids of their points.
func (w *texts) stored(t *testing.T) map[vectorID]string {
	t.Helper()
	page := into[struct {
		Vectors []struct {
			ID      vectorID
			Payload map[string]any
		}
	}](t, w.api("GET", "/collections/texts/vectors?limit=1000", ""))
	all := map[vectorID]string{}
	for _, v := range page.Vectors {
		all[v.ID] = fmt.Sprint(v.Payload["text"])
	}
	return all
}

func sentences(word string, n int) string {
	return strings.Repeat(word+" stands in a sentence. ", n)
}

func TestTextsAreStoredInChunks(t *testing.T) {
	w := newTexts(t, `{"name":"texts"}`)
	text := "Début. " + sentences("chunked", 300)
	body, _ := json.Marshal(map[string]any{"collection": "texts", "id": "doc", "text": text, "metadata": map[string]any{"source": "a"}, "chunk_overlap": 40})
	done := into[textInserted](t, w.api("POST", "/insert", string(body)))
	if !done.Chunked || done.Created < 4 || done.ID != "doc" || done.VectorIDs[1] != "doc#1" || len(done.VectorIDs) != done.Created {
		t.Fatalf("%+v", done)
	}
	covered := 0
	runes := []rune(text)
	for i, id := range done.VectorIDs {
		v := into[struct{ Payload map[string]any }](t, w.api("GET", "/collections/texts/vectors/"+strings.ReplaceAll(string(id), "#", "%23"), "")).Payload
		start, end := int(v["chunk_start"].(float64)), int(v["chunk_end"].(float64))
		if v["parent_id"] != "doc" || int(v["chunk_index"].(float64)) != i || int(v["chunk_count"].(float64)) != done.Created || v["source"] != "a" {
			t.Fatalf("%s: %v", id, v)
		}
		if v["text"] != string(runes[start:end]) || start > covered || end <= covered || end-start > 2048 {
			t.Fatalf("%s is %d to %d: %v", id, start, end, v)
		}
		covered = end
	}
	if covered != len(runes) {
		t.Fatalf("%d of %d characters are stored", covered, len(runes))
	}
	// Another text in its place: fewer chunks, then none, then more of them.
	for _, n := range []int{150, 1, 400, 300} {
		body, _ = json.Marshal(map[string]any{"collection": "texts", "texts": []map[string]any{{"id": "doc", "text": sentences("other", n)}, {"id": "beside", "text": "beside"}}})
		all := into[textsInserted](t, w.api("POST", "/batch_insert", string(body)))
		if got := w.stored(t); len(got) != all.Results[0].Created+1 || got["beside"] != "beside" {
			t.Fatalf("%d points after %+v", len(got), all)
		}
		w.api("POST", "/collections/texts/search/text", `{"query":"chunked"}`).is(200, `"results":[]`)
	}
	// A text is deleted with its chunks.
	w.api("DELETE", "/collections/texts/vectors/doc", "").is(200, `"id":"doc"`)
	w.api("DELETE", "/collections/texts/vectors/doc", "").is(404, ``)
	if got := w.stored(t); len(got) != 1 {
		t.Fatalf("%v are left", got)
	}
	w.api("POST", "/insert", `{"auto_chunk":false,"collection":"texts","id":"7","text":"`+sentences("whole", 200)+`"}`).is(201, `"chunked":false`)
	w.api("POST", "/batch_delete", `{"collection":"texts","ids":["7","beside","gone","7"]}`).is(200, `"success":false,"collection":"texts","count":4,"deleted":2,"failed":1`)
}

func TestTextsAreFound(t *testing.T) {
	w := newTexts(t, `{"name":"texts","dimension":2,"metric":"dot","sparse":[{"name":"s"}],"text":{"stop_words":["the"],"k1":2,"b":0.5}}`)
	w.api("GET", "/collections/texts", "").is(200, `"text":{"enabled":true,"field":"text","k1":2`)
	w.api("POST", "/insert_texts", `{"collection":"texts","texts":[
		{"id":"cat","text":"The cat sat on the mat","metadata":{"n":1},"vector":[1,0]},
		{"id":"dog","text":"A dog and a cat","payload":{"n":2},"vector":[0,1],"sparse":{"s":{"indices":[1],"values":[2]}}},
		{"id":"东京","text":"我爱北京烤鸭"},
		{"id":"arabic","text":"ذَهَبَ مُحَمَّدٌ إلى المدرسة"},
		{"id":"thai","text":"วันนี้อากาศดีมาก"},
		{"id":"korean","text":"학교에서 공부했다"}]}`).is(201, `"inserted":6`)
	ask := func(body string) []string {
		t.Helper()
		var ids []string
		for _, h := range into[searchAnswer](t, w.api("POST", "/collections/texts/search/text", body)).Results {
			ids = append(ids, string(h.ID))
		}
		return ids
	}
	for body, want := range map[string]string{
		`{"query":"cat"}`:            "[cat dog]", // the shorter text first
		`{"query":"cat","limit":1}`:  "[cat]",
		`{"query":"the"}`:            "[]",
		`{"query":"MAT cat"}`:        "[cat dog]",
		`{"query":"烤鸭"}`:             "[东京]",
		`{"query":"京"}`:              "[东京]",
		`{"query":"محمد"}`:           "[arabic]",
		`{"query":"อากาศ"}`:          "[thai]",
		`{"query":"학교"}`:             "[korean]",
		`{"query":"cat","offset":1}`: "[dog]",
		`{"query":"cat","filter":{"must":[{"key":"n","match":{"value":1}}]}}`: "[cat]",
		`{"query":"cat","threshold":100}`:                                     "[]",
	} {
		if got := fmt.Sprint(ask(body)); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	hybrid := func(body string) hybridAnswer {
		t.Helper()
		return into[hybridAnswer](t, w.api("POST", "/collections/texts/hybrid_search", body))
	}
	for body, want := range map[string]string{
		`{"query":"mat","vector":[0,1],"alpha":1,"algorithm":"weighted"}`:  "dog dense,text",
		`{"query":"mat","vector":[0,1],"alpha":0,"algorithm":"alpha"}`:     "cat dense,text",
		`{"query":"dog","vector":[0,1]}`:                                   "dog dense,text",
		`{"query":"mat"}`:                                                  "cat text",
		`{"query":"mat","query_sparse":{"indices":[1],"values":[1]}}`:      "dog sparse",
		`{"query":"烤鸭","vector":[1,0],"alpha":0.1,"algorithm":"weighted"}`: "东京 dense,text",
	} {
		got := hybrid(body)
		if s := string(got.Results[0].ID) + " " + strings.Join(got.Sources, ","); s != want {
			t.Errorf("%s: %s, want %s", body, s, want)
		}
	}
	if got := hybrid(`{"query":"cat","vector":[1,1],"final_k":1}`); len(got.Results) != 1 || got.Alpha != 0.7 || got.Algorithm != "rrf" {
		t.Errorf("%+v", got)
	}
	// A changed payload is found by its new words.
	w.api("PUT", "/collections/texts/vectors/cat", `{"payload":{"text":"a bird"}}`).is(200, "")
	if got := fmt.Sprint(ask(`{"query":"bird"}`), ask(`{"query":"mat"}`)); got != "[cat] []" {
		t.Error(got)
	}
}

func TestTextRefusals(t *testing.T) {
	w := newTexts(t, `{"name":"texts","dimension":2}`)
	w.api("POST", "/collections", `{"name":"bare","dimension":2,"text":{"enabled":false}}`).is(201, "")
	long, _ := json.Marshal(sentences("long", 200))
	for _, k := range []struct{ path, body, want string }{
		{"/insert", `{"collection":"texts","text":""}`, `text`},
		{"/insert", `{"collection":"texts","text":"a","id":"a#1"}`, `#`},
		{"/insert", `{"collection":"texts","text":"a","id":"` + strings.Repeat("x", 241) + `"}`, `240`},
		{"/insert", `{"collection":"texts","text":"a","metadata":{"text":"b"}}`, `payload.text`},
		{"/insert", `{"collection":"texts","text":"a","metadata":{"_id":"b"}}`, `reserved`},
		{"/insert", `{"collection":"texts","text":"a","chunk_overlap":2000}`, `overlap`},
		{"/insert", `{"collection":"texts","text":"a","public_key":"k"}`, `public_key`},
		{"/insert", `{"collection":"texts","text":"a","vector":[1,2,3]}`, `dimension`},
		{"/insert", `{"collection":"texts","text":` + string(long) + `,"vector":[1,2]}`, `auto_chunk`},
		{"/insert", `{"collection":"texts","text":` + string(long) + `,"metadata":{"parent_id":"x"}}`, `parent_id`},
		{"/insert_texts", `{"collection":"texts","texts":[{"text":"a"},{"text":"b","id":"#"}]}`, `texts[1].id`},
		{"/insert", `{"collection":"bare","text":"a"}`, `no texts`},
		{"/collections/bare/search/text", `{"query":"a"}`, `no texts`},
		{"/collections/texts/search/text", `{"query":""}`, `query`},
		{"/collections/texts/hybrid_search", `{"query":"a","alpha":1.5}`, `alpha`},
		{"/collections/texts/hybrid_search", `{"query":"a","algorithm":"best"}`, `algorithm`},
		{"/collections/texts/hybrid_search", `{"query":"a","query_sparse":{"indices":[1],"values":[1]}}`, `sparse`},
		{"/collections", `{"name":"c","text":{"b":2}}`, `text.b`},
	} {
		if r := w.api("POST", k.path, k.body); r.status != 400 && r.status != 422 || !strings.Contains(r.text, k.want) {
			t.Errorf("%s %.80s: %d %s, want %s", k.path, k.body, r.status, r.text, k.want)
		}
	}
	w.api("POST", "/insert", `{"collection":"absent","text":"a"}`).is(404, "")
	w.api("POST", "/collections/absent/search/text", `{"query":"a"}`).is(404, "")
	if got := w.stored(t); len(got) != 0 {
		t.Fatalf("%v are there", got)
	}
}

// Whoever comes last, nothing of what it replaces is left.
func TestTextsAreReplacedByOneAtATime(t *testing.T) {
	w := newTexts(t, `{"name":"texts"}`)
	for round := range 8 {
		var group sync.WaitGroup
		for n := range 6 {
			group.Go(func() {
				text := sentences(fmt.Sprintf("writer%d", n), 2+(n*7+round*3)%23)
				body, _ := json.Marshal(map[string]any{"collection": "texts", "id": "doc", "text": text, "chunk_size": 32, "chunk_overlap": 0})
				if r := w.api("POST", "/insert", string(body)); r.status != 201 {
					t.Errorf("%d %s", r.status, r.text)
				}
			})
		}
		group.Wait()
		w.checkOneText(t)
	}
}

// checkOneText holds that what is stored is one whole text.
func (w *texts) checkOneText(t *testing.T) {
	t.Helper()
	all, whole := w.stored(t), ""
	for i := range len(all) {
		if len(all) == 1 {
			whole = all["doc"]
			break
		}
		whole += all[vectorID("doc").chunk(i)]
	}
	writer, _, _ := strings.Cut(whole, " ")
	if whole == "" || strings.Count(whole, writer) != strings.Count(whole, "writer") || len(whole)%len(sentences(writer, 1)) != 0 {
		t.Fatalf("parts of several texts are left: %q", all)
	}
}
