package collection

import (
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

// Erasure is what was erased of a tenant that is gone.
type Erasure struct {
	Collections uint64
	Points      uint64
	Bytes       uint64 // length of the points' records
}

// Erased returns what DropTenant has erased of a tenant so far.
func Erased(r Reader, t tenant.ID) (Erasure, error) {
	v, err := r.Get(BucketCounters, tenantKey(rowErased, t, ""))
	if v == nil || err != nil {
		return Erasure{}, err
	}
	d := decoder{b: v}
	e := Erasure{Collections: d.u64(), Points: d.u64(), Bytes: d.u64()}
	if !d.done() {
		return Erasure{}, corrupt("erased", v)
	}
	return e, nil
}

// countErased adds what the tenant's counters lost in this entry.
func (a *applier) countErased(before TenantUsage) error {
	if before.Collections == a.usage.Collections {
		return nil
	}
	e, err := Erased(a.tx, a.cmd.Tenant)
	if err != nil {
		return err
	}
	v := binary.LittleEndian.AppendUint64(make([]byte, 0, 24), e.Collections+before.Collections-a.usage.Collections)
	v = binary.LittleEndian.AppendUint64(v, e.Points+before.Points-a.usage.Points)
	v = binary.LittleEndian.AppendUint64(v, e.Bytes+before.Bytes-a.usage.Bytes)
	return a.tx.Put(BucketCounters, tenantKey(rowErased, a.cmd.Tenant, ""), v)
}
