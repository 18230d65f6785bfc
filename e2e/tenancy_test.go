package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTenantsApart gives two tenants collections and points of the same names
// and ids. Each sees its own, whatever it asks; what only the other has
// answers exactly like what nobody has.
func TestTenantsApart(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	_, other := s.newTenant("other", "ADMIN")
	mine := s.user
	for _, u := range []user{mine, other} {
		u.create("same")
	}
	for id := range 20 {
		mine.put("same", id, map[string]any{"owner": "canary-mine", "n": id})
		other.put("same", id, map[string]any{"owner": "canary-other", "n": id})
	}
	other.create("theirs")
	other.put("theirs", 1, map[string]any{"owner": "canary-other"})

	// Everything that reads points, of the tenant's own.
	reads := func(u user) (all []byte) {
		for _, path := range []string{"/points/scroll", "/points", "/points/query", "/points/count"} {
			all = append(all, u.must("POST", "/collections/same"+path, map[string]any{
				"ids": []int{0, 1, 2}, "query": []float64{1, 1, 2, 3}, "limit": 100, "with_payload": true, "with_vector": true,
			})...)
		}
		all = append(all, u.must("GET", "/collections/same/points/3", nil)...)
		return append(all, u.must("GET", "/collections", nil)...)
	}
	if got := reads(mine); !bytes.Contains(got, []byte("canary-mine")) || bytes.Contains(got, []byte("canary-other")) || bytes.Contains(got, []byte("theirs")) {
		t.Errorf("the tenant reads what is not its own, or not what is: %s", got)
	}

	// Changes stay with their tenant.
	before := reads(other)
	mine.must("POST", "/collections/same/points/payload?wait=true", map[string]any{"payload": map[string]any{"owner": "canary-mine-2"}, "filter": map[string]any{}})
	mine.must("POST", "/collections/same/points/delete?wait=true", map[string]any{"points": []int{1, 2}})
	mine.must("POST", "/collections/same/points/delete?wait=true", map[string]any{"filter": map[string]any{"must": []any{map[string]any{"key": "n", "range": map[string]any{"gte": 10}}}}})
	if n := mine.count("same"); n != 8 {
		t.Errorf("%d points are left, want 8", n)
	}
	mine.must("DELETE", "/collections/same", nil)
	if after := reads(other); !bytes.Equal(before, after) {
		t.Errorf("the other tenant's answers changed:\n%s\n%s", before, after)
	}

	foreignIsAbsent(t, mine)
	if n := other.count("theirs"); n != 1 {
		t.Errorf("the other's collection has %d points after all that", n)
	}
}

// foreignIsAbsent asks for the other's collection `theirs` and for one of a
// name of the same length that nobody has.
func foreignIsAbsent(t *testing.T, u user) {
	t.Helper()
	p := func(id int) map[string]any { return map[string]any{"points": []any{point(id, nil)}} }
	ids := map[string]any{"points": []int{1}}
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"GET", "/collections/NAME", nil},
		{"GET", "/collections/NAME/exists", nil},
		{"PUT", "/collections/NAME/points?wait=true", p(1)},
		{"PUT", "/collections/NAME/points", p(1)},
		{"POST", "/collections/NAME/points", map[string]any{"ids": []int{1}}},
		{"GET", "/collections/NAME/points/1", nil},
		{"POST", "/collections/NAME/points/delete?wait=true", ids},
		{"POST", "/collections/NAME/points/scroll", map[string]any{}},
		{"POST", "/collections/NAME/points/count", map[string]any{}},
		{"POST", "/collections/NAME/points/query", map[string]any{"query": []float64{1, 1, 2, 3}}},
		{"POST", "/collections/NAME/points/query", map[string]any{"query": 1}},
		{"POST", "/collections/NAME/points/payload?wait=true", map[string]any{"points": []int{1}, "payload": map[string]any{"a": 1}}},
		{"PUT", "/collections/NAME/points/payload?wait=true", map[string]any{"points": []int{1}, "payload": map[string]any{"a": 1}}},
		{"POST", "/collections/NAME/points/payload/delete?wait=true", map[string]any{"points": []int{1}, "keys": []string{"a"}}},
		{"POST", "/collections/NAME/points/payload/clear?wait=true", ids},
		{"DELETE", "/collections/NAME", nil},
	} {
		ask := func(name string) string {
			a := u.call(c.method, strings.Replace(c.path, "NAME", name, 1), c.body)
			return fmt.Sprint(a.status, " ", anonymous(string(a.body), name))
		}
		foreign, absent := ask("theirs"), ask("nobody")
		if foreign != absent {
			t.Errorf("%s %s: the other's answers %s\nnobody's answers %s", c.method, c.path, foreign, absent)
		}
	}
}

