package httpedge

import (
	"testing"

	"github.com/hivehub/waggle/tenant"
)

// A configuration that somebody else has changed is not changed again unseen, and
// a repeated request takes effect once, also through a node that is not in charge.
func TestETags(t *testing.T) {
	w := newWorld(t)
	_, key := w.key(w.mine, tenant.Admin, nil)
	w.settle()
	for _, base := range []string{w.main, w.through.main} {
		ask := func(method, path, body string, headers ...string) reply {
			return w.ask(method, base+path, body, append([]string{"Api-Key", key}, headers...)...)
		}
		const create = `{"name":"tagged","dimension":2}`
		for range 2 {
			ask("POST", "/collections", create, "Idempotency-Key", base).is(201, "tagged")
		}
		ask("POST", "/collections", `{"name":"tagged","dimension":3}`, "Idempotency-Key", base).is(422, "IDEMPOTENCY_REUSED")
		ask("POST", "/collections", create).is(409, "ALREADY_EXISTS")

		tag := ask("GET", "/collections/tagged", "").is(200, "tagged").header.Get("Etag")
		if again := ask("GET", "/api/v1/collections/tagged", "").header.Get("Etag"); tag == "" || again != tag {
			t.Errorf("tags %q and %q", tag, again)
		}
		if same := ask("GET", "/collections/tagged", "", "If-None-Match", tag); same.status != 304 || same.text != "" || same.header.Get("Etag") != tag {
			t.Errorf("%d %s %v", same.status, same.text, same.header)
		}
		const change = `{"hnsw":{"m":24}}`
		for _, wrong := range []string{`"x"`, "x", `W/` + tag, `"00000000000000000000000000000000"`} {
			ask("PATCH", "/collections/tagged", change, "If-Match", wrong).is(412, "PRECONDITION_FAILED")
		}
		next := ask("PATCH", "/collections/tagged", change, "If-Match", tag).is(200, `"m":24`).header.Get("Etag")
		if next == "" || next == tag {
			t.Errorf("the tag stays %q", next)
		}
		ask("GET", "/collections/tagged", "", "If-None-Match", tag).is(200, `"m":24`)
		ask("DELETE", "/collections/tagged", "", "If-Match", tag).is(412, "PRECONDITION_FAILED")
		ask("DELETE", "/collections/tagged", "", "If-Match", next).is(200, "")
	}
}
