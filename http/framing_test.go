package httpedge

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestAmbiguousHeaders: what two readers may read differently is read by none.
func TestAmbiguousHeaders(t *testing.T) {
	e := newEdge(t, nil)
	good := e.keys["READ_ONLY"]
	ask := func(headers string) string {
		text := "GET /collections HTTP/1.1\r\nConnection: close\r\n" + headers + "\r\n"
		if strings.Contains(headers, "chunked\r\n") && !strings.Contains(headers, "\r\n\r\n") {
			text += "0\r\n\r\n" // the end of the body, for whoever believes in it
		}
		return e.raw(e.qdrant, text)
	}
	for _, ok := range []string{
		"Host: x\r\nApi-Key: " + good + "\r\n",
		"host:x\r\nAPI-KEY:   " + good + "  \r\n",
		"Host: x\nApi-Key: " + good + "\n",
		"Host: x\r\nX-Note: a\tb\r\nApi-Key: " + good + "\r\n",
	} {
		if got := ask(ok); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("%q: %.200s", ok, got)
		}
	}
	e.engine.take()
	for what, bad := range map[string]string{
		"two hosts":            "Host: x\r\nHost: y\r\nApi-Key: " + good + "\r\n",
		"two equal hosts":      "Host: x\r\nhOST: x\r\nApi-Key: " + good + "\r\n",
		"a folded value":       "Host: x\r\nApi-Key:\r\n " + good + "\r\n",
		"a folded rest":        "Host: x\r\nX-Note: a\r\n\tb\r\nApi-Key: " + good + "\r\n",
		"a first line folded":  " Host: x\r\nApi-Key: " + good + "\r\n",
		"a space in a name":    "Host: x\r\nApi-Key : " + good + "\r\n",
		"a tab in a name":      "Host: x\r\nApi-Key\t: " + good + "\r\n",
		"no name":              "Host: x\r\n: " + good + "\r\n",
		"a bare CR":            "Host: x\r\nX-Note: a\rApi-Key: " + good + "\r\n",
		"a NUL":                "Host: x\r\nX-Note: a\x00\r\nApi-Key: " + good + "\r\n",
		"two lengths":          "Host: x\r\nContent-Length: 0\r\nContent-Length: 0\r\nApi-Key: " + good + "\r\n",
		"length and chunked":   "Host: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\nApi-Key: " + good + "\r\n",
		"two encodings":        "Host: x\r\nTransfer-Encoding: gzip, chunked\r\nApi-Key: " + good + "\r\n",
		"a folded encoding":    "Host: x\r\nTransfer-Encoding:\r\n chunked\r\nApi-Key: " + good + "\r\n",
		"another good key":     "Host: x\r\nApi-Key: " + good + "\r\nX-Api-Key: " + e.keys["ADMIN"] + "\r\n",
		"a second value":       "Host: x\r\nApi-Key: " + good + ", " + e.keys["ADMIN"] + "\r\n",
		"a key in the trailer": "Host: x\r\nTrailer: Api-Key\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nApi-Key: " + good + "\r\n",
	} {
		got := ask(bad)
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") && !strings.HasPrefix(got, "HTTP/1.1 401 ") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: %.300s", what, got)
		}
		if calls := e.engine.take(); calls != nil {
			t.Errorf("%s: called %+v", what, calls)
		}
	}
}

// Some of it fasthttp refuses by itself, today.
func TestFramed(t *testing.T) {
	for raw, want := range map[string]bool{
		"Host: x\r\nA: b\r\n\r\n": true, "Host: x\nA: b\n\n": true, "\r\n": true, "": true,
		"A: b\r\n C: d\r\n\r\n": false, "A: b\r\n\tC: d\r\n\r\n": false, " A: b\r\n\r\n": false, "A b\r\n\r\n": false,
		"A: b\x00\r\n\r\n": false, "A: b\rC: d\r\n\r\n": false, "A: b\x7f\r\n\r\n": false,
		"Host: x\r\nHOST: x\r\n\r\n": false, "Content-Length: 1\r\ncontent-length: 1\r\n\r\n": false,
		"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n": false, "Transfer-Encoding: identity\r\n\r\n": false,
		"Transfer-Encoding: Chunked\r\n\r\n": true,
	} {
		if got := framed([]byte(raw)); got != want {
			t.Errorf("%q: %v, want %v", raw, got, want)
		}
	}
}

// FuzzHeaders: whatever a client sends as headers, no key is found that net/http
// does not find there, and one that is accepted is the only one.
func FuzzHeaders(f *testing.F) {
	key := "hh_live_" + strings.Repeat("a", 40)
	for _, seed := range []string{
		"Host: x\r\nApi-Key: " + key + "\r\n", "Host: x\r\nAuthorization: Bearer " + key + "\r\nX-API-Key: b\r\n",
		"Host: x\r\nApi-Key:\r\n " + key + "\r\n", "Host: x\r\nApi-Key : k\r\n", "Host: x\nHost: y\n", "Content-Length: 1\r\nContent-Length: 2\r\n",
		"Host: x\r\nX-Hivehub-Service: hub\r\n", "Host: x\r\nAuthorization: bearer  " + key + " \r\n",
	} {
		f.Add(seed)
	}
	s := New(Options{})
	f.Fuzz(func(t *testing.T, headers string) {
		raw := "GET / HTTP/1.1\r\n" + headers + "\r\n"
		var c fasthttp.RequestCtx
		if err := c.Request.Header.Read(bufio.NewReader(strings.NewReader(raw))); err != nil || !framed(c.Request.Header.RawHeaders()) {
			return
		}
		r := &request{s: s, http: &c}
		key, err := r.credential()
		if err != nil {
			if key != "" {
				t.Errorf("%q: key %q beside %v", headers, key, err)
			}
			return
		}
		theirs, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return // stricter than here in what no key depends on
		}
		found := false
		for _, name := range []string{"Api-Key", "X-Api-Key", "Authorization"} {
			for _, value := range theirs.Header.Values(name) {
				given := strings.TrimSpace(value)
				if name == "Authorization" && given != "" {
					_, given, _ = strings.Cut(given, " ")
					given = strings.TrimSpace(given)
				}
				if found = found || given == key; given != "" && given != key {
					t.Errorf("%q: took %q beside %q", headers, key, given)
				}
			}
		}
		if !found {
			t.Errorf("%q: took %q, which net/http does not see", headers, key)
		}
		if bytes.ContainsAny([]byte(key), "\r\n\x00") {
			t.Errorf("%q: key %q", headers, key)
		}
	})
}
