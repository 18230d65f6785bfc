package httpedge

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

// TestAccessMatrix sends every route, on every listener and through another
// node, the request of every suspect. Whoever the contract refuses is refused,
// has changed nothing, and learns nothing; whoever it admits is admitted.
func TestAccessMatrix(t *testing.T) {
	w := newWorld(t)
	suspects := w.suspects()
	w.settle()
	w.edge.t = t
	requests := 0
	for _, p := range w.places() {
		if rowOf(p.route) == "" {
			t.Errorf("%s has no row", &p)
			continue
		}
		if rowOf(p.route) == rowPublic {
			w.checkPublic(&p, suspects)
			continue
		}
		before := w.state()
		for _, c := range suspects {
			if want := c.want(p.route, p.atHub); want != admitted {
				requests++
				w.checkRefused(&p, &c, want)
			}
		}
		if after := w.state(); after != before {
			t.Fatalf("%s: refused requests changed the state\n%s\n%s", &p, before, after)
		}
		for _, c := range suspects {
			if c.want(p.route, p.atHub) == admitted {
				requests++
				w.checkAdmitted(&p, &c)
			}
		}
	}
	t.Logf("%d requests by %d suspects at %d places", requests, len(suspects), len(w.places()))
}

func (w *world) checkRefused(p *place, c *suspect, want int) {
	w.t.Helper()
	url, body := w.real(p), w.bodyOf(p)
	got := w.ask(p.method, url, body, c.headers(p.method, url, body)...)
	if got.status != want {
		w.t.Errorf("%s, %s: %d %s, want %d", p, c.name, got.status, got.text, want)
	}
	if want == 401 {
		if id := got.header.Get("X-Tenant-Id"); id != "" {
			w.t.Errorf("%s, %s: refused as nobody, and told of tenant %s", p, c.name, id)
		}
	} else if !c.foreign {
		got.header.Del("X-Tenant-Id") // his own
	}
	if leaked := w.holds(got); leaked != nil {
		w.t.Errorf("%s, %s: refused, and told %q", p, c.name, leaked)
	}
}

// checkAdmitted sends what changes nothing: a read of what there is, or
// something broken about what there is not.
func (w *world) checkAdmitted(p *place, c *suspect) {
	w.t.Helper()
	url, body := ghost(p), "{"
	if r := rowOf(p.route); p.method == "GET" || r == rowRead {
		url, body = w.real(p), w.bodyOf(p)
	}
	if strings.HasSuffix(p.path, "/events") {
		url += "?wait=0"
	}
	got := w.ask(p.method, url, body, c.headers(p.method, url, body)...)
	if s := got.status; s == 401 || s == 403 || s == 405 || s == 429 || s >= 500 && s != 501 {
		w.t.Errorf("%s, %s: %d %s, want to be admitted", p, c.name, got.status, got.text)
	}
	own := c.suspended && rowOf(p.route) == rowExport // what he exports has the same words in it
	if leaked := w.holds(got); c.foreign && !own && c.has != "operator" && c.has != "service" && leaked != nil {
		w.t.Errorf("%s, %s: told %q: %s", p, c.name, leaked, got.text)
	}
}

// checkPublic looks for what nobody may be told without a key, or with another's.
func (w *world) checkPublic(p *place, suspects []suspect) {
	w.t.Helper()
	for _, c := range suspects {
		if c.refused == 0 && !c.foreign {
			continue
		}
		got := w.ask(p.method, p.base+p.path, "", c.headers(p.method, p.base+p.path, "")...)
		if leaked := w.holds(got); leaked != nil || got.status >= 500 {
			w.t.Errorf("%s, %s: %d, told %q: %s", p, c.name, got.status, leaked, got.text)
		}
	}
}

