package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shelf is a server that stores what is inserted, in the words of the client.
type shelf struct {
	mu       sync.Mutex
	requests int
	vectors  map[string]string // what was sent, by id
	texts    map[string]string
	refuse   func(request int, body string) int // a status, 0 for none
	most     int                                // requests at a time
	now      int
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{vectors: map[string]string{}, texts: map[string]string{}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	t.Setenv("WAGGLE_URL", srv.URL)
	t.Setenv("WAGGLE_KEY", "hh_live_tenant")
	return s
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.now++
	s.most = max(s.most, s.now)
	defer func() { s.now-- }()
	if s.refuse != nil {
		request := s.requests
		s.mu.Unlock() // others may come meanwhile
		status := s.refuse(request, string(body))
		s.mu.Lock()
		if status != 0 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":"refused","code":"X"}`)
			return
		}
	}
	var in struct {
		Vectors, Texts []json.RawMessage
	}
	if err := json.Unmarshal(body, &in); err != nil || r.Header.Get("Authorization") != "Bearer hh_live_tenant" {
		w.WriteHeader(400)
		return
	}
	answer := []map[string]any{}
	for list, to := range map[*[]json.RawMessage]map[string]string{&in.Vectors: s.vectors, &in.Texts: s.texts} {
		for _, raw := range *list {
			var id struct{ ID string }
			_ = json.Unmarshal(raw, &id)
			to[id.ID] = string(raw)
			answer = append(answer, map[string]any{"client_id": id.ID, "vector_ids": []string{id.ID + "#0", id.ID + "#1"}})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"results": answer, "vector_ids": []string{}})
}

// fbin is a file of n vectors of one size, each value its row.
func fbin(n, size int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(n))
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	for i := range n {
		for range size {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(i)))
		}
	}
	return b
}

