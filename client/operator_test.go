package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every method of the operator sends what the API wants and understands what it
// answers.
func TestOperatorMethods(t *testing.T) {
	plan := Plan{Name: "p", StorageBytes: 5, Vectors: -1, Collections: 0, Rates: Rates{7, -1, -1}}
	planJSON := `{"name":"p","storage_bytes":5,"vector_count":-1,"collection_count":0,"requests_per_minute":7,"requests_per_hour":-1,"requests_per_day":-1}`
	for _, tc := range []struct {
		name   string
		call   func(ctx context.Context, c *Client) (any, error)
		want   call
		answer string
		result any
	}{
		{
			"GetTenant",
			func(ctx context.Context, c *Client) (any, error) { return c.GetTenant(ctx, "a/b") },
			call{"GET", "/api/v1/tenants/a%2Fb", "", ""},
			`{"tenant_id":"t","partition":7}`,
			Tenant{ID: "t", Partition: 7},
		},
		{
			"SuspendTenant",
			func(ctx context.Context, c *Client) (any, error) { return c.SuspendTenant(ctx, "t") },
			call{"PATCH", "/api/v1/tenants/t", `{"status":"suspended"}`, ""},
			`{"status":"suspended"}`,
			Tenant{Status: "suspended"},
		},
		{
			"ResumeTenant",
			func(ctx context.Context, c *Client) (any, error) { return c.ResumeTenant(ctx, "t") },
			call{"PATCH", "/api/v1/tenants/t", `{"status":"active"}`, ""},
			`{"status":"active"}`,
			Tenant{Status: "active"},
		},
		{
			"SetTenantPlan",
			func(ctx context.Context, c *Client) (any, error) { return c.SetTenantPlan(ctx, "t", "p") },
			call{"PATCH", "/api/v1/tenants/t", `{"plan":"p"}`, ""},
			`{"plan":"p"}`,
			Tenant{Plan: "p"},
		},
		{
			"Erasure",
			func(ctx context.Context, c *Client) (any, error) { return c.Erasure(ctx, "t") },
			call{"GET", "/api/v1/tenants/t/erasure", "", ""},
			`{"document":{"points":18446744073709551615}}`,
			json.RawMessage(`{"document":{"points":18446744073709551615}}`),
		},
		{
			"ListPlans",
			func(ctx context.Context, c *Client) (any, error) { return c.ListPlans(ctx) },
			call{"GET", "/api/v1/plans", "", ""},
			`{"plans":[` + planJSON + `]}`,
			[]Plan{plan},
		},
		{
			"GetPlan",
			func(ctx context.Context, c *Client) (any, error) { return c.GetPlan(ctx, "p") },
			call{"GET", "/api/v1/plans/p", "", ""},
			planJSON, plan,
		},
		{
			"PutPlan",
			func(ctx context.Context, c *Client) (any, error) { return c.PutPlan(ctx, plan) },
			call{"PUT", "/api/v1/plans/p", planJSON, ""},
			planJSON, plan,
		},
		{
			"DeletePlan",
			func(ctx context.Context, c *Client) (any, error) { return nil, c.DeletePlan(ctx, "a b") },
			call{"DELETE", "/api/v1/plans/a%20b", "", ""},
			`{}`, nil,
		},
		{
			"CreateKey with everything",
			func(ctx context.Context, c *Client) (any, error) {
				return c.CreateKey(ctx, NewKey{
					TenantID: "t", Permission: "ADMIN", Kind: "mcp", Name: "n", Collections: []string{"a*"},
					AllowedIPs: []string{"10.0.0.0/8"}, Rates: &Rates{1, 2, 3}, ExpiresAt: 9, Test: true,
				})
			},
			call{
				"POST", "/api/v1/access-keys", `{"tenant_id":"t","permission":"ADMIN","kind":"mcp","name":"n","collections":["a*"],` +
					`"allowed_ips":["10.0.0.0/8"],"rate_limits":{"requests_per_minute":1,"requests_per_hour":2,"requests_per_day":3},"expires_at":9,"is_test":true}`, "",
			},
			`{"key_id":"k"}`,
			Key{ID: "k"},
		},
		{
			"GetKey",
			func(ctx context.Context, c *Client) (any, error) { return c.GetKey(ctx, "k") },
			call{"GET", "/api/v1/access-keys/k", "", ""},
			`{"key_id":"k","collections":["x"]}`,
			Key{ID: "k", Collections: []string{"x"}},
		},
		{
			"RotateKey",
			func(ctx context.Context, c *Client) (any, error) {
				k, old, err := c.RotateKey(ctx, "k", 90*time.Second)
				return []Key{k, old}, err
			},
			call{"POST", "/api/v1/access-keys/k/rotate", `{"grace_seconds":90}`, ""},
			`{"key_id":"k2","key":"hh_live_x","old":{"key_id":"k","expires_at":5}}`,
			[]Key{{ID: "k2", Key: "hh_live_x"}, {ID: "k", ExpiresAt: 5}},
		},
		{
			"RotateKey at the server's grace",
			func(ctx context.Context, c *Client) (any, error) {
				_, _, err := c.RotateKey(ctx, "k", -1)
				return nil, err
			},
			call{"POST", "/api/v1/access-keys/k/rotate", `{}`, ""},
			`{}`, nil,
		},
		{
			"TenantQuota",
			func(ctx context.Context, c *Client) (any, error) { return c.TenantQuota(ctx, "t") },
			call{"GET", "/api/internal/vectorizer/user/t/quota", "", ""},
			`{"tenant_id":"t","plan":"p","version":3,"vector_count":5,"usage":{"vector_count":4}}`,
			Quota{TenantID: "t", Plan: "p", Version: 3, Vectors: 5, Usage: Usage{Vectors: 4}},
		},
		{
			"TenantUsage",
			func(ctx context.Context, c *Client) (any, error) {
				return c.TenantUsage(ctx, UsageQuery{TenantID: "a b", Since: 5, Until: 6})
			},
			call{"GET", "/api/v1/cluster/usage?from=5&tenant_id=a+b&to=6", "", ""},
			`{"tenant_id":"a b","period_start":5,"vectors":7,"usage":{"vectors_inserted":18446744073709551615},"total":{"byte_hours":3},"days":[{"date":"2030-12-31","search_count":4}]}`,
			TenantUsage{
				TenantID: "a b", Start: 5, Vectors: 7, Period: Used{VectorsInserted: 1<<64 - 1}, Total: Used{ByteHours: 3},
				Days: []DayUsage{{Date: "2030-12-31", Used: Used{SearchCount: 4}}},
			},
		},
		{
			"CollectionUsages",
			func(ctx context.Context, c *Client) (any, error) { return c.CollectionUsages(ctx) },
			call{"GET", "/hub/usage/statistics", "", ""},
			`{"success":true,"stats":{"collections":[{"collection_id":"7","name":"docs","usage":{"bytes_read":2}}]}}`,
			[]CollectionUsage{{ID: "7", Name: "docs", Usage: Used{BytesRead: 2}}},
		},
		{
			"ListAudit",
			func(ctx context.Context, c *Client) (any, error) {
				return c.ListAudit(ctx, AuditQuery{TenantID: "t", Action: "a&b", Since: 5, Until: 6, Limit: 2})
			},
			call{"GET", "/api/v1/audit?action=a%26b&limit=1000&since=5&tenant_id=t&until=6", "", ""},
			`{"entries":[{"id":"1"},{"id":"2"},{"id":"3"}]}`,
			[]AuditEntry{{ID: "2"}, {ID: "3"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, last := fake(t, 200, tc.answer)
			got, err := tc.call(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Auth = "Bearer K"
			if diff := cmp.Diff(tc.want, *last); diff != "" {
				t.Errorf("request:\n%s", diff)
			}
			if diff := cmp.Diff(tc.result, got); diff != "" {
				t.Errorf("result:\n%s", diff)
			}
		})
	}
}

// A list is all of it, in as many pages as the server likes.
func TestListsAreWhole(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		n := len(asked)
		next := fmt.Sprintf(`,"next_cursor":"c&%d"`, n)
		if n == 3 {
			next = ""
		}
		fmt.Fprintf(w, `{"access_keys":[{"key_id":"k%d"}],"entries":[{"id":"%d"}]%s}`, n, n, next)
	}))
	defer srv.Close()
	c, err := New(Options{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.ListKeys(t.Context(), "t")
	if err != nil || len(keys) != 3 || keys[2].ID != "k3" {
		t.Errorf("%v, %v", keys, err)
	}
	want := []string{
		"/api/v1/access-keys?limit=1000&tenant_id=t",
		"/api/v1/access-keys?cursor=c%261&limit=1000&tenant_id=t", "/api/v1/access-keys?cursor=c%262&limit=1000&tenant_id=t",
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	asked = nil
	entries, err := c.ListAudit(t.Context(), AuditQuery{Limit: 2})
	if err != nil || len(entries) != 2 || entries[1].ID != "3" || len(asked) != 3 {
		t.Errorf("%v, %v, %q", entries, err, asked)
	}
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_keys":7}`) })
	if _, err := c.ListKeys(t.Context(), ""); err == nil {
		t.Error("a list of another shape was taken")
	}
}
