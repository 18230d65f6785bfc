package hubsvc

import "github.com/hivehub/waggle/tenant"

// The decisions about tenants and plans.

func (a *apply) createTenant(op *CreateTenant) (any, error) {
	if err := a.mustHavePlan(op.Plan); err != nil {
		return nil, err
	}
	if err := a.mustBeFree(recordKey(tagTenant, op.ID), "tenant %s already exists", op.ID); err != nil {
		return nil, err
	}
	if err := a.mustBeFree(recordKey(tagSweep, op.ID), "tenant %s is still being forgotten", op.ID); err != nil {
		return nil, err
	}
	if a.ledger.Tenants >= TenantsMax {
		return nil, errorf(CodeQuotaExceeded, "there are %d tenants, the most there can be", a.ledger.Tenants)
	}
	t := Tenant{
		ID: op.ID, Name: op.Name, Plan: op.Plan, Status: Active,
		Partition: op.ID.Partition(a.cluster.Partitions),
		Created:   a.now, Index: a.change.Index, PlanIndex: a.change.Index,
	}
	if op.Partition != nil {
		if t.Partition = *op.Partition; t.Partition >= a.cluster.Partitions {
			return nil, errorf(CodeInvalidRequest, "there is no partition %d; there are %d", t.Partition, a.cluster.Partitions)
		}
	}
	if err := a.tx.Delete(Bucket, recordKey(tagUsageTenant, op.ID)); err != nil { // of an earlier one of this id
		return nil, err
	}
	a.ledger.Tenants++
	if err := a.audit(t.ID, ActionTenantCreate, string(t.ID), "plan "+t.Plan); err != nil {
		return nil, err
	}
	return t, a.putTenant(t)
}

func (a *apply) setTenantStatus(op *SetTenantStatus) (any, error) {
	t, err := a.tenant(op.ID)
	if err != nil || t.Status == op.Status {
		return t, err
	}
	if t.Status == Deleting {
		return nil, errBeingDeleted(t.ID)
	}
	action, kind := ActionTenantResume, EventTenantResumed
	t.Suspended = 0
	if t.Status = op.Status; op.Status == Suspended {
		action, kind = ActionTenantSuspend, EventTenantSuspended
		t.Suspended = max(a.now, 1)
	}
	if err := a.note(Event{Kind: kind, Tenant: t.ID}, action, string(t.ID), ""); err != nil {
		return nil, err
	}
	return t, a.putTenant(t)
}

func (a *apply) setTenantPlan(op *SetTenantPlan) (any, error) {
	t, err := a.tenant(op.ID)
	if err != nil || t.Plan == op.Plan {
		return t, err
	}
	if t.Status == Deleting {
		return nil, errBeingDeleted(t.ID)
	}
	if err := a.mustHavePlan(op.Plan); err != nil {
		return nil, err
	}
	detail := "from " + t.Plan + " to " + op.Plan
	t.Plan, t.PlanIndex = op.Plan, a.change.Index
	if err := a.note(Event{Kind: EventQuotaChanged, Tenant: t.ID, Plan: t.Plan}, ActionTenantPlan, string(t.ID), detail); err != nil {
		return nil, err
	}
	return t, a.putTenant(t)
}

func (a *apply) mustHavePlan(name string) error {
	value, err := a.tx.Get(Bucket, planKey(name))
	if err == nil && value == nil {
		err = errorf(CodeInvalidRequest, "there is no plan %q", name)
	}
	return err
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
	if err := a.dropEndpoint(id); err != nil {
		return nil, err
	}
	t.Status, t.Deleted = Deleting, max(a.now, 1)
	if err := a.note(Event{Kind: EventTenantDeleted, Tenant: id}, ActionTenantDelete, string(id), ""); err != nil {
		return nil, err
	}
	return t, a.putTenant(t)
}

func (a *apply) tenantPurged(op *TenantPurged) (any, error) {
	t, err := a.tenant(op.ID)
	if err != nil {
		return nil, err
	}
	if t.Status != Deleting {
		return nil, errorf(CodeFailedPrecondition, "tenant %s is not being deleted", op.ID)
	}
	keys, err := keysOf(a.tx, op.ID)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := a.dropKey(k); err != nil {
			return nil, err
		}
	}
	if err := a.sweepCollections(op.ID, sweptRowsPurge); err != nil {
		return nil, err
	}
	if err := a.keepCertificate(op); err != nil {
		return nil, err
	}
	if err := a.closeUsage(op.ID, len(op.Document) > 0); err != nil {
		return nil, err
	}
	if err := a.audit(op.ID, ActionTenantPurged, string(op.ID), ""); err != nil {
		return nil, err
	}
	a.ledger.Tenants--
	a.change.Purged = append(a.change.Purged, op.ID)
	return t, a.tx.Delete(Bucket, recordKey(tagTenant, op.ID))
}

