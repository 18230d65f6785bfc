package httpedge

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// form is a form with a file, and its type.
func form(t testing.TB, disposition, media, content string, fields ...string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		noError(t, w.WriteField(fields[i], fields[i+1]))
	}
	h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="` + disposition + `"`}}
	if media != "" {
		h.Set("Content-Type", media)
	}
	part, err := w.CreatePart(h)
	noError(t, err)
	_, err = part.Write([]byte(content))
	noError(t, err)
	noError(t, w.Close())
	return b.String(), w.FormDataContentType()
}

func (w *world) upload(door *edge, name, media, content string, fields ...string) reply {
	w.t.Helper()
	if w.keys["ADMIN"] == "" {
		_, w.keys["ADMIN"] = w.key(w.mine, tenant.Admin, nil)
	}
	body, contentType := form(w.t, name, media, content, fields...)
	return w.ask("POST", door.main+"/files/upload", body, "Api-Key", w.keys["ADMIN"], "Content-Type", contentType)
}

// TestUpload: files become chunks that say where they are from, in place of
// those of the file that had the name.
func TestUpload(t *testing.T) {
	w := newWorld(t)
	for i, door := range []*edge{w.edge, w.through} {
		name := fmt.Sprintf("files%d", i)
		w.api("POST", "/collections", `{"name":"`+name+`"}`).is(201, "")
		long := "# Bees\n\nintro\n\n## Honey\n\n" + strings.Repeat("Honey is sweet and golden. ", 40)
		first := w.upload(door, "docs/bees.md", "", long, "collection_name", name, "chunk_size", "200", "chunk_overlap", "20", "metadata", `{"lang":"en"}`)
		first.is(201, `"filename":"docs/bees.md"`).is(201, `"kind":"markdown","title":"Bees"`)
		chunks := len(first.json()["vector_ids"].([]any))
		if chunks < 6 {
			t.Fatalf("%d chunks", chunks)
		}
		got := w.api("POST", "/collections/"+name+"/search/text", `{"query":"honey golden","limit":1}`)
		for _, part := range []string{`"source":"docs/bees.md"`, `"title":"Bees"`, `"heading_path":"Bees > Honey"`, `"lang":"en"`, `"parent_id":"docs/bees.md"`, `"chunk_count":` + fmt.Sprint(chunks)} {
			got.is(200, part)
		}
		w.api("GET", "/collections/"+name, "").is(200, fmt.Sprintf(`"vector_count":%d,`, chunks))
		// The same name: the chunks of before are gone.
		w.upload(door, "docs/bees.md", "text/markdown", "# Wasps\n\nshort", "collection", name).is(201, `"chunks_created":1`)
		w.api("GET", "/collections/"+name, "").is(200, `"vector_count":1,`)
		w.api("POST", "/collections/"+name+"/search/text", `{"query":"honey"}`).is(200, `"results":[]`)
		w.upload(door, "page.html", "text/html; charset=utf-8", "<title>T</title><script>secret</script><h1>Ants</h1>carry leaves", "collection_name", name).is(201, `"kind":"html","title":"T"`)
		w.api("POST", "/collections/"+name+"/search/text", `{"query":"secret"}`).is(200, `"results":[]`)
		w.api("POST", "/collections/"+name+"/search/text", `{"query":"leaves"}`).is(200, `"id":"page.html#0"`)
		// It can be deleted as one text.
		w.api("DELETE", "/collections/"+name+"/vectors/page.html", "").is(200, "")
		w.api("GET", "/collections/"+name, "").is(200, `"vector_count":1,`)

		for _, c := range []struct {
			name, media, content string
			status               int
			text                 string
		}{
			{"a.pdf", "", "x", 415, "unknown kind"},
			{"a.md", "application/pdf", "x", 415, "unknown kind"},
			{"a.md", "", "\xff", 400, "UTF-8"},
			{"a.md", "", " \n", 400, "no text"},
			{"", "", "x", 400, "name"},
			{"../a.md", "", "x", 400, "name"},
			{"/etc/a.md", "", "x", 400, "name"},
			{"a#b.md", "", "x", 400, "name"},
			{strings.Repeat("x", 238) + ".md", "", "x", 400, "name"},
		} {
			w.upload(door, c.name, c.media, c.content, "collection_name", name).is(c.status, c.text)
		}
		w.upload(door, strings.Repeat("x", 237)+".md", "", "x", "collection_name", name).is(201, "")
		for _, fields := range [][]string{
			{},
			{"collection_name", name, "collection", name},
			{"collection_name", name, "public_key", "k"},
			{"collection_name", name, "chunk_size", "1"},
			{"collection_name", name, "chunk_size", "100", "chunk_overlap", "60"},
			{"collection_name", name, "metadata", "[]"},
			{"collection_name", name, "metadata", `{"source":"x"}`},
			{"collection_name", name, "metadata", `{"_id":"x"}`},
			{"collection_name", "a/b"},
			{"collection_name", name, "metadata", "{}{}"},
		} {
			w.upload(door, "a.md", "", "x", fields...).is(400, "")
		}
		w.upload(door, "a.md", "", "x", "collection_name", "none").is(404, "")
		w.upload(door, "a.md", "", "x", "collection_name", name, "metadata", `{"a":"`+strings.Repeat("x", formBytesMax)+`"}`).is(413, "")
	}
	w.ask("POST", w.main+"/files/upload", "x", "Api-Key", w.keys["ADMIN"], "Content-Type", "multipart/form-data").is(400, "boundary")
	w.ask("POST", w.main+"/files/upload", "x", "Api-Key", w.keys["ADMIN"], "Content-Type", "multipart/form-data; boundary=y").is(400, "")
	w.api("GET", "/files/config", "").is(200, `"max_file_size":10485760`).is(200, `".md"`)
	// The limit of a file, and a byte more.
	w.limits.FileBytes = 1 << 10
	w.upload(w.edge, "a.md", "", strings.Repeat("x", 1<<10), "collection_name", "files0").is(201, "")
	w.upload(w.edge, "a.md", "", strings.Repeat("x", 1<<10+1), "collection_name", "files0").is(413, "")
	// A key that is not for the collection learns nothing.
	_, w.keys["ADMIN"] = w.key(w.mine, tenant.Admin, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{Collections: []string{"other"}} })
	w.settle()
	for _, name := range []string{"files0", "none"} {
		w.upload(w.edge, "a.md", "", "x", "collection_name", name).is(403, "")
	}
}

// TestUploadAgain: the same form under the same key is stored once, whatever its
// boundary is; another one is refused. So are points without ids: a repetition
// names those that are stored.
func TestUploadAgain(t *testing.T) {
	w := newWorld(t)
	_, key := w.key(w.mine, tenant.Admin, nil)
	w.api("POST", "/collections", `{"name":"again","dimension":2}`).is(201, "")
	for i, content := range []string{"# a\n\none", "# a\n\none", "# a\n\ntwo"} {
		body, contentType := form(t, "a.md", "", content, "collection_name", "again")
		got := w.ask("POST", w.main+"/files/upload", body, "Api-Key", key, "Content-Type", contentType, "Idempotency-Key", "f")
		if i < 2 {
			got.is(201, "")
		} else {
			got.is(422, "IDEMPOTENCY_REUSED")
		}
	}
	for path, body := range map[string]string{
		"/insert_vectors": `{"collection":"again","vectors":[{"vector":[1,2]},{"vector":[1,2]}]}`,
		"/insert":         `{"collection":"again","text":"some text"}`,
		"/insert_texts":   `{"collection":"again","texts":[{"text":"some text"},{"text":"` + strings.Repeat("more text. ", 400) + `"}]}`,
	} {
		first := w.ask("POST", w.main+path, body, "Api-Key", key, "Idempotency-Key", path)
		again := w.ask("POST", w.through.main+path, body, "Api-Key", key, "Idempotency-Key", path)
		ids := fmt.Sprint(first.json()["vector_ids"], first.json()["results"])
		if first.status != 201 || again.status != 201 || ids != fmt.Sprint(again.json()["vector_ids"], again.json()["results"]) {
			t.Errorf("%s: %d %s, again %d %s", path, first.status, first.text, again.status, again.text)
		}
		w.ask("POST", w.main+path, strings.NewReplacer("some text", "another", "[1,2]", "[1,3]").Replace(body), "Api-Key", key, "Idempotency-Key", path).is(422, "IDEMPOTENCY_REUSED")
	}
}
