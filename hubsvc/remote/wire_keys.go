package remote

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// keyWire is the record of a key.
type keyWire struct {
	ID          string     `json:"key_id"`
	Key         string     `json:"key"`
	Prefix      string     `json:"prefix"`
	TenantID    string     `json:"tenant_id"`
	Name        string     `json:"name"`
	Kind        string     `json:"kind"`
	Permission  string     `json:"permission"`
	Collections []string   `json:"collections"`
	AllowedIPs  []string   `json:"allowed_ips"`
	Rates       *ratesWire `json:"rate_limits"`
	Test        bool       `json:"is_test"`
	CreatedAt   int64      `json:"created_at"`
	ExpiresAt   int64      `json:"expires_at"`
	RotatedAt   int64      `json:"rotated_at"`
	RotatedTo   string     `json:"rotated_to"`
	RevokedAt   int64      `json:"revoked_at"`
}

// key makes a record of w, which must be a tenant's.
func (w *keyWire) key() (hubsvc.Key, error) {
	id, err := tenant.ParseID(w.TenantID)
	permission, ok := tenant.ParsePermission(w.Permission)
	if err != nil || !ok || w.ID == "" || len(w.ID) > idBytesMax || len(w.RotatedTo) > idBytesMax || len(w.Name) > nameBytesMax ||
		len(w.Prefix) > len(tenant.ShownPrefix(strings.Repeat("x", tenant.KeyBytesMax))) {
		return hubsvc.Key{}, errForm
	}
	scope, err := tenant.ParseScope(w.Collections, w.AllowedIPs)
	if err != nil {
		return hubsvc.Key{}, errForm
	}
	k := hubsvc.Key{
		ID: tenant.KeyID(w.ID), Tenant: id, Permission: permission, Prefix: w.Prefix, Test: w.Test, Created: w.CreatedAt,
		Revoked: w.RevokedAt, Kind: tenant.KeyTenant, Name: w.Name, Scope: scope, Expires: w.ExpiresAt,
		Rotated: w.RotatedAt, Next: tenant.KeyID(w.RotatedTo),
		Index: uint64(max(w.CreatedAt, 0)), // orders lists
	}
	switch w.Kind {
	case "", "tenant":
	case "mcp":
		k.Kind = tenant.KeyMCP
	default:
		return hubsvc.Key{}, errForm
	}
	if w.Rates != nil {
		rates := w.Rates.rates()
		k.Rates = &rates
	}
	return k, nil
}

func decodeKey(b []byte) (hubsvc.Key, error) {
	var w keyWire
	if err := decodeJSON(b, &w); err != nil {
		return hubsvc.Key{}, err
	}
	return w.key()
}

// newKey is a key that was just made, and the one whose place it takes.
type newKey struct {
	made  hubsvc.Key
	plain string
	old   hubsvc.Key // the zero Key unless it was rotated
}

func decodeNewKey(b []byte) (n newKey, err error) {
	var w struct {
		keyWire
		Old *keyWire `json:"old"`
	}
	if err := decodeJSON(b, &w); err != nil {
		return newKey{}, err
	}
	if n.made, err = w.key(); err != nil {
		return newKey{}, err
	}
	if _, err := tenant.ParseKey(w.Key); err != nil {
		return newKey{}, errForm
	}
	n.plain = w.Key
	if w.Old != nil {
		n.old, err = w.Old.key()
	}
	return n, err
}

// page is a part of a list, and where the next one begins.
type page[T any] struct {
	rows []T
	next string
}

func decodeKeys(b []byte) (page[hubsvc.Key], error) {
	var w struct {
		Keys *[]keyWire `json:"access_keys"`
		Next string     `json:"next_cursor"`
	}
	if err := decodeJSON(b, &w); err != nil {
		return page[hubsvc.Key]{}, err
	}
	if w.Keys == nil || len(w.Next) > nameBytesMax {
		return page[hubsvc.Key]{}, errForm
	}
	p := page[hubsvc.Key]{next: w.Next}
	for i := range *w.Keys {
		k, err := (*w.Keys)[i].key()
		if err != nil {
			return page[hubsvc.Key]{}, err
		}
		p.rows = append(p.rows, k)
	}
	return p, nil
}