func fileOf(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

var anyUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// What is in a file is what is sent.
func TestImportForms(t *testing.T) {
	fvecs := binary.LittleEndian.AppendUint32(nil, 1)
	fvecs = binary.LittleEndian.AppendUint32(fvecs, math.Float32bits(1.5))
	for _, tc := range []struct {
		name, args string
		text       string
		vectors    map[string]string
		texts      map[string]string
		says       string
	}{
		{
			"rows.ndjson", "", `{"id":7,"vector":[1,2],"payload":{"n":9007199254740993}}` + "\n\n" + ` {"id":"x","text":"hello","payload":{"k":1}}` + "\n" + `{"sparse":{"s":{"indices":[1],"values":[2]}}}`,
			map[string]string{"7": `{"vector":[1,2],"id":"7","payload":{"n":9007199254740993}}`, "*": `{"id":"*","sparse":{"s":{"indices":[1],"values":[2]}}}`},
			map[string]string{"x": `{"id":"x","text":"hello","payload":{"k":1}}`},
			"3 rows stored in c, as 4 points\n",
		},
		{
			"rows.csv", "--text-column body --number-columns year", "\ufeffid,body,year,who\na,\"one,\ntwo\",1999,\n,b,,x\n",
			map[string]string{},
			map[string]string{"a": `{"id":"a","text":"one,\ntwo","payload":{"year":1999}}`, "*": `{"id":"*","text":"b","payload":{"who":"x"}}`},
			"2 rows stored in c, as 4 points\n",
		},
		{
			"rows.csv", "", "vector,k\n\"[1, 2]\",v\n", map[string]string{"*": `{"vector":[1,2],"id":"*","payload":{"k":"v"}}`}, map[string]string{}, "1 rows stored in c\n",
		},
		{"a.fbin", "--skip 1 --limit 1", string(fbin(3, 2)), map[string]string{"1": `{"vector":[1,1],"id":"1"}`}, map[string]string{}, "1 rows stored in c\n"},
		{"a.fvecs", "", string(fvecs), map[string]string{"0": `{"vector":[1.5],"id":"0"}`}, map[string]string{}, "1 rows stored in c\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newShelf(t)
			args := append([]string{"import", fileOf(t, tc.name, []byte(tc.text)), "--collection", "c"}, strings.Fields(tc.args)...)
			code, out, errs := waggle(t, args...)
			if code != 0 || out != tc.says {
				t.Fatalf("exit %d, %q, %q", code, out, errs)
			}
			for _, m := range []map[string]string{s.vectors, s.texts} {
				for id, raw := range m {
					delete(m, id)
					m[anyUUID.ReplaceAllString(id, "*")] = anyUUID.ReplaceAllString(raw, "*")
				}
			}
			if diff := cmp.Diff(tc.vectors, s.vectors) + cmp.Diff(tc.texts, s.texts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A folder's texts come under their paths; what is hidden, empty or something
// else does not.
func TestImportFolder(t *testing.T) {
	s := newShelf(t)
	dir := filepath.Dir(fileOf(t, "a.md", []byte("# A")))
	for name, text := range map[string]string{"sub/b.TXT": "bee", "empty.md": " \n", ".git/c.md": "c", "d.png": "d", ".e.md": "e"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	base := filepath.Base(dir)
	if code, out, errs := waggle(t, "import", dir, "-c", "c", "--json"); code != 0 || out != `{"collection":"c","rows":2,"points":4}`+"\n" {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	want := map[string]string{}
	for name, text := range map[string]string{base + "/a.md": "# A", base + "/sub/b.TXT": "bee"} {
		want[name] = fmt.Sprintf(`{"id":%q,"text":%q,"payload":{"source":%[1]q}}`, name, text)
	}
	if diff := cmp.Diff(want, s.texts); diff != "" {
		t.Error(diff)
	}
}

// An import that ends early says from where to go on, and going on stores exactly
// what is missing: no row is lost, whichever request was refused.
func TestImportGoesOn(t *testing.T) {
	const rows = 95
	path := fileOf(t, "a.fbin", fbin(rows, 2))
	for refused := range 10 {
		s := newShelf(t)
		s.refuse = func(_ int, body string) int {
			if strings.Contains(body, fmt.Sprintf(`"id":"%d"`, 10*refused)) {
				return 400
			}
			return 0
		}
		code, _, errs := waggle(t, "import", path, "-c", "c", "--batch", "10", "--parallel", "3")
		if code != 1 || !strings.Contains(errs, fmt.Sprintf("rows %d to %d: refused", 10*refused+1, min(10*refused+10, rows))) {
			t.Fatalf("refused %d: exit %d, %q", refused, code, errs)
		}
		skip := "0"
		if _, after, ok := strings.Cut(errs, "go on with --skip "); ok {
			skip = strings.TrimSpace(after)
		}
		if n, err := strconv.Atoi(skip); err != nil || n > 10*refused {
			t.Errorf("refused %d: go on with %s", refused, skip)
		}
		for id := range rows { // all that it claims to have is there
			if n, _ := strconv.Atoi(skip); id < n && s.vectors[strconv.Itoa(id)] == "" {
				t.Errorf("refused %d: row %d is not stored", refused, id)
			}
		}
		s.refuse = nil
		if code, _, errs := waggle(t, "import", path, "-c", "c", "--batch", "7", "--skip", skip); code != 0 || len(s.vectors) != rows {
			t.Errorf("refused %d: exit %d, %q, %d of %d rows", refused, code, errs, len(s.vectors), rows)
		}
	}
}

// A node that is busy is asked again; requests are as many at a time as were
// allowed, and no more is read than they need.
func TestImportWaits(t *testing.T) {
	s := newShelf(t)
	s.refuse = func(request int, _ string) int {
		if request%2 == 1 {
			return map[bool]int{true: 429, false: 503}[request%4 == 1]
		}
		return 0
	}
	var in bytes.Buffer
	for i := range 100 {
		fmt.Fprintf(&in, `{"vector":[%d]}`+"\n", i)
	}
	code, out, errs := waggle(t, "import", fileOf(t, "a.ndjson", in.Bytes()), "-c", "c", "--batch", "10", "--parallel", "2")
	if code != 0 || len(s.vectors) != 100 || s.most > 2 {
		t.Errorf("exit %d, %q, %q, %d rows, %d at a time", code, out, errs, len(s.vectors), s.most)
	}
}

func TestImportReadsNoFartherThanItSends(t *testing.T) {
	s := newShelf(t)
	full, release := make(chan struct{}, 9), make(chan struct{})
	s.refuse = func(int, string) int {
		full <- struct{}{}
		<-release
		return 0
	}
	o := &own{}
	k, err := o.collection("c")
	if err != nil {
		t.Fatal(err)
	}
	var read int
	stuck := make(chan struct{})
	src := &source{next: func() (row, error) {
		if read++; read == 3*10+1 { // two are under way, one waits, and the row that does not fit
			close(stuck)
		}
		if read > 100 {
			return row{}, io.EOF
		}
		return vectorRow(read, make([]byte, 8)), nil
	}}
	sender := sender{collection: k, batch: 10, parallel: 2, bar: startBar(io.Discard, "", 0)}
	done := make(chan error)
	go func() { done <- sender.send(t.Context(), src) }()
	<-full
	<-full
	<-stuck
	if read != 31 {
		t.Errorf("%d rows are read", read)
	}
	close(release)
	if err := <-done; err != nil || len(s.vectors) != 100 || sender.through != 100 {
		t.Errorf("%v, %d rows, through %d", err, len(s.vectors), sender.through)
	}
}

func TestImportRefuses(t *testing.T) {
	newShelf(t)
	for _, tc := range []struct{ name, text, args, want string }{
		{"a.ndjson", `{"id":1,"vectr":[1]}`, "", `row 1: json: unknown field "vectr"`},
		{"a.ndjson", "{\"id\":1,\"vector\":[1]}\n{\"id\":-1}", "", "row 2: the id -1: must be a string or an unsigned integer; rows up to 1 are stored: go on with --skip 1"},
		{"a.ndjson", `{"id":1} {}`, "", "row 1: more than one object in a line"},
		{"a.ndjson", `{"vectors":{"a":[1]}}`, "", "row 1: vectors with names are stored through Qdrant's API alone"},
		{"a.csv", "a,b\n1,2\n", "", `the heading has neither "text" nor "vector": give --text-column or --vector-column`},
		{"a.csv", "text,text\n", "", `the heading: column 2, "text", must have a name of its own`},
		{"a.csv", "vector\nx\n", "", `row 1: column vector: "x" is no number that fits in 32 bits`},
		{"a.csv", "text,y\na,1e\n", "--number-columns y", `row 1: column y: "1e" is no number`},
		{"a.fbin", string(fbin(2, 2)[:20]), "--batch 1", "row 2: the file ends before the last of 2 vectors: "},
		{"a.fbin", string(fbin(2, 2)) + "x", "", "there is more in the file than the 2 vectors that it is said to have"},
		{"a.fbin", "\xff\xff\xff\xff\xff\xff\xff\xff", "", "it has vectors of 4294967295 values, must be from 1 to 65536: is it fbin?"},
		{"a.bin", "", "", "what is in it? give --format"},
		{"a.bin", "", "--format parquet", `"parquet" is not one of csv, fbin, fvecs, ndjson`},
		{"a.ndjson", "", "--batch 0", "--batch: must be from 1 to 10000"},
		{"a.md", "\xff", "", "is not UTF-8"},
	} {
		args := append([]string{"import", fileOf(t, tc.name, []byte(tc.text)), "-c", "c"}, strings.Fields(tc.args)...)
		if code, out, errs := waggle(t, args...); code != 1 || out != "" || !strings.Contains(errs, tc.want) {
			t.Errorf("%s %s: exit %d, %q, %q", tc.name, tc.args, code, out, errs)
		}
	}
	t.Setenv("WAGGLE_KEY", "")
	if code, _, errs := waggle(t, "import", "-", "-c", "c"); code != 1 || errs != "waggle: no access key: set WAGGLE_KEY or give --key-file\n" {
		t.Errorf("without a key: exit %d, %q", code, errs)
	}
}

// No input makes a reader panic, or go on for ever, and a row is never larger
// than what it was read from allows.
func FuzzImport(f *testing.F) {
	f.Add(byte(0), []byte(`{"id":7,"vector":[1,2]}`+"\n"+`{"text":"x"}`))
	f.Add(byte(1), []byte("id,text,vector,n\na,b,\"1,2\",3\n"))
	f.Add(byte(2), fbin(2, 2))
	f.Add(byte(3), []byte{1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, form byte, text []byte) {
		m := importing{columns: columns{id: "id", text: "text", vector: "vector", numbers: nil}}
		next, err := m.reader([]string{formNDJSON, formCSV, formFbin, formFvecs}[form%4], bytes.NewReader(text))
		if err != nil {
			return
		}
		for n := 0; ; n++ {
			r, err := next()
			if err != nil {
				return
			}
			if n > len(text) || len(r.Values) > len(text) || r.size > len(text)+1 {
				t.Fatalf("row %d of %d bytes has %d values and claims %d bytes", n, len(text), len(r.Values), r.size)
			}
		}
	})
}