// keepCertificate stores the certificate of erasure; past the limit the oldest goes.
func (a *apply) keepCertificate(op *TenantPurged) error {
	if len(op.Document) == 0 {
		return nil
	}
	key := recordKey(tagErasure, op.ID)
	if old, ok, err := get[erasureRecord](a.tx, key); err != nil {
		return err
	} else if ok { // of an earlier tenant of this id
		if err := a.dropCertificate(old.Tenant, old.Index); err != nil {
			return err
		}
	}
	if a.ledger.Certificates >= CertificatesMax {
		keys, err := firstKeys(a.tx, []byte{tagErasureOrder}, 1)
		if err != nil {
			return err
		}
		for _, order := range keys {
			id, err := a.tx.Get(Bucket, order)
			if err != nil {
				return err
			}
			if err := a.dropCertificate(tenant.ID(id), index64(order[1:])); err != nil {
				return err
			}
			if err := a.tx.Delete(Bucket, recordKey(tagUsageTenant, tenant.ID(id))); err != nil {
				return err
			}
		}
	}
	a.ledger.Certificates++
	r := erasureRecord{Tenant: op.ID, Document: op.Document, Signature: op.Signature, Index: a.change.Index}
	if err := a.tx.Put(Bucket, be64([]byte{tagErasureOrder}, r.Index), []byte(r.Tenant)); err != nil {
		return err
	}
	return a.tx.Put(Bucket, key, encodeRecord(r))
}

func (a *apply) dropCertificate(id tenant.ID, index uint64) error {
	a.ledger.Certificates--
	if err := a.tx.Delete(Bucket, be64([]byte{tagErasureOrder}, index)); err != nil {
		return err
	}
	return a.tx.Delete(Bucket, recordKey(tagErasure, id))
}

func (a *apply) putPlan(op *PutPlan) (any, error) {
	p := op.Plan
	old, ok, err := get[tenant.Plan](a.tx, planKey(p.Name))
	if err != nil {
		return nil, err
	}
	p.Limits.Version = old.Limits.Version
	if ok && p.Limits == old.Limits && p.Rates.OrUnlimited() == old.Rates.OrUnlimited() {
		return old, nil
	}
	if !ok {
		plans, err := list[tenant.Plan](a.tx, tagPlan)
		if err != nil {
			return nil, err
		}
		if len(plans) >= PlansMax {
			return nil, errorf(CodeQuotaExceeded, "there are %d plans, the most there can be", len(plans))
		}
	}
	p.Limits.Version = a.change.Index
	a.change.Plans = append(a.change.Plans, p)
	if ok {
		if err := a.event(Event{Kind: EventQuotaChanged, Plan: p.Name}); err != nil {
			return nil, err
		}
	}
	if err := a.audit("", ActionPlanPut, p.Name, ""); err != nil {
		return nil, err
	}
	return p, a.tx.Put(Bucket, planKey(p.Name), encodeRecord(p))
}

func (a *apply) deletePlan(name string) (any, error) {
	p, ok, err := get[tenant.Plan](a.tx, planKey(name))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errorf(CodeNotFound, "there is no plan %q", name)
	}
	if name == tenant.PlanEnterprise {
		return nil, errorf(CodeFailedPrecondition, "plan %q stays; it can be edited", name)
	}
	tenants, err := list[Tenant](a.tx, tagTenant)
	if err != nil {
		return nil, err
	}
	for _, t := range tenants {
		if t.Plan == name {
			return nil, errorf(CodeFailedPrecondition, "tenant %s has plan %q; move it and all others to another plan first", t.ID, name)
		}
	}
	a.change.NoPlans = append(a.change.NoPlans, name)
	if err := a.audit("", ActionPlanDelete, name, ""); err != nil {
		return nil, err
	}
	return p, a.tx.Delete(Bucket, planKey(name))
}

// note writes an event of a tenant and the audit row of the same thing.
func (a *apply) note(e Event, action, target, detail string) error {
	if err := a.event(e); err != nil {
		return err
	}
	return a.audit(e.Tenant, action, target, detail)
}

func errBeingDeleted(id tenant.ID) error {
	return errorf(CodeFailedPrecondition, "tenant %s is being deleted", id)
}
