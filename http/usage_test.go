package httpedge

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

const usagePath = "/api/internal/vectorizer/usage/update"

// reportOf is a body with one report of one entry.
func reportOf(id tenant.ID, sequence uint64, entry string) string {
	if entry != "" {
		entry = "," + entry
	}
	return fmt.Sprintf(`{"report_id":"r%d","source":"p:1","sequence":%d,"period_start":1,"period_end":2,"entries":[{"tenant_id":%q,"collection_id":"7"%s}]}`,
		sequence, sequence, id, entry)
}

// What is reported over HTTP is counted once, whoever repeats it, and shown to
// its tenant and to the operator; to nobody else.
func TestUsageOverHTTP(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.usage = collection.TenantUsage{Points: 5, Bytes: 60, Collections: 1}
	noError(t, e.hub.RecordCollection(t.Context(), hubsvc.CollectionRecord{Tenant: e.tenant, Collection: 7, Name: "docs", Created: 1}))
	first := reportOf(e.tenant, 1, `"vectors_inserted":5,"storage_added":60,"api_requests":3,"vector_count":5,"storage_bytes":60,"collections_created":1`)
	e.op("POST", usagePath, first).is(200, `"counted":1`)
	e.op("POST", usagePath, first).is(200, `"repeated":1`)
	e.op("POST", usagePath, reportOf(e.tenant, 1, `"vectors_inserted":6`)).is(412, "other content")
	e.op("POST", usagePath, reportOf(e.tenant, 3, `"vector_count":5,"storage_bytes":60`)).is(200, `"gaps":1`)
	e.op("POST", usagePath, reportOf(e.tenant, 3, `"vector_count":5,"storage_bytes":60`)).is(200, `"gaps":0`)
	e.op("POST", usagePath, `{"cluster_id":"c2","reports":[`+first+`]}`).is(200, `"counted":1`) // another cluster's first
	e.op("POST", usagePath, reportOf("t_absent", 4, "")).is(200, `"ignored_entries":1`)

	key := e.keys["READ_ONLY"]
	got := e.send("GET", e.main+"/hub/usage/statistics", key, "").is(200, `"success":true`)
	var answer struct{ Stats statisticsJSON }
	noError(t, json.Unmarshal([]byte(got.text), &answer))
	s := answer.Stats
	if s.UserID != e.tenant || s.Collections != 1 || s.Vectors != 5 || s.Storage != 60 || s.APIRequests != 6 || s.Usage.VectorsInserted != 10 || len(s.Days) == 0 {
		t.Errorf("%s", got.text)
	}
	if len(s.Rows) != 1 || s.Rows[0].ID != "7" || s.Rows[0].Name != "docs" || s.Rows[0].Vectors != 10 || s.Rows[0].Usage.NetStorage != 120 {
		t.Errorf("%+v", s.Rows)
	}
	e.send("GET", e.main+"/hub/usage/statistics?collection_id=7", key, "").is(200, `"docs"`)
	e.send("GET", e.main+"/hub/usage/statistics?collection_id=8", key, "").is(404, "NOT_FOUND")
	e.send("GET", e.main+"/hub/usage/statistics?collection_id=x", key, "").is(400, "collection_id")
	e.send("GET", e.main+"/hub/usage/statistics?collection_id=7&from=2020-01-01", key, "").is(400, "collection_id")
	e.send("GET", e.main+"/hub/usage/statistics?limit=1001", key, "").is(400, "limit")
	e.send("GET", e.main+"/hub/usage/statistics?from=tomorrow", key, "").is(400, "from")
	e.send("GET", e.main+"/hub/usage/statistics?from=2020-01-02&to=2020-01-01", key, "").is(400, "INVALID_REQUEST")
	e.send("GET", e.main+"/hub/usage/statistics?user_id=t_other", key, "").is(403, "FORBIDDEN")

	holdsAll(t, e.send("GET", e.main+"/api/v1/cluster/usage?from=1970-01-01", key, ""), `"used_bytes":60`, `"vectors_inserted":10`, `"rate_limits"`)
	e.send("GET", e.main+"/api/v1/cluster/usage?tenant_id=t_other", key, "").is(403, "FORBIDDEN")
	e.op("GET", "/api/v1/cluster/usage", "").is(400, "tenant_id")
	e.op("GET", "/api/v1/cluster/usage?tenant_id=t_absent", "").is(404, "NOT_FOUND")
	holdsAll(t, e.op("GET", "/api/v1/cluster/usage?tenant_id="+string(e.tenant), ""), `"api_keys_count"`, `"created_at"`, `"last_request_at":2`)
	holdsAll(t, e.op("GET", "/api/v1/cluster/tenants?limit=1", ""), `"total":2`, `"next_cursor"`)
	holdsAll(t, e.op("GET", "/api/v1/cluster/tenants", ""), `"tenant_id":"`+string(e.tenant)+`"`, `"storage_used_bytes":120`, `"active":true`)
}

