package httpedge

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// The operation log: a tenant's for its ADMIN, any tenant's for the operator and
// for services, and the operator's own; and the rows that other Waggles send to
// this hub.

var errNoLog = collection.Errorf(collection.Unimplemented, "this node keeps no operation log")

func (s *Server) tenantLogs(r *request, _ tenant.Context) error {
	id, err := r.tenantID()
	if err != nil {
		return err
	}
	if _, err := s.hub.Quota(r.ctx, id); err != nil {
		return err
	}
	return s.answerLogs(r, id, nil)
}

// ownLogs leaves out rows about collections that the key is not for.
func (s *Server) ownLogs(r *request, tc tenant.Context) error {
	for _, name := range []string{"tenant_id", "user_id"} {
		named, _ := r.query(name)
		if err := ownTenant(tc, named); err != nil {
			return err
		}
	}
	return s.answerLogs(r, tc.TenantID, &tc)
}

// operatorLogs are the rows that have no tenant.
func (s *Server) operatorLogs(r *request, _ tenant.Context) error { return s.answerLogs(r, "", nil) }

// answerLogs answers with rows of a tenant, the oldest first. With reader there
// may be fewer than the page has, and more behind them.
func (s *Server) answerLogs(r *request, id tenant.ID, reader *tenant.Context) error {
	if s.operationLog == nil {
		return errNoLog
	}
	q, err := r.logQuery()
	if err != nil {
		return err
	}
	q.Tenant = id
	page, err := s.operationLog.Query(r.ctx, q)
	if err != nil {
		return err
	}
	list := make([]tenant.OperationLog, 0, len(page.Rows))
	for i := range page.Rows {
		if name := page.Rows[i].Collection; reader == nil || name == "" || reader.MayCollection(name) {
			list = append(list, page.Rows[i].Entry())
		}
	}
	next := ""
	if page.More {
		next = page.Rows[len(page.Rows)-1].LogKey().Cursor()
	}
	body := listed("logs", list, next)
	if len(page.Away) > 0 {
		body["incomplete"] = page.Away
	}
	if id != "" {
		body["tenant_id"] = id
	}
	return r.sendJSON(200, body)
}

// logQuery reads which rows are asked for.
func (r *request) logQuery() (q tenant.LogQuery, err error) {
	if q.Limit, err = r.pageLimit(); err != nil {
		return q, err
	}
	if q.From, err = r.moment("start_time"); err != nil {
		return q, err
	}
	if q.To, err = r.moment("end_time"); err != nil {
		return q, err
	}
	if word, _ := r.query("operation_type"); word != "" {
		kind, ok := tenant.ParseOperationType(word)
		if !ok {
			return q, errParameter("query parameters", "operation_type: is none of the known ones")
		}
		q.Type = kind
	}
	if cursor, _ := r.query("cursor"); cursor != "" {
		if q.After, err = tenant.ParseLogCursor(cursor); err != nil {
			return q, errParameter("query parameters", "cursor: "+err.Error())
		}
	}
	return q, nil
}

// takenJSON says how many rows of a batch the sender may forget: all of them,
// also those that are not kept.
type takenJSON struct {
	Accepted  bool   `json:"accepted"`
	Processed int    `json:"processed"`
	Error     string `json:"error,omitempty"`
}

// takeLogs keeps the rows that another Waggle sends. A batch with a row that is
// not one is refused, all of it; rows of tenants that are not known here, such as
// have been deleted meanwhile, are passed over and counted.
func (s *Server) takeLogs(r *request, _ tenant.Context) error {
	if s.operationLog == nil {
		return errNoLog
	}
	given, err := r.givenLogs()
	if err != nil {
		return err
	}
	known, rows := map[tenant.ID]bool{}, given[:0]
	for _, o := range given {
		is, asked := known[o.Tenant]
		if !asked {
			if is, err = s.knows(r, o.Tenant); err != nil {
				return err
			}
			known[o.Tenant] = is
		}
		if is {
			rows = append(rows, o)
		}
	}
	if err := s.operationLog.AppendAll(r.ctx, rows); err != nil {
		return &collection.Error{Code: collection.Unavailable, Message: "the rows cannot be kept at the moment; send them again", Err: err}
	}
	taken := takenJSON{Accepted: true, Processed: len(given)}
	if away := len(given) - len(rows); away > 0 {
		taken.Error = strconv.Itoa(away) + " rows are of tenants that are not known here"
	}
	return r.sendJSON(200, taken)
}

func (s *Server) knows(r *request, id tenant.ID) (bool, error) {
	_, err := s.hub.Quota(r.ctx, id)
	if err != nil && asError(err).Code == collection.NotFound {
		return false, nil
	}
	return err == nil, err
}

// givenLogs reads and checks a batch: {"service_id": ..., "logs": [...]}.
func (r *request) givenLogs() ([]tenant.LoggedOperation, error) {
	var service string
	there := false
	var rows []tenant.LoggedOperation
	now := time.Now()
	err := r.decode(func(p *pointReader) error {
		return p.object(func(key []byte) error {
			switch string(key) {
			case "service_id":
				return p.stringTo(&service)
			case "logs":
				there = true
				return p.array(func() error {
					if len(rows) == tenant.LogBatchMax {
						return errValue("logs: more than " + strconv.Itoa(tenant.LogBatchMax) + " rows")
					}
					o, err := p.logRow(now, len(rows))
					rows = append(rows, o)
					return err
				})
			}
			return p.skip()
		})
	})
	if err == nil && !isName(service) {
		err = errValue("service_id: must name who sends the rows")
	}
	if err == nil && !there {
		err = errValue("logs: must be a list of rows")
	}
	return rows, err
}

// logRow reads one row. The scanner sees to it that it is JSON, and how deep.
func (p *pointReader) logRow(now time.Time, n int) (tenant.LoggedOperation, error) {
	var e tenant.OperationLog
	raw, err := p.raw()
	if err != nil {
		return tenant.LoggedOperation{}, err
	}
	at := "logs[" + strconv.Itoa(n) + "]: "
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return tenant.LoggedOperation{}, errValue(at + "is not a row of an operation log")
	}
	o, err := e.Logged(now)
	if errors.Is(err, tenant.ErrLogAhead) { // not for good: the rows are kept and sent again
		return o, &collection.Error{Code: collection.FailedPrecondition, Message: at + err.Error()}
	}
	if err != nil {
		return o, errValue(at + err.Error())
	}
	return o, nil
}
