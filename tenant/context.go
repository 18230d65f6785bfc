package tenant

import "time"

// ID names a tenant: 1 to 63 bytes of [a-z0-9_-], beginning with a letter or digit.
type ID string

// KeyID names an access key; it is public, the key itself is not.
type KeyID string

// Context says on whose behalf a request runs. It is made once, at the edge,
// from a validated credential, travels with every message, and no storage or
// grain operation can be called without a valid one. The zero Context is
// invalid.
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
}

// Valid reports whether c was made from a validated credential of a tenant.
func (c Context) Valid() bool { return c.TenantID != "" && !c.ValidatedAt.IsZero() }

// May reports whether the key behind c is allowed to do op.
func (c Context) May(op Operation) bool {
	if op == OpOperator {
		return c.IsOperator
	}
	for _, p := range c.Permissions {
		if Allowed(p, op) {
			return true
		}
	}
	return false
}

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