// decodeCollections reads the hub's records of a tenant's collections.
func decodeCollections(b []byte, id tenant.ID) (page[hubsvc.CollectionRecord], error) {
	var w struct {
		Collections *[]struct {
			ID        uint64 `json:"collection_id,string"`
			Name      string `json:"name"`
			CreatedAt int64  `json:"created_at"`
			DeletedAt int64  `json:"deleted_at"`
		} `json:"collections"`
		TenantID string `json:"tenant_id"`
		Next     string `json:"next_cursor"`
	}
	if err := decodeJSON(b, &w); err != nil {
		return page[hubsvc.CollectionRecord]{}, err
	}
	if w.Collections == nil || w.TenantID != string(id) || len(w.Next) > nameBytesMax {
		return page[hubsvc.CollectionRecord]{}, errForm
	}
	p := page[hubsvc.CollectionRecord]{next: w.Next}
	for _, c := range *w.Collections {
		p.rows = append(p.rows, hubsvc.CollectionRecord{Tenant: id, Collection: c.ID, Name: c.Name, Created: c.CreatedAt, Deleted: c.DeletedAt})
	}
	return p, nil
}

// auditWire is a row of the audit log.
type auditWire struct {
	ID        string `json:"id"`
	Time      int64  `json:"time"`
	TenantID  string `json:"tenant_id"`
	Actor     string `json:"actor"`
	Address   string `json:"address"`
	RequestID string `json:"request_id"`
	Action    string `json:"action"`
	Target    string `json:"target"`
	Outcome   string `json:"outcome"`
	Detail    string `json:"detail"`
	Count     uint32 `json:"count"`
	First     int64  `json:"first"`
	Last      int64  `json:"last"`
	Chain     string `json:"chain"`
}

// decodeAudit reads rows of a tenant. One of another tenant makes the whole
// answer wrong.
func decodeAudit(b []byte, id tenant.ID) (page[hubsvc.AuditEntry], error) {
	var w struct {
		Entries *[]auditWire `json:"entries"`
		Next    string       `json:"next_cursor"`
	}
	if err := decodeJSON(b, &w); err != nil {
		return page[hubsvc.AuditEntry]{}, err
	}
	if w.Entries == nil || len(w.Next) > nameBytesMax {
		return page[hubsvc.AuditEntry]{}, errForm
	}
	p := page[hubsvc.AuditEntry]{next: w.Next}
	for _, e := range *w.Entries {
		index, ordinal, _ := strings.Cut(e.ID, ".")
		i, err := strconv.ParseUint(index, 10, 64)
		o, err2 := strconv.ParseUint(ordinal, 10, 16)
		chain, err3 := hex.DecodeString(e.Chain)
		if err != nil || err2 != nil || err3 != nil || e.TenantID != string(id) {
			return page[hubsvc.AuditEntry]{}, errForm
		}
		p.rows = append(p.rows, hubsvc.AuditEntry{
			Index: i, Ordinal: uint16(o), Time: e.Time, Tenant: id, Actor: e.Actor, Address: e.Address, RequestID: e.RequestID,
			Action: e.Action, Target: e.Target, Outcome: e.Outcome, Detail: e.Detail, Count: e.Count, First: e.First, Last: e.Last,
			Chain: chain,
		})
	}
	return p, nil
}

// keyRequestWire makes a key.
type keyRequestWire struct {
	TenantID    tenant.ID           `json:"tenant_id"`
	Kind        string              `json:"kind"`
	Name        string              `json:"name,omitempty"`
	Permissions []tenant.Permission `json:"permissions,omitempty"`
	Collections []string            `json:"collections,omitempty"`
	AllowedIPs  []string            `json:"allowed_ips,omitempty"`
	Rates       *ratesWire          `json:"rate_limits,omitempty"`
	ExpiresAt   *string             `json:"expires_at,omitempty"`
	Test        bool                `json:"is_test,omitempty"`
}

func newKeyRequest(s *hubsvc.KeySpec) keyRequestWire {
	q := keyRequestWire{TenantID: s.Tenant, Kind: s.Kind.String(), Name: s.Name, Permissions: s.Permissions, Test: s.Test}
	if s.Kind == 0 {
		q.Kind = tenant.KeyTenant.String()
	}
	if s.Scope != nil {
		q.Collections = s.Scope.Collections
		for _, p := range s.Scope.AllowedIPs {
			q.AllowedIPs = append(q.AllowedIPs, p.String())
		}
	}
	if r := s.Rates; r != nil {
		q.Rates = &ratesWire{&r.PerMinute, &r.PerHour, &r.PerDay}
	}
	if !s.ExpiresAt.IsZero() {
		text := s.ExpiresAt.UTC().Format(time.RFC3339Nano)
		q.ExpiresAt = &text
	}
	return q
}
