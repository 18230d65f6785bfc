package httpedge

import (
	"net/netip"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// The answers of the hub's API and of /auth. Times of records are in
// milliseconds since 1970; what answers about a key that was sent has them in
// RFC 3339, as the clients of the hub read it.

// tenantJSON is a tenant.
type tenantJSON struct {
	ID          tenant.ID `json:"tenant_id"`
	Name        string    `json:"name"`
	Plan        string    `json:"plan"`
	Status      string    `json:"status"`
	Partition   uint32    `json:"partition"`
	CreatedAt   int64     `json:"created_at"`
	SuspendedAt int64     `json:"suspended_at,omitempty"`
	DeletedAt   int64     `json:"deleted_at,omitempty"`
}

func tenantBody(t hubsvc.Tenant) tenantJSON {
	return tenantJSON{
		ID: t.ID, Name: t.Name, Plan: t.Plan, Status: t.Status.String(), Partition: t.Partition,
		CreatedAt: t.Created, SuspendedAt: t.Suspended, DeletedAt: t.Deleted,
	}
}

// ratesJSON are request rates; -1 is no limit.
type ratesJSON struct {
	Minute int64 `json:"requests_per_minute"`
	Hour   int64 `json:"requests_per_hour"`
	Day    int64 `json:"requests_per_day"`
}

func ratesBody(r tenant.Rates) ratesJSON {
	return ratesJSON{Minute: shownLimit(r.PerMinute), Hour: shownLimit(r.PerHour), Day: shownLimit(r.PerDay)}
}

// shownLimit writes every limit that is none alike.
func shownLimit(n int64) int64 { return max(n, tenant.Unlimited) }

// limitsJSON are the limits of a plan or a tenant; -1 is no limit.
type limitsJSON struct {
	Bytes       int64 `json:"storage_bytes"`
	Points      int64 `json:"vector_count"`
	Collections int64 `json:"collection_count"`
	ratesJSON
	Version uint64 `json:"version"`
}

func limitsBody(l tenant.Limits, r tenant.Rates) limitsJSON {
	return limitsJSON{
		Bytes: shownLimit(l.Bytes), Points: shownLimit(l.Vectors), Collections: shownLimit(l.Collections),
		ratesJSON: ratesBody(r), Version: l.Version,
	}
}

// planJSON is a plan.
type planJSON struct {
	Name string `json:"name"`
	limitsJSON
}

func planBody(p tenant.Plan) planJSON {
	return planJSON{Name: p.Name, limitsJSON: limitsBody(p.Limits, p.Rates.OrUnlimited())}
}

// keyJSON is an access key. Key is there once, when it is made.
type keyJSON struct {
	ID          tenant.KeyID      `json:"key_id"`
	Key         string            `json:"key,omitempty"`
	Prefix      string            `json:"prefix"`
	TenantID    tenant.ID         `json:"tenant_id"`
	Name        string            `json:"name,omitempty"`
	Kind        string            `json:"kind"`
	Permission  tenant.Permission `json:"permission"`
	Operator    bool              `json:"operator,omitempty"`
	Collections []string          `json:"collections"`
	AllowedIPs  []string          `json:"allowed_ips"`
	Rates       *ratesJSON        `json:"rate_limits,omitempty"`
	Test        bool              `json:"is_test,omitempty"`
	CreatedAt   int64             `json:"created_at"`
	ExpiresAt   int64             `json:"expires_at,omitempty"`
	RotatedAt   int64             `json:"rotated_at,omitempty"`
	RotatedTo   tenant.KeyID      `json:"rotated_to,omitempty"`
	RevokedAt   int64             `json:"revoked_at,omitempty"`
}

func keyBody(k hubsvc.Key, plain string) keyJSON {
	b := keyJSON{
		ID: k.ID, Key: plain, Prefix: k.Prefix, TenantID: k.Tenant, Name: k.Name, Kind: k.Kind.String(),
		Permission: k.Permission, Operator: k.Operator, Test: k.Test,
		CreatedAt: k.Created, ExpiresAt: k.Expires, RotatedAt: k.Rotated, RotatedTo: k.Next, RevokedAt: k.Revoked,
	}
	if k.Operator {
		b.Kind = "operator"
	}
	b.Collections, b.AllowedIPs = scopeBody(k.Scope)
	if k.Rates != nil {
		rates := ratesBody(*k.Rates)
		b.Rates = &rates
	}
	return b
}

// scopeBody returns what a key is narrowed to; empty lists narrow nothing.
func scopeBody(s *tenant.Scope) (collections, addresses []string) {
	collections, addresses = []string{}, []string{}
	if s == nil {
		return collections, addresses
	}
	collections = append(collections, s.Collections...)
	for _, p := range s.AllowedIPs {
		addresses = append(addresses, prefixText(p))
	}
	return collections, addresses
}

// prefixText writes a block of one address as that address.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// auditJSON is a row of the audit log.
type auditJSON struct {
	ID        string    `json:"id"`
	Time      int64     `json:"time"`
	TenantID  tenant.ID `json:"tenant_id"`
	Actor     string    `json:"actor"`
	Address   string    `json:"address"`
	RequestID string    `json:"request_id"`
	Action    string    `json:"action"`
	Target    string    `json:"target"`
	Outcome   string    `json:"outcome"`
	Detail    string    `json:"detail"`
	Count     uint32    `json:"count,omitempty"`
	First     int64     `json:"first,omitempty"`
	Last      int64     `json:"last,omitempty"`
	Chain     string    `json:"chain,omitempty"`
}

// eventJSON is a change that whoever caches keys or limits has to know.
type eventJSON struct {
	Version  uint64           `json:"version"`
	Kind     hubsvc.EventKind `json:"kind"`
	TenantID tenant.ID        `json:"tenant_id,omitempty"`
	KeyID    tenant.KeyID     `json:"key_id,omitempty"`
	Plan     string           `json:"plan,omitempty"`
	At       int64            `json:"at"`
}

// collectionJSON is the hub's record of a collection. The id is a string:
// JavaScript has no integers above 2^53.
type collectionJSON struct {
	ID        uint64 `json:"collection_id,string"`
	Name      string `json:"name"`
	CreatedAt int64  `json:"created_at"`
	DeletedAt int64  `json:"deleted_at,omitempty"`
}

func collectionBody(r hubsvc.CollectionRecord) collectionJSON {
	return collectionJSON{ID: r.Collection, Name: r.Name, CreatedAt: r.Created, DeletedAt: r.Deleted}
}

// whoseJSON says whose a key is, and what it is good for.
type whoseJSON struct {
	Valid       bool                `json:"valid"`
	Kind        string              `json:"kind,omitempty"`
	Service     string              `json:"service,omitempty"` // of a service's key, which has no tenant
	TenantID    tenant.ID           `json:"tenant_id"`
	TenantName  string              `json:"tenant_name"`
	KeyID       tenant.KeyID        `json:"key_id"`
	Permissions []tenant.Permission `json:"permissions"`
	Collections []string            `json:"collections"`
	AllowedIPs  []string            `json:"allowed_ips"`
	Rates       *ratesJSON          `json:"rate_limits,omitempty"`
	Plan        string              `json:"plan,omitempty"`
	Limits      *limitsJSON         `json:"limits,omitempty"`
	ExpiresAt   *string             `json:"expires_at"`
	Deprecated  bool                `json:"deprecated,omitempty"`
	Suspended   bool                `json:"suspended,omitempty"`
	Test        bool                `json:"is_test"`
	ValidatedAt string              `json:"validated_at"`
}

func whoseBody(tc tenant.Context) whoseJSON {
	b := whoseJSON{
		Valid: true, TenantID: tc.TenantID, TenantName: tc.TenantName, KeyID: tc.KeyID, Permissions: tc.Permissions,
		ExpiresAt: timeText(tc.ExpiresAt), Deprecated: tc.Deprecated, Suspended: tc.Suspended, Test: tc.IsTest,
		ValidatedAt: tc.ValidatedAt.UTC().Format(time.RFC3339),
	}
	if tc.Service != "" && tc.TenantID == "" {
		b.Kind, b.Service = tenant.KeyService.String(), tc.Service
	}
	b.Collections, b.AllowedIPs = scopeBody(tc.Scope)
	return b
}

// timeText writes a time in RFC 3339, nil for none.
func timeText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(time.RFC3339)
	return &s
}

