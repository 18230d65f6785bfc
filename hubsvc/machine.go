package hubsvc

import (
	"errors"
	"fmt"

	"github.com/hivehub/waggle/tenant"
)

// DefaultTenant is the tenant that a cluster is born with.
const DefaultTenant tenant.ID = "default"

// Machine decides the entries of the system group. It is a function of the
// state and the entry alone: no clock, no randomness, no map order.
type Machine struct{ observe func(Change) }

// NewMachine returns a machine that calls observe, which may be nil, with what
// every applied command changed. The call comes from inside Apply, before the
// proposer has its answer: whoever waits for the answer finds the change
// observed. Nothing comes back from observe into the state.
func NewMachine(observe func(Change)) *Machine {
	if observe == nil {
		observe = func(Change) {}
	}
	return &Machine{observe: observe}
}

// Apply decides one entry. It answers with the record that the command made
// or changed: a Cluster, Tenant, Key, Member or what the command's comment
// says. An error, always an *Error, refuses
// the entry, and the caller must roll back what tx has. CodeDataLoss stops the
// group.
func (m *Machine) Apply(tx Txn, index uint64, data []byte) (any, error) {
	cmd, err := DecodeCommand(data)
	if err != nil {
		return nil, &Error{Code: CodeDataLoss, Message: fmt.Sprintf("entry %d", index), Err: err}
	}
	if err := cmd.Op.validate(); err != nil {
		return nil, err
	}
	a := &apply{tx: tx, now: cmd.Time, change: Change{Index: index}}
	answer, err := a.op(cmd.Op)
	if err != nil {
		return nil, asError(err)
	}
	m.observe(a.change)
	return answer, nil
}

// asError keeps an *Error and marks any other, which only the store can have
// returned, as lost data.
func asError(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeDataLoss, Message: "the hub's state cannot be read", Err: err}
}

// apply is the decision of one entry.
type apply struct {
	tx      Txn
	now     int64
	cluster Cluster // the birth record, once there is one
	change  Change
}

func (a *apply) op(op Op) (any, error) {
	if birth, ok := op.(*Birth); ok {
		return a.birth(birth)
	}
	cluster, born, err := get[Cluster](a.tx, []byte{tagCluster})
	if err != nil {
		return nil, err
	}
	if !born {
		return nil, errUnborn
	}
	a.cluster = cluster
	switch op := op.(type) {
	case *CreateTenant:
		return a.createTenant(op)
	case *DeleteTenant:
		return a.deleteTenant(op.ID)
	case *TenantPurged:
		return a.tenantPurged(op.ID)
	case *CreateKey:
		return a.createKey(op)
	case *RevokeKey:
		return a.revokeKey(op.ID)
	}
	return a.clusterOp(op)
}

func (a *apply) clusterOp(op Op) (any, error) {
	switch op := op.(type) {
	case *NameMember:
		return a.nameMember(op)
	case *SetMemberAddress:
		return a.setMemberAddress(op)
	case *SetMemberState:
		return a.setMemberState(op)
	case *CreateJoinToken:
		return a.createJoinToken(op)
	case *JoinMember:
		return a.joinMember(op)
	case *SetPlacements:
		return a.setPlacements(op)
	}
	panic(fmt.Sprintf("BUG: hub op %T has no apply", op))
}

func (a *apply) birth(op *Birth) (any, error) {
	if err := a.mustBeFree([]byte{tagCluster}, "the cluster is already born"); err != nil {
		return nil, err
	}
	cluster := Cluster{
		ID: op.ClusterID, Partitions: op.Partitions, SecretSum: op.SecretSum,
		Created: a.now, Index: a.change.Index,
	}
	if err := a.tx.Put(Bucket, []byte{tagCluster}, encodeRecord(cluster)); err != nil {
		return nil, err
	}
	a.cluster, a.change.Cluster = cluster, &cluster
	if err := a.adopt(op.Authority); err != nil {
		return nil, err
	}
	for _, p := range tenant.Plans() {
		p.Limits.Version = a.change.Index
		if err := a.tx.Put(Bucket, recordKey(tagPlan, p.Name), encodeRecord(p)); err != nil {
			return nil, err
		}
		a.change.Plans = append(a.change.Plans, p)
	}
	if err := a.putNewKey(Key{Operator: true}, op.OperatorKey); err != nil {
		return nil, err
	}
	first := &CreateTenant{ID: DefaultTenant, Name: string(DefaultTenant), Plan: tenant.PlanEnterprise}
	if _, err := a.createTenant(first); err != nil {
		return nil, err
	}
	if err := a.putNewKey(Key{Tenant: DefaultTenant, Permission: tenant.Admin}, op.TenantKey); err != nil {
		return nil, err
	}
	return cluster, nil
}

