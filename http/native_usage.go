package httpedge

import "github.com/hivehub/waggle/tenant"

// nativeUsage is what a tenant may ask about itself.
func (s *Server) nativeUsage() []*native {
	return []*native{
		operation[nothing, usageNow]{
			id: "get_usage", method: "GET", path: "/usage", op: tenant.OpOwnUsage, logs: tenant.LogCluster,
			summary: "Show what the tenant has stored now, and how much it may.",
			about:   "What was used over time is at /hub/usage/statistics.",
			do:      s.nativeUsageNow,
		}.native(),
	}
}

// usageNow is what a tenant has, with all that was acknowledged.
type usageNow struct {
	Tenant      string `json:"tenant_id"`
	Plan        string `json:"plan"`
	Collections share  `json:"collections"`
	Vectors     share  `json:"vectors"`
	Storage     share  `json:"storage_bytes"`
}

type share struct {
	Used  uint64 `json:"used"`
	Limit *int64 `json:"limit,omitempty" doc:"Absent: there is none."`
}

func shareOf(used uint64, limit int64) share {
	s := share{Used: used}
	if limit >= 0 {
		s.Limit = &limit
	}
	return s
}

func (s *Server) nativeUsageNow(r *request, tc tenant.Context, _ *nothing) (usageNow, error) {
	q, err := s.hub.Quota(r.ctx, tc.TenantID)
	if err != nil {
		return usageNow{}, err
	}
	u, err := s.engine.TenantUsage(r.ctx, tc.TenantID)
	if err != nil {
		return usageNow{}, err
	}
	return usageNow{
		Tenant: string(tc.TenantID), Plan: q.Plan, Collections: shareOf(u.Collections, q.Limits.Collections),
		Vectors: shareOf(u.Points, q.Limits.Vectors), Storage: shareOf(u.Bytes, q.Limits.Bytes),
	}, nil
}