func holdsAll(t *testing.T, r reply, parts ...string) {
	t.Helper()
	for _, part := range parts {
		r.is(200, part)
	}
}

// A key that is narrowed to some collections is told of no other.
func TestUsageOfNarrowedKeys(t *testing.T) {
	e := newEdge(t, nil)
	noError(t, e.hub.RecordCollection(t.Context(), hubsvc.CollectionRecord{Tenant: e.tenant, Collection: 7, Name: "secret", Created: 1}))
	e.op("POST", usagePath, reportOf(e.tenant, 1, `"vectors_inserted":5`)).is(200, `"counted":1`)
	_, key, err := e.hub.CreateKey(t.Context(), hubsvc.KeySpec{
		Tenant: e.tenant, Permissions: []tenant.Permission{tenant.Admin}, Scope: &tenant.Scope{Collections: []string{"other*"}},
	})
	noError(t, err)
	for _, url := range []string{"", "?collection_id=7"} {
		if got := e.send("GET", e.main+"/hub/usage/statistics"+url, key, ""); strings.Contains(got.text, "secret") || url != "" && got.status != 404 {
			t.Errorf("%d %s", got.status, got.text)
		}
	}
}

func TestUsageBodies(t *testing.T) {
	entries := func(n int) string {
		return `[` + strings.TrimSuffix(strings.Repeat(`{"tenant_id":"t"},`, n), ",") + `]`
	}
	reports := func(n int) string {
		return `{"reports":[` + strings.TrimSuffix(strings.Repeat(`{"source":"n:1"},`, n), ",") + `]}`
	}
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text string
		want any
	}{
		{
			`{"cluster_id":"c","report_id":"r","source":"p:1","sequence":18446744073709551615,"period_start":5,"period_end":"2030-01-01T00:00:00Z","x":[{}],"entries":[{"tenant_id":"t","collection_id":"18446744073709551615","byte_seconds":9,"bytes_read":8,"search_count":null,"y":1}]}`,
			usageRequest{"c", []tenant.UsageReport{{
				ReportID: "r", Source: "p:1", Sequence: 1<<64 - 1, Start: 5, End: at.UnixMilli(),
				Entries: []tenant.UsageEntry{{Tenant: "t", Collection: 1<<64 - 1, Usage: tenant.Usage{ByteSeconds: 9, BytesRead: 8}}},
			}}},
		},
		{`{"reports":[]}`, usageRequest{}},
	} {
		got, err := decodeHub("usage", c.text)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{
		reports(hubsvc.UsageReportsMax), `{"source":"n:1","entries":` + entries(hubsvc.UsageEntriesMax) + `}`,
	} {
		if _, err := decodeHub("usage", text); err != nil {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	for _, text := range []string{
		reports(hubsvc.UsageReportsMax + 1), `{"source":"n:1","entries":` + entries(hubsvc.UsageEntriesMax+1) + `}`,
		`{"reports":[{"entries":` + entries(600) + `},{"entries":` + entries(401) + `}]}`, // the most is of the whole body
		`{}`, `[]`, ``, `{"reports":[],"source":"p:1"}`, `{"sequence":-1}`, `{"sequence":1.5}`, `{"source":7}`, `{"entries":{}}`,
		`{"entries":[{"vectors_inserted":"1"}]}`, `{"entries":[{"tenant_id":1}]}`, `{"entries":[7]}`, `{"period_end":-1}`,
	} {
		if got, err := decodeHub("usage", text); collection.CodeOf(err) != collection.InvalidArgument {
			t.Errorf("%.60s: %+v, %v", text, got, err)
		}
	}
}
