package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// The hub's answers. What is not of these forms is an error of the hub. Members
// that are not known are skipped; those without which an answer means nothing
// must be there.

const (
	idBytesMax   = 128 // of a key's id
	nameBytesMax = 512
)

var errForm = errors.New("the answer is not of the form that the hub's API has")

// decodeJSON decodes one JSON object and nothing behind it.
func decodeJSON(b []byte, v any) error {
	if b = bytes.TrimSpace(b); len(b) == 0 || b[0] != '{' {
		return errForm
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errForm
	}
	return nil
}

// ratesWire are request rates; absent is no limit.
type ratesWire struct {
	Minute *int64 `json:"requests_per_minute"`
	Hour   *int64 `json:"requests_per_hour"`
	Day    *int64 `json:"requests_per_day"`
}

func (r ratesWire) rates() tenant.Rates {
	return tenant.Rates{PerMinute: limit(r.Minute), PerHour: limit(r.Hour), PerDay: limit(r.Day)}
}

func limit(n *int64) int64 {
	if n == nil || *n < 0 {
		return tenant.Unlimited
	}
	return *n
}

// someRates is nil for rates that are no limit.
func someRates(r tenant.Rates) *tenant.Rates {
	if r == (*tenant.Rates)(nil).OrUnlimited() {
		return nil
	}
	return &r
}

// limitsWire are a tenant's limits; absent is no limit.
type limitsWire struct {
	Bytes       *int64 `json:"storage_bytes"`
	Points      *int64 `json:"vector_count"`
	Collections *int64 `json:"collection_count"`
	ratesWire
	Version uint64 `json:"version"`
}

func (l *limitsWire) limits() tenant.Limits {
	return tenant.Limits{Version: l.Version, Bytes: limit(l.Bytes), Vectors: limit(l.Points), Collections: limit(l.Collections)}
}

// whoseWire says whose a key is.
type whoseWire struct {
	Valid       *bool       `json:"valid"`
	Code        string      `json:"code"` // why it is not
	Kind        string      `json:"kind"`
	Service     string      `json:"service"`
	Plan        string      `json:"plan"`
	TenantID    string      `json:"tenant_id"`
	TenantName  string      `json:"tenant_name"`
	KeyID       string      `json:"key_id"`
	Permissions []string    `json:"permissions"`
	Collections []string    `json:"collections"`
	AllowedIPs  []string    `json:"allowed_ips"`
	Rates       *ratesWire  `json:"rate_limits"`
	Limits      *limitsWire `json:"limits"`
	ExpiresAt   *wireTime   `json:"expires_at"`
	Deprecated  bool        `json:"deprecated"`
	Suspended   bool        `json:"suspended"`
	Test        bool        `json:"is_test"`
}

// wireTime is a time in RFC 3339.
type wireTime struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *wireTime) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, s)
	t.Time = at.UTC()
	return err
}

// whose is what the hub says of a key: a context, or the refusal.
type whose struct {
	tc      tenant.Context
	plan    string // "" when the hub does not say
	refusal *hubsvc.Error
}

// The answers about a key that is not good.
var (
	errMissing   = &hubsvc.Error{Code: hubsvc.CodeAuthMissing, Message: "no access key: send Authorization: Bearer KEY, X-API-Key or api-key"}
	errKeyForm   = &hubsvc.Error{Code: hubsvc.CodeAuthInvalidFormat, Message: "the access key is malformed or mistyped"}
	errKey       = &hubsvc.Error{Code: hubsvc.CodeAuthInvalidKey, Message: "the access key is not valid"}
	errExpired   = &hubsvc.Error{Code: hubsvc.CodeAuthKeyExpired, Message: "the access key has expired"}
	errSuspended = &hubsvc.Error{Code: hubsvc.CodeTenantSuspended, Message: "the tenant is suspended"}
	errUnknown   = &hubsvc.Error{Code: hubsvc.CodeForbidden, Message: "the access key is of a kind, or has a permission, that this version of Waggle does not know"}
	errNoTenant  = &hubsvc.Error{Code: hubsvc.CodeNotFound, Message: "there is no such tenant"}
)

// decodeWhose reads the answer about a key, which was given at now.
func decodeWhose(b []byte, now time.Time) (whose, error) {
	var w whoseWire
	if err := decodeJSON(b, &w); err != nil {
		return whose{}, err
	}
	if w.Valid == nil {
		return whose{}, errForm
	}
	if !*w.Valid {
		return whose{refusal: refusalOf(w.Code)}, nil
	}
	if w.KeyID == "" || len(w.KeyID) > idBytesMax || len(w.TenantName) > nameBytesMax || len(w.Plan) > nameBytesMax {
		return whose{}, errForm
	}
	scope, err := tenant.ParseScope(w.Collections, w.AllowedIPs)
	if err != nil {
		return whose{}, fmt.Errorf("%w: %w", errForm, err)
	}
	var a whose
	a.tc = tenant.Context{
		KeyID: tenant.KeyID(w.KeyID), Scope: scope, Deprecated: w.Deprecated, Suspended: w.Suspended,
		IsTest: w.Test, ValidatedAt: now,
	}
	if w.ExpiresAt != nil {
		a.tc.ExpiresAt = w.ExpiresAt.Time
	}
	err = w.complete(&a)
	return a, err
}

