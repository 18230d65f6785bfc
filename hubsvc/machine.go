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
	if err := cmd.validate(); err != nil {
		return nil, err
	}
	a := &apply{tx: tx, actor: cmd.Actor, change: Change{Index: index}}
	answer, err := a.entry(cmd)
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
	actor   Actor
	now     int64   // of the log: never before that of an earlier entry
	cluster Cluster // the birth record, once there is one
	ledger  ledger
	rows    uint16 // of the audit log, written by this entry
	change  Change
}

// entry decides a command and does the housekeeping around it.
func (a *apply) entry(c Command) (any, error) {
	l, err := ledgerOf(a.tx)
	if err != nil {
		return nil, err
	}
	l.Time = max(l.Time, c.Time)
	a.ledger, a.now = l, l.Time
	if err := a.consumeNonce(); err != nil {
		return nil, err
	}
	answer, err := a.op(c.Op)
	if err != nil {
		return nil, err
	}
	if err := a.sweep(); err != nil {
		return nil, err
	}
	return answer, a.tx.Put(Bucket, []byte{tagLedger}, encodeRecord(a.ledger))
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
	if err := a.actorMayStill(); err != nil {
		return nil, err
	}
	switch op := op.(type) {
	case *CreateTenant:
		return a.createTenant(op)
	case *DeleteTenant:
		return a.deleteTenant(op.ID)
	case *TenantPurged:
		return a.tenantPurged(op)
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
	return a.hubOp(op)
}

func (a *apply) hubOp(op Op) (any, error) {
	switch op := op.(type) {
	case *SetTenantStatus:
		return a.setTenantStatus(op)
	case *SetTenantPlan:
		return a.setTenantPlan(op)
	case *PutPlan:
		return a.putPlan(op)
	case *DeletePlan:
		return a.deletePlan(op.Name)
	case *RotateKey:
		return a.rotateKey(op)
	case *RecordAuth:
		return a.recordAuth(op)
	case *RecordCollections:
		return a.recordCollections(op)
	case *SetEndpoint:
		return a.setEndpoint(op)
	case *TakeUsage:
		return a.takeUsage(op)
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
	if err := a.audit("", ActionBirth, cluster.ID.String(), ""); err != nil {
		return nil, err
	}
	if err := a.putNewKey(Key{Operator: true, Kind: tenant.KeyTenant}, op.OperatorKey); err != nil {
		return nil, err
	}
	first := &CreateTenant{ID: DefaultTenant, Name: string(DefaultTenant), Plan: tenant.PlanEnterprise}
	if _, err := a.createTenant(first); err != nil {
		return nil, err
	}
	if err := a.putNewKey(Key{Tenant: DefaultTenant, Permission: tenant.Admin, Kind: tenant.KeyTenant}, op.TenantKey); err != nil {
		return nil, err
	}
	return cluster, nil
}