func (a *apply) createTenant(op *CreateTenant) (any, error) {
	if _, ok, err := get[tenant.Plan](a.tx, recordKey(tagPlan, op.Plan)); err != nil {
		return nil, err
	} else if !ok {
		return nil, errorf(CodeInvalidRequest, "there is no plan %q", op.Plan)
	}
	if err := a.mustBeFree(recordKey(tagTenant, op.ID), "tenant %s already exists", op.ID); err != nil {
		return nil, err
	}
	t := Tenant{
		ID: op.ID, Name: op.Name, Plan: op.Plan, Status: Active,
		Partition: op.ID.Partition(a.cluster.Partitions),
		Created:   a.now, Index: a.change.Index, PlanIndex: a.change.Index,
	}
	return t, a.putTenant(t)
}

func (a *apply) deleteTenant(id tenant.ID) (any, error) {
	t, err := a.tenant(id)
	if err != nil || t.Status == Deleting {
		return t, err
	}
	keys, err := keysOf(a.tx, id)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := a.revoke(&k); err != nil {
			return nil, err
		}
	}
	t.Status = Deleting
	return t, a.putTenant(t)
}

func (a *apply) tenantPurged(id tenant.ID) (any, error) {
	t, err := a.tenant(id)
	if err != nil {
		return nil, err
	}
	if t.Status != Deleting {
		return nil, errorf(CodeFailedPrecondition, "tenant %s is not being deleted", id)
	}
	keys, err := keysOf(a.tx, id)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := a.dropKey(k); err != nil {
			return nil, err
		}
	}
	a.change.Purged = append(a.change.Purged, id)
	return t, a.tx.Delete(Bucket, recordKey(tagTenant, id))
}

func (a *apply) createKey(op *CreateKey) (any, error) {
	t, err := a.tenant(op.Tenant)
	if err != nil {
		return nil, err
	}
	if t.Status == Deleting {
		return nil, errorf(CodeFailedPrecondition, "tenant %s is being deleted", op.Tenant)
	}
	if err := a.makeRoom(op.Tenant); err != nil {
		return nil, err
	}
	if err := a.putNewKey(Key{Tenant: op.Tenant, Permission: op.Permission}, op.Key); err != nil {
		return nil, err
	}
	return a.change.Keys[len(a.change.Keys)-1], nil
}

// makeRoom keeps a tenant's key records at KeysPerTenantMax: the key revoked
// first is forgotten first, a good key never.
func (a *apply) makeRoom(t tenant.ID) error {
	ids, err := keyIDsOf(a.tx, t)
	if err != nil || len(ids) < KeysPerTenantMax {
		return err
	}
	keys, err := keysOf(a.tx, t)
	if err != nil {
		return err
	}
	oldest := -1
	for i, k := range keys {
		if k.Revoked != 0 && (oldest < 0 || k.Revoked < keys[oldest].Revoked) {
			oldest = i
		}
	}
	if oldest < 0 {
		return errorf(CodeQuotaExceeded, "tenant %s has %d keys, the most it can have", t, len(keys))
	}
	return a.dropKey(keys[oldest])
}

func (a *apply) revokeKey(id tenant.KeyID) (any, error) {
	k, ok, err := get[Key](a.tx, recordKey(tagKey, id))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errorf(CodeNotFound, "there is no key %s", id)
	}
	if k.Operator {
		return nil, errorf(CodeFailedPrecondition, "key %s is the only operator key", id)
	}
	if err := a.revoke(&k); err != nil {
		return nil, err
	}
	return k, nil
}
