package remote

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Tenants, plans and what an operator does with them are the hub's own affair: a
// node that is its client sends whoever asks there.

// errElsewhere names the hub.
func (h *Hub) errElsewhere() *hubsvc.Error {
	return &hubsvc.Error{
		Code:    hubsvc.CodeFailedPrecondition,
		Message: "tenants and plans are administered at the hub, " + h.options.URL + ", and not on its clients",
	}
}

// CreateTenant is refused.
func (h *Hub) CreateTenant(context.Context, hubsvc.TenantSpec) (hubsvc.Tenant, error) {
	return hubsvc.Tenant{}, h.errElsewhere()
}

// Tenant is refused.
func (h *Hub) Tenant(context.Context, tenant.ID) (hubsvc.Tenant, error) {
	return hubsvc.Tenant{}, h.errElsewhere()
}

// ListTenants is refused.
func (h *Hub) ListTenants(context.Context) ([]hubsvc.Tenant, error) { return nil, h.errElsewhere() }

// SuspendTenant is refused.
func (h *Hub) SuspendTenant(context.Context, tenant.ID) (hubsvc.Tenant, error) {
	return hubsvc.Tenant{}, h.errElsewhere()
}

// ResumeTenant is refused.
func (h *Hub) ResumeTenant(context.Context, tenant.ID) (hubsvc.Tenant, error) {
	return hubsvc.Tenant{}, h.errElsewhere()
}

// SetTenantPlan is refused.
func (h *Hub) SetTenantPlan(context.Context, tenant.ID, string) (hubsvc.Tenant, error) {
	return hubsvc.Tenant{}, h.errElsewhere()
}

// DeleteTenant is refused.
func (h *Hub) DeleteTenant(context.Context, tenant.ID) (hubsvc.Tenant, error) {
	return hubsvc.Tenant{}, h.errElsewhere()
}

// Erasure is refused.
func (h *Hub) Erasure(context.Context, tenant.ID) (hubsvc.Certificate, error) {
	return hubsvc.Certificate{}, h.errElsewhere()
}

// Plans is refused.
func (h *Hub) Plans(context.Context) ([]tenant.Plan, error) { return nil, h.errElsewhere() }

// PutPlan is refused.
func (h *Hub) PutPlan(context.Context, tenant.Plan) (tenant.Plan, error) {
	return tenant.Plan{}, h.errElsewhere()
}

// DeletePlan is refused.
func (h *Hub) DeletePlan(context.Context, string) error { return h.errElsewhere() }

// Events is refused: whoever wants the hub's events asks the hub.
func (h *Hub) Events(context.Context, uint64, time.Duration) ([]hubsvc.Event, uint64, bool, error) {
	return nil, 0, false, h.errElsewhere()
}

// Deleting is empty: what the hub has deleted is dropped by Start's erase.
func (h *Hub) Deleting() []tenant.ID { return nil }

// TenantPurged does nothing, for the same reason.
func (h *Hub) TenantPurged(context.Context, tenant.ID, hubsvc.Erased) error { return nil }

// The keys of tenants.

const keysPath = "/api/v1/access-keys"

// CreateKey makes a key of a tenant at the hub. It is not tried again: a key
// whose answer was lost is one that nobody has, and is in the list.
func (h *Hub) CreateKey(ctx context.Context, s hubsvc.KeySpec) (hubsvc.Key, string, error) {
	if s.Tenant == "" || s.Kind == tenant.KeyService {
		return hubsvc.Key{}, "", h.errElsewhere()
	}
	var n newKey
	err := h.client.ask(ctx, question{
		method: "POST", path: keysPath, body: newKeyRequest(&s), once: true,
		decode: func(b []byte) (err error) { n, err = decodeNewKey(b); return err },
	})
	if err == nil && n.made.Tenant != s.Tenant {
		return hubsvc.Key{}, "", away(errForm)
	}
	return n.made, n.plain, err
}

// Key returns a key, or NOT_FOUND.
func (h *Hub) Key(ctx context.Context, id tenant.KeyID) (k hubsvc.Key, err error) {
	err = h.client.ask(ctx, question{
		method: "GET", path: keysPath + "/" + url.PathEscape(string(id)),
		decode: func(b []byte) (err error) { k, err = decodeKey(b); return err },
	})
	if err == nil && k.ID != id {
		return hubsvc.Key{}, away(errForm)
	}
	return k, err
}

// TenantKey returns a key of a tenant. Another tenant's is NOT_FOUND.
func (h *Hub) TenantKey(ctx context.Context, t tenant.ID, id tenant.KeyID) (hubsvc.Key, error) {
	k, err := h.Key(ctx, id)
	if err == nil && k.Tenant != t {
		return hubsvc.Key{}, &hubsvc.Error{Code: hubsvc.CodeNotFound, Message: "there is no such key"}
	}
	return k, err
}

const (
	keysInPage = 100
	pagesMax   = 1000
	// Of a whole list. A longer one is an error, and none of it is returned.
	listRowsMax  = 100_000
	listBytesMax = 64 << 20
)

