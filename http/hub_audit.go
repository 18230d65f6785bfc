package httpedge

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// The audit log: the operator and services read all of it, a tenant's ADMIN
// what concerns the tenant.

func (s *Server) listAudit(r *request, _ tenant.Context) error {
	id, _ := r.query("tenant_id")
	return s.answerAudit(r, tenant.ID(id))
}

func (s *Server) listOwnAudit(r *request, tc tenant.Context) error {
	for _, name := range []string{"tenant_id", "user_id"} {
		named, _ := r.query(name)
		if err := ownTenant(tc, named); err != nil {
			return err
		}
	}
	return s.answerAudit(r, tc.TenantID)
}

// answerAudit lists rows of a tenant, or all for "", oldest first.
func (s *Server) answerAudit(r *request, id tenant.ID) error {
	q := hubsvc.AuditQuery{Tenant: id}
	var err error
	if q.Limit, err = r.pageLimit(); err != nil {
		return err
	}
	q.Action, _ = r.query("action")
	q.Cursor, _ = r.query("cursor")
	if q.From, err = r.moment("since"); err != nil {
		return err
	}
	if q.To, err = r.moment("until"); err != nil {
		return err
	}
	rows, next, err := s.hub.ListAudit(r.ctx, q)
	if err != nil {
		return err
	}
	list := make([]auditJSON, 0, len(rows))
	for i := range rows {
		list = append(list, auditBody(&rows[i]))
	}
	return r.sendJSON(200, listed("entries", list, next))
}

// moment reads a time in the query: milliseconds since 1970, or RFC 3339.
func (r *request) moment(name string) (ms int64, err error) {
	given, ok := r.query(name)
	if !ok || given == "" {
		return 0, nil
	}
	if at, err := time.Parse(time.RFC3339, given); err == nil {
		return at.UnixMilli(), nil
	}
	ms, err = strconv.ParseInt(given, 10, 64)
	if err != nil || ms < 0 {
		return 0, errParameter("query parameters", name+": must be milliseconds since 1970 or a time such as 2030-12-31T23:59:59Z")
	}
	return ms, nil
}

func auditBody(e *hubsvc.AuditEntry) auditJSON {
	return auditJSON{
		ID:   e.ID(),
		Time: e.Time, TenantID: e.Tenant, Actor: e.Actor, Address: e.Address, RequestID: e.RequestID,
		Action: e.Action, Target: e.Target, Outcome: e.Outcome, Detail: e.Detail,
		Count: e.Count, First: e.First, Last: e.Last, Chain: hex.EncodeToString(e.Chain),
	}
}
