package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestRemoteHubHasTheAccounts: a waggle whose hub is another one is asked under
// load while the hub, then the node, then both are killed. In the end the hub's
// operation log has each answered request once, and its account of usage is what
// the node stores and what was asked for.
func TestRemoteHubHasTheAccounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hub := &hubProcess{t: t, data: filepath.Join(dir, "hub"), address: unusedAddress()}
	hub.start()
	acme := member(hub.must("POST", "/api/v1/tenants", `{"name":"acme","plan":"pro"}`), "tenant_id")
	admin := member(hub.must("POST", "/api/v1/access-keys", `{"tenant_id":"`+acme+`","permission":"ADMIN"}`), "key")
	service := member(hub.must("POST", "/api/v1/access-keys", `{"kind":"service","name":"waggle-eu"}`), "key")
	f := newTraffic(admin)
	serve := func() *server {
		t.Helper()
		n := hub.remoteNode(filepath.Join(dir, "node"), service, "WAGGLE_HUB_USAGE_REPORT_INTERVAL=300ms")
		n.key = admin
		return n
	}
	n := serve()
	others := 0 // requests of the tenant besides f's
	eventually(t, 20*time.Second, func() error {
		a := n.call("PUT", "/collections/docs", vectors(4, "Euclid"))
		if a.header.Get("X-Tenant-Id") != "" {
			others++
		}
		if a.status != 200 {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	passing := func(d time.Duration) { <-time.After(d) } // a random moment of the load
	f.burst(n.http, func() {
		passing(700 * time.Millisecond)
		hub.kill()
		passing(200 * time.Millisecond)
	})
	f.burst(n.http, func() { // the node counts and logs without its hub
		passing(300 * time.Millisecond)
		n.kill()
	})
	hub.start()
	n = serve()
	for range 2 {
		f.burst(n.http, func() {
			passing(700 * time.Millisecond)
			n.kill()
		})
		n = serve()
	}
	f.burst(n.http, func() {
		passing(400 * time.Millisecond)
		hub.kill()
	})
	hub.start()
	f.burst(n.http, func() { passing(300 * time.Millisecond) })
	if len(f.answered) < 100 || len(f.unsure) > 3*trafficClients {
		t.Errorf("%d requests answered, %d lost under way", len(f.answered), len(f.unsure))
	}

	eventually(t, 60*time.Second, func() error {
		rows, err := logged(hub.http+"/api/v1/tenants/"+acme+"/logs", operatorKey)
		if err != nil {
			return err
		}
		return f.hold(rows)
	})
	here, err := logged(n.http+"/auth/logs", admin) // the node keeps its own
	if err == nil {
		err = f.hold(here)
	}
	if err != nil {
		t.Errorf("on the node: %v", err)
	}
	others++ // each page
	others += (len(here) - 1) / 100
	points := n.count("docs")
	stored := n.callMain("GET", "/hub/usage/quota", nil)
	others += 2
	var quota struct {
		Quota struct{ Storage struct{ Used int64 } }
	}
	n.decode(stored.body, &quota)
	eventually(t, 60*time.Second, func() error {
		var of struct{ Total sums }
		if err := json.Unmarshal([]byte(hub.must("GET", "/api/v1/cluster/usage?tenant_id="+acme, "")), &of); err != nil {
			return err
		}
		return f.account(of.Total, int64(others), int64(points), quota.Quota.Storage.Used)
	})
	t.Logf("%d requests answered, %d lost under way, %d rows on the node", len(f.answered), len(f.unsure), len(here))
}

// sums are what a hub has counted for a tenant.
type sums struct {
	Inserted int64 `json:"vectors_inserted"`
	Deleted  int64 `json:"vectors_deleted"`
	Added    int64 `json:"storage_added"`
	Freed    int64 `json:"storage_freed"`
	Made     int64 `json:"collections_created"`
	Requests int64 `json:"api_requests"`
	Searches int64 `json:"search_count"`
}

// account compares a hub's sums with what is stored and with what was asked for.
func (f *traffic) account(is sums, others, points, bytes int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	low := int64(len(f.answered)) + others
	high := low + int64(len(f.unsure))
	switch {
	case is.Inserted-is.Deleted != points || is.Added-is.Freed != bytes || is.Made != 1:
		return fmt.Errorf("%d points of %d bytes are stored: %+v", points, bytes, is)
	case is.Requests < low || is.Requests > high:
		return errors.New(strconv.FormatInt(low, 10) + " to " + strconv.FormatInt(high, 10) + fmt.Sprintf(" requests: %+v", is))
	case is.Searches == 0 || is.Searches > is.Requests:
		return fmt.Errorf("searches: %+v", is)
	}
	return nil
}