var timeField = regexp.MustCompile(`"time":[0-9.e-]+`)

// anonymous is an answer without its time and the name that was asked for.
func anonymous(body, name string) string {
	return strings.ReplaceAll(timeField.ReplaceAllString(body, `"time":T`), name, "NAME")
}

// TestPermissions tries what a key must not do.
func TestPermissions(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	s.create("c")
	s.put("c", 1, map[string]any{"a": 1})
	_, reader := s.newKey("default", "READ_ONLY")
	ids := map[string]any{"points": []int{1}}
	set := map[string]any{"points": []int{1}, "payload": map[string]any{"a": 2}}
	writes := []call{
		{method: "PUT", url: "/collections/d", body: vectors(4, "Dot")},
		{method: "DELETE", url: "/collections/c"},
		{method: "PUT", url: "/collections/c/points?wait=true", body: map[string]any{"points": []any{point(2, nil)}}},
		{method: "POST", url: "/collections/c/points/delete?wait=true", body: ids},
		{method: "POST", url: "/collections/c/points/payload?wait=true", body: set},
		{method: "PUT", url: "/collections/c/points/payload?wait=true", body: set},
		{method: "POST", url: "/collections/c/points/payload/delete?wait=true", body: map[string]any{"points": []int{1}, "keys": []string{"a"}}},
		{method: "POST", url: "/collections/c/points/payload/clear?wait=true", body: ids},
	}
	for _, w := range writes {
		for _, u := range []user{reader, s.operator()} {
			if a := u.call(w.method, w.url, w.body); a.status != http.StatusForbidden {
				t.Errorf("%s %s with key %.20s: %d %s", w.method, w.url, u.key, a.status, a.body)
			}
		}
	}
	if got := string(reader.must("POST", "/collections/c/points/scroll", map[string]any{})); !strings.Contains(got, `"payload":{"a":1}`) || !strings.Contains(got, `"next_page_offset":null`) {
		t.Errorf("the point is not as it was: %s", got)
	}
	for _, path := range []string{"/collections", "/collections/c", "/collections/c/points/1"} {
		if a := s.operator().call("GET", path, nil); a.status != http.StatusForbidden || bytes.Contains(a.body, []byte(`"c"`)) {
			t.Errorf("the operator reads a tenant's %s: %d %s", path, a.status, a.body)
		}
	}
	for _, c := range []call{
		{method: "GET", url: "/api/v1/tenants"},
		{method: "POST", url: "/api/v1/tenants", body: map[string]any{"name": "x", "plan": "free"}},
		{method: "DELETE", url: "/api/v1/tenants/default"},
		{method: "GET", url: "/api/v1/access-keys"},
		{method: "POST", url: "/api/v1/access-keys", body: map[string]any{"tenant_id": "default", "permission": "ADMIN"}},
		{method: "DELETE", url: "/api/v1/access-keys/k_aaaaaaaaaaaaaaaa"},
	} {
		if a := s.callMain(c.method, c.url, c.body); a.status != http.StatusForbidden || !bytes.Contains(a.body, []byte(`"code":"FORBIDDEN"`)) {
			t.Errorf("a tenant's ADMIN %s %s: %d %s", c.method, c.url, a.status, a.body)
		}
		if a := (user{s, ""}).callMain(c.method, c.url, c.body); a.status != http.StatusUnauthorized {
			t.Errorf("nobody %s %s: %d %s", c.method, c.url, a.status, a.body)
		}
	}
}

// TestRevokedKey is refused from the next request on, on a connection that it
// has opened, and after a restart.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := start(t, data)
	id, u := s.newKey("default", "ADMIN")
	u.create("c")
	if a := s.operator().callMain("DELETE", "/api/v1/access-keys/"+id, nil); a.status != http.StatusOK {
		t.Fatalf("revoke: %d %s", a.status, a.body)
	}
	if a := u.call("GET", "/collections/c", nil); a.status != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d %s", a.status, a.body)
	}
	s.kill()
	s = start(t, data)
	if a := (user{s, u.key}).call("GET", "/collections/c", nil); a.status != http.StatusUnauthorized {
		t.Errorf("a revoked key after a restart: %d %s", a.status, a.body)
	}
	s.must("GET", "/collections/c", nil)
}

