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
	Created   int64     `msgpack:"t"`  // unix ms
	Index     uint64    `msgpack:"i"`  // log index of the creation; orders lists
	PlanIndex uint64    `msgpack:"pi"` // log index since which it has this plan
}

// Key is the record of an access key. The key itself is nowhere: Hash finds
// it, Prefix lets people recognise it.
type Key struct {
	ID         tenant.KeyID      `msgpack:"id"`
	Tenant     tenant.ID         `msgpack:"tn"` // "" for an operator key
	Operator   bool              `msgpack:"o"`
	Hash       KeyHash           `msgpack:"h"`
	Permission tenant.Permission `msgpack:"pm"` // "" for an operator key
	Prefix     string            `msgpack:"px"` // tenant.ShownPrefix of the key
	Test       bool              `msgpack:"ts"`
	Created    int64             `msgpack:"t"` // unix ms
	Revoked    int64             `msgpack:"r"` // unix ms, 0 while the key is good
	Index      uint64            `msgpack:"i"` // log index of the creation; orders lists
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

	ClusterName string // "" when it was not touched
	Authority   *Authority
	Members     []Member
	Forgotten   []uint32 // members whose record is gone
	Placements  []Placement
}
