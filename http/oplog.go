package httpedge

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// OperationLog keeps a row for every request of a tenant or of the operator, and
// finds rows on all nodes.
type OperationLog interface {
	// Append keeps a row. It must not wait, and keep neither the pointer nor a
	// text: they are the request's.
	Append(row *tenant.LoggedOperation)
	// AppendAll returns when the rows are on the disk.
	AppendAll(ctx context.Context, rows []tenant.LoggedOperation) error
	// Query returns a page of rows. Away names the nodes whose rows it lacks.
	Query(ctx context.Context, q tenant.LogQuery) (tenant.LogPage, error)
}

// loggedAbroad is what only the node in charge knows of a request.
type loggedAbroad struct {
	Operation  string               `msgpack:"o,omitempty"`
	Type       tenant.OperationType `msgpack:"y,omitempty"`
	Collection string               `msgpack:"c,omitempty"`
	Failed     bool                 `msgpack:"f,omitempty"`
	Code       string               `msgpack:"e,omitempty"`
	K          uint32               `msgpack:"k,omitempty"`
	Points     uint32               `msgpack:"p,omitempty"`
}

func (r *request) abroad() loggedAbroad {
	o := &r.logged
	return loggedAbroad{o.Operation, o.Type, o.Collection, o.Failed, o.Code, o.K, o.Points}
}

func (a *loggedAbroad) tell(r *request) {
	if a.Operation == "" {
		return // a node that does not know of it yet
	}
	o := &r.logged
	o.Operation, o.Type, o.Collection = a.Operation, a.Type, a.Collection
	o.Failed, o.Code, o.K, o.Points = a.Failed, a.Code, a.K, a.Points
}

// routed notes which operation a request is.
func (r *request) routed(rt *route) {
	r.row = rt
	o := &r.logged
	o.Operation, o.Type = rt.label, rt.logs
	if rt.surface != surfaceOperator && rt.named {
		if raw := r.params.Params("name"); strings.IndexByte(raw, '%') < 0 {
			r.nameBuf = append(r.nameBuf[:0], raw...) // the router's memory ends before the request
			r.about(text(r.nameBuf))
		} else if name, err := unescape(raw); err == nil {
			r.about(name)
		}
	}
}

// about notes which collection the request is about. A name that could not be
// one is not kept.
func (r *request) about(name string) {
	if r.logged.Collection == "" && len(name) <= tenant.LogCollectionMax && tenant.IsLogText(name) {
		r.logged.Collection = name
	}
}

// asksFor notes how many hits are asked for, of several searches together.
func (r *request) asksFor(k int) {
	r.logged.K = uint32(min(uint64(r.logged.K)+uint64(max(k, 0)), math.MaxUint32))
}

// sends notes how many points, or ids of such, a write names.
func (r *request) sends(w *collection.Write) {
	n := len(w.Upsert) + len(w.UpdateVectors)
	for _, s := range []*collection.Selection{w.Delete, w.ClearPayload} {
		if s != nil {
			n += len(s.IDs)
		}
	}
	for _, c := range []*collection.PayloadChange{w.SetPayload, w.OverwritePayload} {
		if c != nil {
			n += len(c.IDs)
		}
	}
	if w.DeleteVectors != nil {
		n += len(w.DeleteVectors.IDs)
	}
	if w.DeletePayload != nil {
		n += len(w.DeletePayload.IDs)
	}
	r.logged.Points = uint32(min(uint64(r.logged.Points)+uint64(n), math.MaxUint32))
	for i := range w.Batch {
		r.sends(&w.Batch[i])
	}
}

// knownAs notes by whose key a request is made: from here on it is logged,
// also when it is refused.
func (r *request) knownAs(tc *tenant.Context) {
	r.logged.Tenant, r.logged.Key = tc.TenantID, tc.KeyID
	r.ofOperator = tc.IsOperator
}

// failedWith notes the code of the error that is answered with.
func (r *request) failedWith(word string) { r.logged.Failed, r.logged.Code = true, word }

// logOperation writes the row of a request that is answered: one, on the node
// that answers the client, if it has a tenant or is the operator's.
func (r *request) logOperation() {
	if r.s.operationLog == nil || r.row == nil || r.row.open != nil || r.logged.Tenant == "" && !r.ofOperator {
		return
	}
	now, o := time.Now(), &r.logged
	o.Time, o.Duration = now.UnixMilli(), now.Sub(r.start)
	o.ID = newOperationID(o.Time)
	o.Status, o.Surface, o.RequestID = uint16(r.http.Response.StatusCode()), r.surface.String(), r.id
	r.s.operationLog.Append(o)
}

// newOperationID makes a UUID of version 7: of the time, and random.
func newOperationID(ms int64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(ms)<<16|rand.Uint64()&0x0fff|0x7000)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&^(3<<62)|2<<62)
	return id
}

// hasName reports whether the path of a route names a collection.
func hasName(rt *route) bool { return strings.Contains(rt.path, "/:name") }