// TestDeletedTenant is unreadable at once, and its data goes in the background:
// when the tenant's record is gone, so is the data.
func TestDeletedTenant(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	id, gone := s.newTenant("gone", "READ_WRITE")
	gone.create("c")
	gone.must("PUT", "/collections/c/points?wait=true", manyPoints(5000))
	if a := s.operator().callMain("DELETE", "/api/v1/tenants/"+id, nil); a.status != http.StatusOK {
		t.Fatalf("delete: %d %s", a.status, a.body)
	}
	for _, u := range []user{gone, {s, ""}} {
		if a := u.call("POST", "/collections/c/points/scroll", map[string]any{}); a.status != http.StatusUnauthorized {
			t.Errorf("a deleted tenant reads: %d %s", a.status, a.body)
		}
	}
	if a := s.operator().callMain("POST", "/api/v1/access-keys", map[string]any{"tenant_id": id, "permission": "ADMIN"}); a.status < 400 || a.status >= 500 {
		t.Errorf("a new key for a deleted tenant: %d %s", a.status, a.body)
	}
	eventually(t, 20*time.Second, func() error {
		if a := s.operator().callMain("GET", "/api/v1/tenants", nil); bytes.Contains(a.body, []byte(id)) {
			return fmt.Errorf("the record is still there: %s", a.body)
		}
		return nil
	})
	s.must("GET", "/collections", nil)
}

// TestDeletedTenantAcrossKill kills the server right after the answer.
func TestDeletedTenantAcrossKill(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := start(t, data)
	id, gone := s.newTenant("gone", "READ_WRITE")
	gone.create("c")
	gone.must("PUT", "/collections/c/points?wait=true", manyPoints(5000))
	if a := s.operator().callMain("DELETE", "/api/v1/tenants/"+id, nil); a.status != http.StatusOK {
		t.Fatalf("delete: %d %s", a.status, a.body)
	}
	s.kill()
	s = start(t, data)
	if a := (user{s, gone.key}).call("GET", "/collections/c", nil); a.status != http.StatusUnauthorized {
		t.Errorf("a deleted tenant reads after a restart: %d %s", a.status, a.body)
	}
	eventually(t, 20*time.Second, func() error {
		if a := s.operator().callMain("GET", "/api/v1/tenants", nil); bytes.Contains(a.body, []byte(id)) {
			return fmt.Errorf("the deletion does not go on: %s", a.body)
		}
		return nil
	})
}

// TestSpaceIsReused fills and deletes a collection again and again: the bytes
// of what was deleted make room for what comes.
func TestSpaceIsReused(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	cmd := serveCommand(data)
	cmd.Env = append(cmd.Env, "WAGGLE_STORAGE_CHECKPOINT_INTERVAL=50ms")
	s, err := launch(t, data, cmd)
	if err != nil {
		t.Fatal(err)
	}
	stored := func() (bytes int64) {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(data, "partitions", "*.db"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil {
				bytes += info.Size()
			}
		}
		return bytes
	}
	settled := func() {
		t.Helper()
		eventually(t, 20*time.Second, func() error {
			if n := s.deltaBytes(); n != 0 {
				return fmt.Errorf("%d bytes are in no store", n)
			}
			return nil
		})
	}
	batch := strings.ReplaceAll(manyPoints(2000), `[1,2,3,4]`, `[1,2,3,4],"payload":{"filler":"`+strings.Repeat("x", 1000)+`"}`)
	empty := stored()
	var once int64
	for round := range 8 {
		s.create("c")
		s.must("PUT", "/collections/c/points?wait=true", batch)
		settled()
		if round == 0 {
			once = stored() - empty
		}
		s.must("DELETE", "/collections/c", nil)
		settled()
	}
	if grown := stored() - empty; grown > 4*once {
		t.Errorf("8 rounds take %d bytes, one takes %d", grown, once)
	}
	if once < 2000*1000 {
		t.Errorf("one round takes %d bytes: the test tests nothing", once)
	}
}
