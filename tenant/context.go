package tenant

import (
	"math/rand/v2"
	"time"
)

// ID names a tenant: 1 to 63 bytes of [a-z0-9_-], beginning with a letter or digit.
type ID string

// KeyID names an access key; it is public, the key itself is not.
type KeyID string

// Context says on whose behalf a request runs. It is made once, at the edge,
// from a validated credential, travels with every message, and no storage or
// grain operation can be called without a valid one. The zero Context is
// invalid. What it points to is shared and never changes.
type Context struct {
	TenantID    ID
	TenantName  string
	KeyID       KeyID
	Permissions []Permission
	Limits      Limits
	IsTest      bool
	IsOperator  bool
	RequestID   string
	ValidatedAt time.Time

	Suspended  bool      // the tenant is: see May
	Service    string    // name of the service that acts, "" for a key of the tenant
	Nonce      string    // of a signed request that changes something; apply records it
	Claim      uint64    // with a Nonce: who uses it; see NewClaim
	Scope      *Scope    // what the key is narrowed to; nil: nothing
	Deprecated bool      // the key has been rotated, and works until ExpiresAt
	ExpiresAt  time.Time // of the key; zero: never
	Stale      bool      // the hub did not answer lately: see MayDestroy
	HubIndex   uint64    // up to where the hub's log was known to whoever made the context

	// The rates of the tenant's plan, and what the key is narrowed to beside them;
	// nil: none. They do not travel: each node knows them by itself.
	Rates    *Rates `msgpack:"-"`
	KeyRates *Rates `msgpack:"-"`
}

// NewClaim returns what tells one request from every other, also from one that
// repeats it byte for byte: the entries that one request makes, and what a node
// tries again by itself, share it. It is never 0.
func NewClaim() uint64 { return rand.Uint64() | 1 }

// Valid reports whether c was made from a validated credential of a tenant.
func (c Context) Valid() bool { return c.TenantID != "" && !c.ValidatedAt.IsZero() }

// May reports whether the key behind c is allowed to do op. In a suspended
// tenant an ADMIN may read its usage and export its data, and that is all.
func (c Context) May(op Operation) bool {
	switch op {
	case OpOperator:
		return c.IsOperator
	case OpService:
		return c.IsOperator || c.Service != "" && c.TenantID == ""
	case OpSelf:
		if c.IsOperator || c.Service != "" {
			return true
		}
	case OpUsage:
		if c.IsOperator {
			return true
		}
	}
	if c.Suspended && op != OpOwnUsage && op != OpUsage && op != OpDownload {
		return op == OpPublic
	}
	for _, p := range c.Permissions {
		if Allowed(p, op) && (!c.Suspended || p == Admin) {
			return true
		}
	}
	return false
}

// MayDestroy reports whether what c asks for may be irreversible: a hub that is
// away could have ended the key long ago.
func (c Context) MayDestroy() bool { return !c.Stale }

// MayCollection reports whether the key is not narrowed to other collections
// than the one of this name. It says nothing about whether there is one.
func (c Context) MayCollection(name string) bool { return c.Scope.AllowsCollection(name) }

// Unlimited is the value of a limit that does not exist. A limit of 0 allows nothing.
const Unlimited int64 = -1

// Limits is what a tenant may use. Version orders two answers of the hub; the
// limits travel in every log entry and are enforced where the entry is applied.
// A negative number is no limit, 0 allows nothing.
type Limits struct {
	Version     uint64 `msgpack:"v"`
	Vectors     int64  `msgpack:"n"` // points
	Bytes       int64  `msgpack:"b"` // stored record bytes
	Collections int64  `msgpack:"c"`
}
