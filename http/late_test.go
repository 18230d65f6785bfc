package httpedge

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// TestKeysEndWhileBodiesArrive: who holds back the end of a body does not hold
// on to a key by it. What has ended meanwhile does nothing any more.
func TestKeysEndWhileBodiesArrive(t *testing.T) {
	e := newEdge(t, nil)
	hub := e.hub.(*hubsvc.Embedded)
	_, bystander, err := hub.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: e.tenant, Permissions: []tenant.Permission{tenant.Admin}})
	noError(t, err)
	victim, err := hub.Validate(bystander)
	noError(t, err)

	revoke := func(id tenant.KeyID) { _, err := hub.RevokeKey(t.Context(), id); noError(t, err) }
	rotate := func(id tenant.KeyID) { _, _, _, err := hub.RotateKey(t.Context(), id, 0); noError(t, err) }
	suspend := func(tenant.KeyID) { _, err := hub.SuspendTenant(t.Context(), e.tenant); noError(t, err) }
	none := func(tenant.KeyID) {}
	upsert := `{"points":[{"id":1,"vector":[1]}]}`
	for _, c := range []struct {
		name, url, method, path, body string
		end                           func(tenant.KeyID)
		status                        string
	}{
		{"left alone", e.qdrant, "PUT", "/collections/c/points", upsert, none, " 200 "},
		{"revoked, write", e.qdrant, "PUT", "/collections/c/points", upsert, revoke, " 401 "},
		{"revoked, read", e.qdrant, "POST", "/collections/c/points/scroll", "{}", revoke, " 401 "},
		{"revoked, new key", e.main, "POST", "/auth/keys", `{"permission":"ADMIN"}`, revoke, " 401 "},
		{"revoked, another's end", e.main, "DELETE", "/auth/keys/" + string(victim.KeyID), "{}", revoke, " 401 "},
		{"rotated at once", e.qdrant, "PUT", "/collections/c/points", upsert, rotate, " 401 "},
		{"suspended", e.qdrant, "PUT", "/collections/c/points", upsert, suspend, " 403 "},
	} {
		k, plain, err := hub.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: e.tenant, Permissions: []tenant.Permission{tenant.Admin}})
		noError(t, err)
		before, err := hub.ListKeys(t.Context(), e.tenant)
		noError(t, err)
		e.engine.take()
		got := e.late(c.url, c.method, c.path, plain, c.body, func() { c.end(k.ID) })
		if !strings.Contains(got, c.status) {
			t.Errorf("%s: %s", c.name, got)
		}
		if calls := e.engine.take(); c.status != " 200 " && calls != nil {
			t.Errorf("%s: the engine was asked for %+v", c.name, calls)
		}
		if after, err := hub.ListKeys(t.Context(), e.tenant); err != nil || len(after) > len(before)+1 {
			t.Errorf("%s: %d keys, then %d, %v", c.name, len(before), len(after), err)
		}
	}
	if _, err := hub.Validate(bystander); err != nil {
		t.Errorf("a key was revoked by one that had been: %v", err)
	}
}

// late sends a request whose body ends some time after meanwhile, which is
// called when the request has been let in.
func (e *edge) late(url, method, path, key, body string, meanwhile func()) string {
	e.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	noError(e.t, err)
	defer c.Close()
	body = strings.Repeat(" ", 100_000) + body // more than is read before a handler runs
	begin := time.Now()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nApi-Key: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, path, key, len(body), body[:50_000])
	until := func(ready func() bool) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for !ready() {
			<-tick.C
			if time.Since(begin) > time.Minute {
				e.t.Fatal("the request is not let in")
			}
		}
	}
	until(func() bool { return e.bodies.Load() > 0 })
	meanwhile()
	letIn := time.Now()
	until(func() bool { return time.Since(letIn) > checkAgainAfter })
	_, err = io.WriteString(c, body[50_000:])
	noError(e.t, err)
	noError(e.t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	answer, err := io.ReadAll(c)
	noError(e.t, err)
	return string(answer)
}
