package hubsvc

import "github.com/hivehub/waggle/tenant"

// Erased is what was erased with a tenant.
type Erased struct {
	Collections uint64 `msgpack:"c"`
	Points      uint64 `msgpack:"p"`
	Bytes       uint64 `msgpack:"b"`
}

// erasureRecord is the certificate of a tenant that is gone. It outlives the
// tenant's own record.
type erasureRecord struct {
	Tenant    tenant.ID `msgpack:"tn"`
	Document  []byte    `msgpack:"d"` // what was signed, byte for byte
	Signature []byte    `msgpack:"s"`
	Index     uint64    `msgpack:"i"`
}

// AuditEntry is one row of the audit log.
type AuditEntry = tenant.AuditEntry

// The outcomes and actions of the audit log.
const (
	OutcomeOK      = "ok"
	OutcomeRefused = "refused"

	ActionBirth          = "cluster.birth"
	ActionMemberState    = "member.state"
	ActionMemberToken    = "member.token"
	ActionMemberJoin     = "member.join"
	ActionTenantCreate   = "tenant.create"
	ActionTenantSuspend  = "tenant.suspend"
	ActionTenantResume   = "tenant.resume"
	ActionTenantPlan     = "tenant.plan"
	ActionTenantDelete   = "tenant.delete"
	ActionTenantPurged   = "tenant.purged"
	ActionPlanPut        = "plan.put"
	ActionPlanDelete     = "plan.delete"
	ActionKeyCreate      = "key.create"
	ActionKeyRotate      = "key.rotate"
	ActionKeyRevoke      = "key.revoke"
	ActionEndpointPut    = "embedding.put"
	ActionEndpointDelete = "embedding.delete"
	ActionUsageGap       = "usage.gap"
	ActionAuthFailure    = tenant.AuditAuthFailure
	ActionAuthSuccess    = tenant.AuditAuthSuccess
	ActionAuditTrimmed   = tenant.AuditTrimmed // says in place of older rows how many have gone
)

// auditPool counts the audit rows of one tenant.
type auditPool struct {
	Rows  uint64 `msgpack:"n"`
	Gone  uint64 `msgpack:"g"` // were dropped
	Until int64  `msgpack:"u"` // time of the last of them
	Chain []byte `msgpack:"h"` // of the newest row
}

// AuthSeen is what an edge saw of attempts to authenticate, alike in
// everything but time.
type AuthSeen struct {
	Tenant    tenant.ID    `msgpack:"tn,omitempty"` // "" when the key told none
	KeyID     tenant.KeyID `msgpack:"k,omitempty"`  // "" likewise
	KeyPrefix string       `msgpack:"p,omitempty"`  // tenant.ShownPrefix
	Address   string       `msgpack:"a,omitempty"`
	Reason    string       `msgpack:"r,omitempty"` // the code of the refusal; "" for a success
	Count     uint32       `msgpack:"c"`
	First     int64        `msgpack:"f"` // unix ms
	Last      int64        `msgpack:"l"`
}

// CollectionRecord is the hub's record of a tenant's collection.
type CollectionRecord struct {
	Tenant     tenant.ID `msgpack:"tn"`
	Collection uint64    `msgpack:"c"`
	Name       string    `msgpack:"n"`
	Created    int64     `msgpack:"t"`           // unix ms
	Deleted    int64     `msgpack:"d,omitempty"` // unix ms, 0 while it is there
}

// collectionCount counts the records of one tenant's deleted collections.
type collectionCount struct {
	Deleted uint64 `msgpack:"d"`
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventKeyCreated      EventKind = "key.created"
	EventKeyRevoked      EventKind = "key.revoked"
	EventKeyRotated      EventKind = "key.rotated" // KeyID is the old key
	EventQuotaChanged    EventKind = "quota.changed"
	EventTenantSuspended EventKind = "tenant.suspended"
	EventTenantResumed   EventKind = "tenant.resumed"
	EventTenantDeleted   EventKind = "tenant.deleted" // and with it all its keys
)

// Event is a change that whoever caches keys or limits has to know.
type Event struct {
	Version uint64       `msgpack:"v"` // 1, 2, 3 and so on
	Kind    EventKind    `msgpack:"k"`
	Tenant  tenant.ID    `msgpack:"tn,omitempty"`
	KeyID   tenant.KeyID `msgpack:"id,omitempty"`
	Plan    string       `msgpack:"p,omitempty"` // without a Tenant: every tenant of the plan
	At      int64        `msgpack:"t"`           // unix ms
}

// nonceRow says until when a service's nonce may not be used again.
type nonceRow struct {
	Until int64 `msgpack:"u"` // unix ms of the log
}

// ledger is what the machine keeps about its own tables.
type ledger struct {
	Time         int64  `msgpack:"t"` // of the last entry; never goes back
	Tenants      uint64 `msgpack:"tn"`
	Nonces       uint64 `msgpack:"n"`
	AuditRows    uint64 `msgpack:"ar"`
	AuditGone    uint64 `msgpack:"ag"`
	AuditUntil   int64  `msgpack:"au"` // time of the last row that has gone
	Event        uint64 `msgpack:"ev"` // version of the last event
	EventFirst   uint64 `msgpack:"ef"` // version of the oldest one kept
	Certificates uint64 `msgpack:"ce"`
	Sweeps       uint64 `msgpack:"sw"` // purged tenants that still have rows
	UsageSources uint64 `msgpack:"us,omitempty"`
	UsageGaps    uint64 `msgpack:"ug,omitempty"` // how often reports of a source were missing

	UsageReporters uint64 `msgpack:"ur,omitempty"`
	UsageClipped   uint64 `msgpack:"uc,omitempty"` // entries that told of more than can be
	UsageSwept     []byte `msgpack:"uw,omitempty"` // key of the source that was looked at last
}