// ListKeys returns the keys of a tenant, revoked ones too; with "" those of all
// tenants of the hub.
func (h *Hub) ListKeys(ctx context.Context, id tenant.ID) ([]hubsvc.Key, error) {
	q := url.Values{}
	if id != "" {
		q.Set("tenant_id", string(id))
	}
	keys, err := allPages(ctx, h, keysPath, q, decodeKeys)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if id != "" && k.Tenant != id {
			return nil, away(errForm)
		}
	}
	return keys, nil
}

// allPages reads a list to its end, within listRowsMax and listBytesMax.
func allPages[T any](ctx context.Context, h *Hub, path string, q url.Values, decode func([]byte) (page[T], error)) ([]T, error) {
	var all []T
	size, seen := 0, map[string]bool{}
	q.Set("limit", strconv.Itoa(keysInPage))
	for range pagesMax {
		var p page[T]
		err := h.client.ask(ctx, question{
			method: "GET", path: path + "?" + q.Encode(), bytesMax: pageBytesMax,
			decode: func(b []byte) (err error) { size += len(b); p, err = decode(b); return err },
		})
		if err != nil {
			return nil, err
		}
		if len(all)+len(p.rows) > listRowsMax || size > listBytesMax || seen[p.next] {
			return nil, away(errList)
		}
		all = append(all, p.rows...)
		if p.next == "" {
			return all, nil
		}
		seen[p.next] = true
		q.Set("cursor", p.next)
	}
	return nil, away(errForm)
}

var errList = errors.New("the hub's list has no end, or is too long")

// RotateKey makes a key in another's place, like CreateKey.
func (h *Hub) RotateKey(ctx context.Context, id tenant.KeyID, grace time.Duration) (hubsvc.Key, string, hubsvc.Key, error) {
	var n newKey
	err := h.client.ask(ctx, question{
		method: "POST", path: keysPath + "/" + url.PathEscape(string(id)) + "/rotate", once: true,
		body:   map[string]int64{"grace_seconds": int64(grace / time.Second)},
		decode: func(b []byte) (err error) { n, err = decodeNewKey(b); return err },
	})
	if err == nil && (n.old.ID != id || n.made.Tenant != n.old.Tenant) {
		err = away(errForm)
	}
	h.memory.observe([]hubsvc.Event{{Kind: hubsvc.EventKeyRotated, KeyID: id}}) // whatever the answer: it may have happened
	return n.made, n.plain, n.old, err
}

// RevokeKey ends a key. Here it ends at once, on other nodes when the event has
// come.
func (h *Hub) RevokeKey(ctx context.Context, id tenant.KeyID) (k hubsvc.Key, err error) {
	err = h.client.ask(ctx, question{
		method: "DELETE", path: keysPath + "/" + url.PathEscape(string(id)),
		decode: func(b []byte) (err error) { k, err = decodeKey(b); return err },
	})
	h.memory.observe([]hubsvc.Event{{Kind: hubsvc.EventKeyRevoked, KeyID: id}})
	if err == nil && k.ID != id {
		return hubsvc.Key{}, away(errForm)
	}
	return k, err
}

// ListAudit returns rows of the hub's audit log about a tenant; without one,
// those of the cluster's own log.
func (h *Hub) ListAudit(ctx context.Context, q hubsvc.AuditQuery) ([]hubsvc.AuditEntry, string, error) {
	if q.Tenant == "" {
		return h.own.ListAudit(ctx, q)
	}
	v := url.Values{"tenant_id": {string(q.Tenant)}}
	for name, text := range map[string]string{"action": q.Action, "cursor": q.Cursor, "since": number(q.From), "until": number(q.To), "limit": number(int64(q.Limit))} {
		if text != "" {
			v.Set(name, text)
		}
	}
	var p page[hubsvc.AuditEntry]
	err := h.client.ask(ctx, question{
		method: "GET", path: "/api/v1/audit?" + v.Encode(), bytesMax: pageBytesMax,
		decode: func(b []byte) (err error) { p, err = decodeAudit(b, q.Tenant); return err },
	})
	return p.rows, p.next, err
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// ListCollectionRecords returns the hub's records of a tenant's collections.
func (h *Hub) ListCollectionRecords(ctx context.Context, id tenant.ID) ([]hubsvc.CollectionRecord, error) {
	return allPages(ctx, h, "/api/internal/vectorizer/user/"+url.PathEscape(string(id))+"/collections", url.Values{},
		func(b []byte) (page[hubsvc.CollectionRecord], error) { return decodeCollections(b, id) })
}

// CollectionRecord returns the record of one collection of a tenant, or NOT_FOUND.
func (h *Hub) CollectionRecord(ctx context.Context, id tenant.ID, number uint64) (hubsvc.CollectionRecord, error) {
	all, err := h.ListCollectionRecords(ctx, id)
	for _, r := range all {
		if r.Collection == number {
			return r, nil
		}
	}
	if err == nil {
		err = &hubsvc.Error{Code: hubsvc.CodeNotFound, Message: "there is no such collection"}
	}
	return hubsvc.CollectionRecord{}, err
}