// complete adds whose the key is: a service's, or a tenant's and what it may. A
// key of a later version, with words that are not known here, is refused: what
// it grants is not known, and nobody else is concerned.
func (w *whoseWire) complete(a *whose) error {
	switch w.Kind {
	case "", "tenant", "mcp":
	case "service":
		if w.Service == "" || len(w.Service) > nameBytesMax || w.TenantID != "" {
			return errForm
		}
		a.tc.Service = w.Service
		return nil
	default:
		*a = whose{refusal: errUnknown}
		return nil
	}
	id, err := tenant.ParseID(w.TenantID)
	if err != nil || w.Service != "" || len(w.Permissions) == 0 || len(w.Permissions) > permissionsMax {
		return errForm
	}
	a.tc.TenantID, a.tc.TenantName = id, w.TenantName
	for _, s := range w.Permissions {
		p, ok := tenant.ParsePermission(s)
		if !ok {
			*a = whose{refusal: errUnknown}
			return nil
		}
		a.tc.Permissions = append(a.tc.Permissions, p)
	}
	a.plan = w.Plan
	w.completeLimits(&a.tc)
	return nil
}

// completeLimits adds the tenant's limits and rates, and the key's own rates:
// where the key has none, the hub says the tenant's again.
func (w *whoseWire) completeLimits(tc *tenant.Context) {
	if w.Limits != nil {
		tc.Limits = w.Limits.limits()
		tc.Rates = someRates(w.Limits.rates())
	}
	if w.Rates != nil {
		if rates := w.Rates.rates(); rates != tc.Rates.OrUnlimited() {
			tc.KeyRates = &rates
		}
	}
}

const permissionsMax = 8

// refusalOf puts the hub's word for why a key is not good into ours.
func refusalOf(code string) *hubsvc.Error {
	switch hubsvc.Code(code) {
	case hubsvc.CodeAuthKeyExpired:
		return errExpired
	case hubsvc.CodeTenantSuspended:
		return errSuspended
	}
	return errKey
}

// quotaWire is what a tenant may use.
type quotaWire struct {
	TenantID   string  `json:"tenant_id"`
	TenantName string  `json:"tenant_name"`
	Status     string  `json:"status"`
	Plan       *string `json:"plan"`
	limitsWire
}

// decodeQuota reads the limits of a tenant. An answer about another one is none.
func decodeQuota(b []byte, id tenant.ID) (hubsvc.Quota, error) {
	var w quotaWire
	if err := decodeJSON(b, &w); err != nil {
		return hubsvc.Quota{}, err
	}
	suspended := w.Status == hubsvc.Suspended.String()
	if w.TenantID != string(id) || w.Plan == nil || len(*w.Plan) > nameBytesMax || len(w.TenantName) > nameBytesMax ||
		!suspended && w.Status != "" && w.Status != hubsvc.Active.String() {
		return hubsvc.Quota{}, errForm
	}
	return hubsvc.Quota{
		Tenant: id, Name: w.TenantName, Suspended: suspended, Plan: *w.Plan, Limits: w.limits(), Rates: w.rates(),
	}, nil
}

// eventsWire is a page of the hub's events.
type eventsWire struct {
	Events []struct {
		Version  uint64 `json:"version"`
		Kind     string `json:"kind"`
		TenantID string `json:"tenant_id"`
		KeyID    string `json:"key_id"`
		Plan     string `json:"plan"`
		At       int64  `json:"at"`
	} `json:"events"`
	Last  *uint64 `json:"last"`
	Reset *bool   `json:"reset"`
}

// eventPage is what happened after a version.
type eventPage struct {
	events []hubsvc.Event
	last   uint64
	reset  bool
}

// decodeEvents reads the events behind after. They must be in order and end
// where the page says, or some could be missed.
func decodeEvents(b []byte, after uint64) (eventPage, error) {
	var w eventsWire
	if err := decodeJSON(b, &w); err != nil {
		return eventPage{}, err
	}
	if w.Last == nil || w.Reset == nil || len(w.Events) > hubsvc.EventsPageMax {
		return eventPage{}, errForm
	}
	p := eventPage{last: *w.Last, reset: *w.Reset}
	known := after
	if p.reset {
		known = 0
	}
	for _, e := range w.Events {
		if e.Version <= known || len(e.Kind) > nameBytesMax || len(e.KeyID) > idBytesMax || len(e.Plan) > nameBytesMax {
			return eventPage{}, errForm
		}
		known = e.Version
		id := tenant.ID(e.TenantID)
		if _, err := tenant.ParseID(e.TenantID); err != nil && e.TenantID != "" {
			return eventPage{}, errForm
		}
		p.events = append(p.events, hubsvc.Event{
			Version: e.Version, Kind: hubsvc.EventKind(e.Kind), Tenant: id, KeyID: tenant.KeyID(e.KeyID), Plan: e.Plan, At: e.At,
		})
	}
	if len(p.events) > 0 && p.last != known || len(p.events) == 0 && !p.reset && p.last != after {
		return eventPage{}, errForm
	}
	return p, nil
}

// decodeRefusal reads why the hub does not do what it was asked for.
func decodeRefusal(status int, b []byte) (hubsvc.Code, string, error) {
	var w struct {
		Error string `json:"error"`
		Code  string `json:"code"`
	}
	if err := decodeJSON(b, &w); err != nil {
		return "", "", err
	}
	if w.Error == "" || len(w.Error) > nameBytesMax*4 {
		return "", "", errForm
	}
	switch code := hubsvc.Code(w.Code); code {
	case hubsvc.CodeAlreadyExists, hubsvc.CodeFailedPrecondition, hubsvc.CodeQuotaExceeded, hubsvc.CodeNonceReplayed:
		return code, w.Error, nil
	}
	switch status {
	case http.StatusNotFound:
		if w.Code != string(hubsvc.CodeNotFound) {
			return "", "", errForm // a page that is not there says nothing about a tenant
		}
		return hubsvc.CodeNotFound, w.Error, nil
	case http.StatusConflict, http.StatusPreconditionFailed:
		return hubsvc.CodeFailedPrecondition, w.Error, nil
	}
	return hubsvc.CodeInvalidRequest, w.Error, nil
}
