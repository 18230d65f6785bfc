package hubsvc

import "github.com/hivehub/waggle/tenant"

// Actor says who asked for a command, for the audit log. The zero Actor is the
// cluster itself.
type Actor struct {
	KeyID     tenant.KeyID `msgpack:"k,omitempty"`
	Service   string       `msgpack:"s,omitempty"`
	Operator  bool         `msgpack:"o,omitempty"`
	Address   string       `msgpack:"a,omitempty"`
	RequestID string       `msgpack:"r,omitempty"`
	Nonce     string       `msgpack:"n,omitempty"` // of a request that Service signed: it takes effect once
}

// String returns "operator", "service:NAME", the key's id, or "system".
func (a Actor) String() string {
	switch {
	case a.Operator:
		return "operator"
	case a.Service != "":
		return "service:" + a.Service
	case a.KeyID != "":
		return string(a.KeyID)
	}
	return "system"
}

// SetTenantStatus suspends an active tenant or resumes a suspended one.
// Repeating it changes nothing.
type SetTenantStatus struct {
	ID     tenant.ID `msgpack:"id"`
	Status Status    `msgpack:"s"` // Active or Suspended
}

// SetTenantPlan moves a tenant to another plan.
type SetTenantPlan struct {
	ID   tenant.ID `msgpack:"id"`
	Plan string    `msgpack:"pl"`
}

// PutPlan makes a plan or changes its limits.
type PutPlan struct {
	Plan tenant.Plan `msgpack:"p"` // the version of its limits is set by apply
}

// DeletePlan removes a plan that no tenant has. Enterprise stays.
type DeletePlan struct {
	Name string `msgpack:"n"`
}

// RotateKey makes a key that may what another may, which works beside it for
// the time of grace. The answer is a Rotated.
type RotateKey struct {
	ID    tenant.KeyID `msgpack:"id"`
	Grace int64        `msgpack:"g"` // ms; 0 revokes the old key at once
	Key   NewKey       `msgpack:"k"`
}

// Rotated is the answer to RotateKey.
type Rotated struct{ New, Old Key }

// RecordAuth writes what an edge saw into the audit log.
type RecordAuth struct {
	Seen []AuthSeen `msgpack:"s"`
}

// RecordCollections tells the hub of collections that were created or deleted.
// What is known of a collection already is not taken back, so that records may
// come twice and in any order.
type RecordCollections struct {
	Records []CollectionRecord `msgpack:"r"`
}

func (*SetTenantStatus) code() byte   { return 13 }
func (*SetTenantPlan) code() byte     { return 14 }
func (*PutPlan) code() byte           { return 15 }
func (*DeletePlan) code() byte        { return 16 }
func (*RotateKey) code() byte         { return 17 }
func (*RecordAuth) code() byte        { return 18 }
func (*RecordCollections) code() byte { return 19 }

func newHubOp(code byte) Op {
	switch code {
	case 13:
		return new(SetTenantStatus)
	case 14:
		return new(SetTenantPlan)
	case 15:
		return new(PutPlan)
	case 16:
		return new(DeletePlan)
	case 17:
		return new(RotateKey)
	case 18:
		return new(RecordAuth)
	case 19:
		return new(RecordCollections)
	case 20:
		return new(SetEndpoint)
	case 21:
		return new(TakeUsage)
	}
	return nil
}
