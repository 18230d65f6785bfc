package client

import (
	"context"
	"net/url"
	"strconv"
)

// Operation is one row of the operation log: what was asked for, and how it went.
type Operation struct {
	ID         string            `json:"operation_id"`
	TenantID   string            `json:"tenant_id"`
	Operation  string            `json:"operation"`      // the route, or the tool
	Type       string            `json:"operation_type"` // such as search or insert
	Collection string            `json:"collection,omitempty"`
	Timestamp  int64             `json:"timestamp"` // unix ms, when it was answered
	DurationMS float64           `json:"duration_ms"`
	Success    bool              `json:"success"`
	Error      string            `json:"error,omitempty"` // its code
	Metadata   map[string]string `json:"metadata,omitempty"`
}

// OperationQuery selects rows of the operation log; what is zero selects all.
type OperationQuery struct {
	Own      bool   // of the tenant that the client's key is of
	TenantID string // for the operator; "" without Own: those of no tenant
	Type     string
	Since    int64 // unix ms
	Until    int64 // unix ms
	Limit    int   // of one page, up to 1000; 0: that
	Cursor   string
}

// OperationPage is a page of the operation log, the oldest first.
type OperationPage struct {
	Operations []Operation `json:"logs"`
	Next       string      `json:"next_cursor"` // of the next page; "": there is none
	Incomplete []string    `json:"incomplete"`  // nodes that did not answer: their rows are missing
}

// ListOperations returns a page of the operation log.
func (c *Client) ListOperations(ctx context.Context, q OperationQuery) (OperationPage, error) {
	path := "/api/v1/cluster/logs"
	switch {
	case q.Own:
		path = "/auth/logs"
	case q.TenantID != "":
		path = tenantPath(q.TenantID) + "/logs"
	}
	v := url.Values{}
	for name, text := range map[string]string{"operation_type": q.Type, "cursor": q.Cursor} {
		if text != "" {
			v.Set(name, text)
		}
	}
	for name, n := range map[string]int64{"start_time": q.Since, "end_time": q.Until, "limit": int64(q.Limit)} {
		if n != 0 {
			v.Set(name, strconv.FormatInt(n, 10))
		}
	}
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	var p OperationPage
	err := c.call(ctx, "GET", path, nil, &p)
	return p, err
}
