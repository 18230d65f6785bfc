package httpedge

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// Whichever of a text's chunks are gone or changed, the others go with it.
func TestNoChunkOutlivesItsText(t *testing.T) {
	long, _ := json.Marshal(sentences("w", 4))
	insert := `{"collection":"texts","id":"t","text":` + string(long) + `,"chunk_size":32,"chunk_overlap":0}`
	const short = `{"collection":"texts","id":"t","text":"short"}`
	harms := map[string]func(w *texts){
		"nothing": func(*texts) {},
		"the first": func(w *texts) {
			w.api("POST", "/batch_delete", `{"collection":"texts","ids":["t#0"]}`).is(200, `"deleted":1`)
		},
		"its count": func(w *texts) {
			w.api("PUT", "/collections/texts/vectors/t%230", `{"payload":{"chunk_count":null}}`).is(200, "")
		},
		"a vector, too": func(w *texts) {
			w.api("POST", "/insert_vectors", `{"collection":"texts","vectors":[{"id":"t"}]}`).is(201, "")
		},
	}
	w := newTexts(t, `{"name":"texts"}`)
	for name, harm := range harms {
		for _, end := range []func(){
			func() { w.api("DELETE", "/collections/texts/vectors/t", "").is(200, "") },
			func() {
				w.api("POST", "/insert", short).is(201, "")
				if got := w.stored(t); len(got) != 1 || got["t"] != "short" {
					t.Errorf("%s: %v after it was replaced", name, got)
				}
				w.api("DELETE", "/collections/texts/vectors/t", "").is(200, "")
			},
		} {
			if done := into[textInserted](t, w.api("POST", "/insert", insert)); done.Created < 3 {
				t.Fatalf("%+v", done)
			}
			harm(w)
			end()
			if got := w.stored(t); len(got) != 0 {
				t.Fatalf("%s: %v are left", name, got)
			}
			w.api("DELETE", "/collections/texts/vectors/t", "").is(404, "")
		}
	}
	w.api("POST", "/insert_texts", `{"collection":"texts","chunk_size":32,"chunk_overlap":0,"texts":[{"id":"t","text":`+string(long)+`},{"id":"t","text":"w"}]}`).is(400, `texts[1].id`)
	const capitals, small = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	w.api("POST", "/insert", `{"collection":"texts","id":"`+capitals+`","text":`+string(long)+`,"chunk_size":32,"chunk_overlap":0}`).is(201, small)
	w.api("DELETE", "/collections/texts/vectors/"+small, "").is(200, "")
	if got := w.stored(t); len(got) != 0 {
		t.Fatalf("%v are left", got)
	}
}

// A filter that every vector passes by its form is about nothing that is meant.
func TestFiltersWithoutAConditionAreRefused(t *testing.T) {
	w := newTexts(t, `{"name":"texts"}`)
	w.api("POST", "/insert", `{"collection":"texts","id":"t","text":"a"}`).is(201, "")
	for _, filter := range []string{
		`{}`, `{"must":[]}`, `{"must":[{}]}`, `{"must":{}}`, `{"should":[{}]}`, `{"should":[{"has_id":["1"]},{"must":[{}]}]}`,
		`{"min_should":{"conditions":[],"min_count":0}}`, `{"min_should":{"conditions":[{"has_id":["1"]}],"min_count":0}}`,
		`{"must_not":[{"must_not":[{}]}]}`, `{"must_not":[{"has_id":[]}]}`, `{"must_not":[{"key":"a","match":{"any":[]}}]}`,
	} {
		for _, ask := range []string{`/delete_by_filter`, `/bulk_update_metadata`} {
			if got := w.api("POST", "/collections/texts/vectors"+ask, `{"patch":{"a":1},"filter":`+filter+`}`); ask == `/bulk_update_metadata` && got.status != 400 {
				t.Errorf("%s %s: %d %s", ask, filter, got.status, got.text)
			}
			if got := w.api("POST", "/collections/texts/vectors/delete_by_filter", `{"filter":`+filter+`}`); got.status != 400 {
				t.Errorf("%s: %d %s", filter, got.status, got.text)
			}
		}
	}
	if got := w.stored(t); len(got) != 1 {
		t.Errorf("%v are left", got)
	}
	w.api("POST", "/collections/texts/vectors/delete_by_filter", `{"filter":{"must":[{}],"must_not":[{"key":"a","match":{"value":1}}]}}`).is(200, `"deleted":1`)
}

func TestAnUpdateWithoutAChangeIsRefused(t *testing.T) {
	w := newTexts(t, `{"name":"texts"}`)
	w.api("POST", "/insert", `{"collection":"texts","id":"1","text":"a"}`).is(201, "")
	w.api("PUT", "/collections/texts/vectors/1", `{"sparse":{}}`).is(400, "nothing to change")
	w.api("POST", "/batch_update", `{"collection":"texts","updates":[{"id":"1","sparse":{}}]}`).is(400, "nothing to change")
}

// A member _id that is not what the id was made of is the caller's.
func TestForeignMembersOfTheIDsNameAreShown(t *testing.T) {
	w := newTexts(t, `{"name":"texts","dimension":2}`)
	w.ask("PUT", w.qdrant+"/collections/texts/points?wait=true", `{"points":[{"id":7,"vector":[1,0],"payload":{"_id":"7"}},{"id":8,"vector":[1,0],"payload":{"_id":{"a":1}}}]}`, "Api-Key", w.admin).is(200, "")
	w.api("POST", "/insert", `{"collection":"texts","id":"word","text":"a"}`).is(201, "")
	for id, want := range map[string]string{"7": `"_id":"7"`, "8": `"_id":{"a":1}`} {
		w.api("GET", "/collections/texts/vectors/"+id, "").is(200, want)
	}
	if got := into[nativeVector](t, w.api("GET", "/collections/texts/vectors/word", "")); got.ID != "word" || got.Payload[idMember] != nil {
		t.Errorf("%+v", got)
	}
}

// No tenant waits for the texts of another.
func TestTurnsOfTextsAreOfATenant(t *testing.T) {
	p := newReplacing()
	var all []storedText
	for i := range 2000 {
		all = append(all, storedText{id: vectorID("t").chunk(i), given: true})
	}
	release, err := p.enter(t.Context(), tenant.ID("a"), "texts", all)
	noError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	other, err := p.enter(ctx, tenant.ID("b"), "texts", all)
	noError(t, err)
	other()
	cancel()
	if _, err := p.enter(ctx, tenant.ID("a"), "texts", all[:1]); err == nil {
		t.Error("two are at the same text")
	}
	release()
	if n := len(p.mu.turns); n != 0 {
		t.Errorf("the turns of %d tenants are kept", n)
	}
}