// invalidJSON says that a key is good for nothing.
type invalidJSON struct {
	Valid bool   `json:"valid"`
	Code  string `json:"code"`
	Error string `json:"error"`
}

// invalidBody puts the refusal of a key into words; ok is false for an error
// that says nothing about the key.
func invalidBody(err error) (b invalidJSON, ok bool) {
	e := asError(err)
	if e.Code != collection.Unauthenticated && e.Code != collection.PermissionDenied {
		return b, false
	}
	return invalidJSON{Code: faultOf(e).word, Error: e.Message}, true
}

// usageJSON is what a tenant has stored.
type usageJSON struct {
	Bytes       uint64 `json:"storage_bytes"`
	Points      uint64 `json:"vector_count"`
	Collections uint64 `json:"collection_count"`
}

func usageBody(u collection.TenantUsage) usageJSON {
	return usageJSON{Bytes: u.Bytes, Points: u.Points, Collections: u.Collections}
}

// shareJSON is one limit and what is used of it.
type shareJSON struct {
	Limit     int64  `json:"limit"`
	Used      uint64 `json:"used"`
	Remaining int64  `json:"remaining"`
}

func shareBody(used uint64, limit int64) shareJSON {
	s := shareJSON{Limit: shownLimit(limit), Used: used, Remaining: tenant.Unlimited}
	if limit >= 0 {
		s.Remaining = limit - int64(min(used, uint64(limit)))
	}
	return s
}