// TestReplayedNonces: a signed request that was answered is good for nothing
// more: a change on no node, a read not where it was answered.
func TestReplayedNonces(t *testing.T) {
	w := newWorld(t)
	_, w.keys["ADMIN"] = w.key(w.mine, tenant.Admin, nil)
	w.settle()
	changes := 0
	for _, p := range w.places() {
		if r := rowOf(p.route); r == "" || r == rowPublic || r == rowHub || r == rowOperator {
			continue
		}
		w.furnish(t, w.mine)
		url, body := w.real(&p)+"?wait=true", w.bodyOf(&p)
		host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
		headers := w.signature(w.mine, p.method, url, body, nil)
		first := w.ask(p.method, url, body, headers...)
		if first.status == 401 || first.status == 403 {
			t.Errorf("%s: %d %s", &p, first.status, first.text)
		}
		elsewhere := strings.Replace(url, host, strings.TrimPrefix(w.other.main, "http://"), 1)
		if p.base == w.qdrant || p.base == w.through.qdrant {
			elsewhere = strings.Replace(url, host, strings.TrimPrefix(w.other.qdrant, "http://"), 1)
		}
		w.checkReplay(&p, url, elsewhere, host, body, headers, first)
		if first.status < 300 && p.changes() {
			changes++
		}
	}
	if changes < 15 {
		t.Errorf("only %d changes were good the first time", changes)
	}
}

func (w *world) checkReplay(p *place, here, elsewhere, host, body string, headers []string, first reply) {
	w.t.Helper()
	before := w.contents()
	for _, url := range []string{here, elsewhere} {
		again := w.ask(p.method, url, body, append([]string{"Host", host}, headers...)...)
		switch {
		case again.status == 401:
		case first.status >= 300 && again.status == first.status: // nothing took effect, and nothing does
		case url == elsewhere && !p.changes():
		default:
			w.t.Errorf("%s: %d, repeated at %s %d %s", p, first.status, url, again.status, again.text)
		}
	}
	if after := w.contents(); after != before {
		w.t.Errorf("%s: the repetition changed\n%s\nto\n%s", p, before, after)
	}
}

// contents is what a tenant can see of what it has.
func (w *world) contents() string {
	w.t.Helper()
	var all strings.Builder
	for _, path := range []string{"/qdrant/collections", "/qdrant/collections/" + canaryName, "/qdrant/aliases"} {
		all.WriteString(timeless(w.ask("GET", w.main+path, "", "Api-Key", w.keys["ADMIN"]).text))
	}
	all.WriteString(timeless(w.ask("POST", w.main+"/qdrant/collections/"+canaryName+"/points/scroll", `{"with_payload":true,"with_vector":true}`, "Api-Key", w.keys["ADMIN"]).text))
	keys, err := w.hub.ListKeys(w.t.Context(), w.mine)
	noError(w.t, err)
	fmt.Fprintf(&all, "%+v", keys)
	return all.String()
}

// A change that is not waited for is acknowledged before anything is decided:
// a repetition too, and then it is refused where it is applied.
func TestReplayNobodyWaitsFor(t *testing.T) {
	w := newWorld(t)
	for _, wait := range []string{"", "?wait=false"} {
		url := w.qdrant + "/collections/" + canaryName + "/points/payload"
		set := func(value string) (string, []string) {
			body := `{"points":[1],"payload":{"a":"` + value + `"}}`
			return body, w.signature(w.mine, "POST", url+wait, body, nil)
		}
		body, headers := set("first")
		w.ask("POST", url+wait, body, headers...).is(200, "acknowledged")
		second, others := set("second")
		w.ask("POST", url+wait, second, others...).is(200, "acknowledged")
		w.ask("POST", url+wait, body, headers...)
		// A write that is waited for stands behind all of them in the log.
		w.ask("POST", url+"?wait=true", `{"points":[1],"payload":{"b":1}}`, w.signature(w.mine, "POST", url+"?wait=true", `{"points":[1],"payload":{"b":1}}`, nil)...).is(200, "completed")
		w.ask("GET", strings.Replace(url, "payload", "1", 1), "", w.signature(w.mine, "GET", strings.Replace(url, "payload", "1", 1), "", nil)...).is(200, `"a":"second"`)
	}
}

var spentTime = regexp.MustCompile(`"time":[0-9.e-]+`)

func timeless(text string) string { return spentTime.ReplaceAllString(text, "") }
