package hubsvc

import (
	"encoding/hex"

	"github.com/hivehub/waggle/tenant"
)

// ClusterID is the random identity that a cluster gets at birth.
type ClusterID [16]byte

// String returns the id in hexadecimal.
func (id ClusterID) String() string { return hex.EncodeToString(id[:]) }

// Cluster is the birth record. It never changes.
type Cluster struct {
	ID         ClusterID `msgpack:"id"`
	Partitions uint32    `msgpack:"p"`
	SecretSum  KeyHash   `msgpack:"ss"` // KeyHasher.SecretSum of the cluster's secret
	Created    int64     `msgpack:"t"`  // unix ms
	Index      uint64    `msgpack:"i"`  // log index of the birth
}

// Status says whether a tenant is served.
type Status uint8

// The statuses. A tenant that is being deleted has lost its keys; its record
// goes when its data has gone.
const (
	Active Status = iota + 1
	Suspended
	Deleting
)

// String returns the status's word on the wire.
func (s Status) String() string {
	switch s {
	case Active:
		return "active"
	case Suspended:
		return "suspended"
	case Deleting:
		return "deleting"
	}
	return "unknown"
}

// Tenant is a tenant's record. Tenants are told apart by id; names may repeat.
type Tenant struct {
	ID        tenant.ID `msgpack:"id"`
	Name      string    `msgpack:"n"`
	Plan      string    `msgpack:"pl"`
	Status    Status    `msgpack:"s"`
	Partition uint32    `msgpack:"p"`
	Created   int64     `msgpack:"t"`            // unix ms
	Index     uint64    `msgpack:"i"`            // log index of the creation; orders lists
	PlanIndex uint64    `msgpack:"pi"`           // log index since which it has this plan
	Suspended int64     `msgpack:"su,omitempty"` // unix ms, 0 unless it is suspended
	Deleted   int64     `msgpack:"d,omitempty"`  // unix ms, 0 unless it is being deleted
}

// Key is the record of an access key. The key itself is nowhere: Hash finds
// it, Prefix lets people recognise it. What it points to never changes.
type Key struct {
	ID         tenant.KeyID      `msgpack:"id"`
	Tenant     tenant.ID         `msgpack:"tn"` // "" for an operator key and for a service's
	Operator   bool              `msgpack:"o"`
	Hash       KeyHash           `msgpack:"h"`
	Permission tenant.Permission `msgpack:"pm"` // "" for an operator key and for a service's
	Prefix     string            `msgpack:"px"` // tenant.ShownPrefix of the key
	Test       bool              `msgpack:"ts"`
	Created    int64             `msgpack:"t"` // unix ms
	Revoked    int64             `msgpack:"r"` // unix ms, 0 while the key is good
	Index      uint64            `msgpack:"i"` // log index of the creation; orders lists

	Kind    tenant.KeyKind `msgpack:"kd,omitempty"` // KeyTenant where the record says nothing
	Name    string         `msgpack:"n,omitempty"`  // of a service's key, the service's; of another, whatever
	Scope   *tenant.Scope  `msgpack:"sc,omitempty"`
	Rates   *tenant.Rates  `msgpack:"ra,omitempty"` // nil: none but the tenant's
	Expires int64          `msgpack:"e,omitempty"`  // unix ms, 0: never
	Rotated int64          `msgpack:"ro,omitempty"` // unix ms, 0 unless another has taken its place
	Next    tenant.KeyID   `msgpack:"nx,omitempty"` // that other
}

// defaults completes a record of old.
func (k *Key) defaults() {
	if k.Kind == 0 {
		k.Kind = tenant.KeyTenant
	}
}

// ended returns since when the key is of no use at now, and false while it is.
func (k *Key) ended(now int64) (int64, bool) {
	switch {
	case k.Revoked != 0:
		return k.Revoked, true
	case k.Expires != 0 && k.Expires <= now:
		return k.Expires, true
	}
	return 0, false
}

// Change is what one command did to the records, complete: a holder of copies
// overwrites its own with these.
type Change struct {
	Index   uint64
	Cluster *Cluster
	Plans   []tenant.Plan
	Tenants []Tenant
	Keys    []Key
	Purged  []tenant.ID // the tenant's record and those of its keys are gone
	NoPlans []string    // plans that are gone
	Events  []Event

	Endpoints   []EndpointRecord
	NoEndpoints []tenant.ID // whose record is gone; taken first

	ClusterName string // "" when it was not touched
	Authority   *Authority
	Members     []Member
	Forgotten   []uint32 // members whose record is gone
	Placements  []Placement
}
