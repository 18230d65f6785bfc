package client

import (
	"context"
	"net/url"
	"strconv"
)

// Used is what was used of a tenant or a collection, as it was reported.
type Used struct {
	VectorsInserted    uint64 `json:"vectors_inserted"`
	VectorsDeleted     uint64 `json:"vectors_deleted"`
	StorageAdded       uint64 `json:"storage_added"` // bytes
	StorageFreed       uint64 `json:"storage_freed"`
	CollectionsCreated uint64 `json:"collections_created"`
	CollectionsDeleted uint64 `json:"collections_deleted"`
	ByteHours          uint64 `json:"byte_hours"` // stored bytes over time
	APIRequests        uint64 `json:"api_requests"`
	SearchCount        uint64 `json:"search_count"`
	VectorsScanned     uint64 `json:"vectors_scanned"`
	BytesRead          uint64 `json:"bytes_read"`
}

// DayUsage is one day, in UTC.
type DayUsage struct {
	Date string `json:"date"` // 2030-12-31
	Used
}

// TenantUsage is what a tenant has and has used.
type TenantUsage struct {
	TenantID string `json:"tenant_id"`
	Start    int64  `json:"period_start"` // unix ms
	End      int64  `json:"period_end"`
	Storage  struct {
		Used    uint64   `json:"used_bytes"`
		Quota   int64    `json:"quota_bytes"` // -1: no limit
		Percent *float64 `json:"percent"`
	} `json:"storage"`
	Collections uint64     `json:"collections"`
	Vectors     uint64     `json:"vectors"`
	Period      Used       `json:"usage"`
	Total       Used       `json:"total"` // since the tenant was made
	Days        []DayUsage `json:"days"`
	ReportedAt  int64      `json:"reported_at"` // unix ms; what was used since is not in it yet
}

// UsageQuery selects usage; what is zero selects this month, of the key's tenant.
type UsageQuery struct {
	TenantID string // the operator's keys only
	Since    int64  // unix ms; whole days in UTC
	Until    int64  // unix ms
}

// TenantUsage returns what a tenant has and has used: its own with a tenant's
// key, anybody's with the operator's.
func (c *Client) TenantUsage(ctx context.Context, q UsageQuery) (TenantUsage, error) {
	var u TenantUsage
	err := c.call(ctx, "GET", "/api/v1/cluster/usage"+q.text(), nil, &u)
	return u, err
}

func (q UsageQuery) text() string {
	v := url.Values{}
	if q.TenantID != "" {
		v.Set("tenant_id", q.TenantID)
	}
	for name, ms := range map[string]int64{"from": q.Since, "to": q.Until} {
		if ms != 0 {
			v.Set(name, strconv.FormatInt(ms, 10))
		}
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// CollectionUsage is what a collection has and has used.
type CollectionUsage struct {
	ID      string `json:"collection_id"`
	Name    string `json:"name"` // "" when nobody knows it any more
	Vectors uint64 `json:"vectors"`
	Storage uint64 `json:"storage"` // bytes
	Deleted bool   `json:"deleted"`
	Usage   Used   `json:"usage"` // since it was made
}

// CollectionUsages returns what the collections of the key's tenant have used.
func (c *Client) CollectionUsages(ctx context.Context) ([]CollectionUsage, error) {
	all, cursor := []CollectionUsage{}, ""
	for {
		var answer struct {
			Stats struct {
				Collections []CollectionUsage
				Next        string `json:"next_cursor"`
			}
		}
		path := "/hub/usage/statistics"
		if cursor != "" {
			path += "?cursor=" + url.QueryEscape(cursor)
		}
		if err := c.call(ctx, "GET", path, nil, &answer); err != nil {
			return nil, err
		}
		all = append(all, answer.Stats.Collections...)
		if cursor = answer.Stats.Next; cursor == "" {
			return all, nil
		}
	}
}
