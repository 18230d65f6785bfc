package hubsvc

import (
	"crypto/subtle"
	"fmt"
	"sync"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// Directory is the part of the hub's state that every request needs, in
// memory: who a key belongs to and what its tenant may use. It holds what has
// been applied on this node. Fill it with Load before the system group
// starts, and give its Observe to the Machine. Everything else may be called
// from anywhere at any time.
type Directory struct {
	hasher *KeyHasher
	now    func() time.Time

	mu struct {
		sync.RWMutex
		cluster *Cluster
		plans   map[string]*tenant.Plan
		tenants map[tenant.ID]*tenantEntry
		keys    map[keySlot]*keyEntry // good keys of served tenants
	}
}

// keySlot is the half of a key's hash that finds it. The other half is
// compared in constant time, so that the time of a look-up tells nothing
// that helps to forge a hash, even to one who knew the secret.
type keySlot [16]byte

// tenantEntry is shared by the tenant's keys and changes under Directory.mu.
type tenantEntry struct {
	Tenant
	plan *tenant.Plan
}

// keyEntry never changes; the tenant behind it may.
type keyEntry struct {
	Key
	tenant      *tenantEntry // nil for an operator key
	permissions []tenant.Permission
}

// NewDirectory returns an empty directory. Keys are looked up by hasher's
// hash; now dates the contexts that Validate makes.
func NewDirectory(hasher *KeyHasher, now func() time.Time) *Directory {
	d := &Directory{hasher: hasher, now: now}
	d.reset()
	return d
}

// Hasher returns the hasher whose hashes the directory is keyed by.
func (d *Directory) Hasher() *KeyHasher { return d.hasher }

func (d *Directory) reset() {
	d.mu.cluster = nil
	d.mu.plans = map[string]*tenant.Plan{}
	d.mu.tenants = map[tenant.ID]*tenantEntry{}
	d.mu.keys = map[keySlot]*keyEntry{}
}

// Load replaces the whole content by what r holds. It refuses with
// FAILED_PRECONDITION when the hasher's secret is not the cluster's: no key
// would be found, and every client would be told that its key is wrong. No entry of the system
// group may be applied meanwhile: a change observed before Load has read it
// would be lost.
func (d *Directory) Load(r Reader) error {
	var change Change
	cluster, born, err := get[Cluster](r, []byte{tagCluster})
	if err != nil {
		return fmt.Errorf("load cluster record: %w", err)
	}
	if born {
		if cluster.SecretSum != d.hasher.SecretSum() {
			return errorf(CodeFailedPrecondition, "the cluster secret is not the one that cluster %s was born with", cluster.ID)
		}
		change.Cluster = &cluster
	}
	if change.Plans, err = list[tenant.Plan](r, tagPlan); err != nil {
		return fmt.Errorf("load plans: %w", err)
	}
	if change.Tenants, err = list[Tenant](r, tagTenant); err != nil {
		return fmt.Errorf("load tenants: %w", err)
	}
	if change.Keys, err = list[Key](r, tagKey); err != nil {
		return fmt.Errorf("load keys: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reset()
	return d.observe(change)
}

// Observe takes over what an applied command changed.
func (d *Directory) Observe(c Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.observe(c); err != nil {
		panic(fmt.Sprintf("BUG: applied entry %d: %v", c.Index, err))
	}
}

// observe returns an error when a record names another that is not there.
func (d *Directory) observe(c Change) error {
	if c.Cluster != nil {
		d.mu.cluster = c.Cluster
	}
	for _, p := range c.Plans {
		if known, ok := d.mu.plans[p.Name]; ok {
			*known = p
		} else {
			d.mu.plans[p.Name] = &p
		}
	}
	for _, t := range c.Tenants {
		if err := d.observeTenant(t); err != nil {
			return err
		}
	}
	for _, k := range c.Keys {
		if err := d.observeKey(k); err != nil {
			return err
		}
	}
	for _, id := range c.Purged {
		delete(d.mu.tenants, id)
	}
	return nil
}

func (d *Directory) observeTenant(t Tenant) error {
	plan, ok := d.mu.plans[t.Plan]
	if !ok {
		return errorf(CodeDataLoss, "tenant %s has plan %q, which is not there", t.ID, t.Plan)
	}
	e, ok := d.mu.tenants[t.ID]
	if !ok {
		e = &tenantEntry{}
		d.mu.tenants[t.ID] = e
	}
	e.Tenant, e.plan = t, plan
	return nil
}

func (d *Directory) observeKey(k Key) error {
	slot := keySlot(k.Hash[:len(keySlot{})])
	if k.Revoked != 0 {
		if e, ok := d.mu.keys[slot]; ok && e.ID == k.ID {
			delete(d.mu.keys, slot)
		}
		return nil
	}
	e := &keyEntry{Key: k}
	if !k.Operator {
		if e.tenant = d.mu.tenants[k.Tenant]; e.tenant == nil {
			return errorf(CodeDataLoss, "key %s is of tenant %s, which is not there", k.ID, k.Tenant)
		}
		e.permissions = []tenant.Permission{k.Permission}
	}
	d.mu.keys[slot] = e
	return nil
}

// Validate returns the context that key grants, or why it grants none: an
// *Error with AUTH_MISSING, AUTH_INVALID_FORMAT, AUTH_INVALID_KEY or
// TENANT_SUSPENDED. An operator key grants a context with IsOperator and no
// tenant, which is not Valid for any tenant's data. The Permissions of
// the context are shared: do not change them. Validate does not allocate.
func (d *Directory) Validate(key string) (tenant.Context, error) {
	if key == "" {
		return tenant.Context{}, errMissing
	}
	form, err := tenant.ParseKey(key)
	if err != nil {
		return tenant.Context{}, errFormat
	}
	hash := d.hasher.Hash(key)
	tc := tenant.Context{IsTest: form.Test, ValidatedAt: d.now()}

	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.mu.keys[keySlot(hash[:len(keySlot{})])]
	if e == nil || subtle.ConstantTimeCompare(e.Hash[:], hash[:]) != 1 {
		return tenant.Context{}, errKey
	}
	tc.KeyID = e.ID
	if e.Operator {
		tc.IsOperator = true
		return tc, nil
	}
	switch e.tenant.Status {
	case Active:
	case Suspended:
		return tenant.Context{}, errSuspended
	default:
		return tenant.Context{}, errKey
	}
	tc.TenantID, tc.TenantName = e.tenant.ID, e.tenant.Name
	tc.Permissions = e.permissions
	tc.Limits = e.tenant.limits()
	return tc, nil
}

// limits are those of the plan, versioned by the later of two changes: of the
// plan's limits and of the tenant's plan.
func (e *tenantEntry) limits() tenant.Limits {
	l := e.plan.Limits
	l.Version = max(l.Version, e.PlanIndex)
	return l
}

// Cluster returns the birth record, and false before the birth.
func (d *Directory) Cluster() (Cluster, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.mu.cluster == nil {
		return Cluster{}, false
	}
	return *d.mu.cluster, true
}

// Limits returns what a tenant may use, and false for one that is not there or
// is being deleted.
func (d *Directory) Limits(id tenant.ID) (tenant.Limits, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e, ok := d.mu.tenants[id]
	if !ok || e.Status == Deleting {
		return tenant.Limits{}, false
	}
	return e.limits(), true
}

// Partition returns where a tenant lives, and false for one that is not there.
// One that is being deleted is still there: its data has yet to go.
func (d *Directory) Partition(id tenant.ID) (uint32, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e, ok := d.mu.tenants[id]
	if !ok {
		return 0, false
	}
	return e.Tenant.Partition, true
}

// Deleting returns the tenants whose data has yet to go, in no order: what a
// start has to finish.
func (d *Directory) Deleting() []tenant.ID {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var ids []tenant.ID
	for id, e := range d.mu.tenants {
		if e.Status == Deleting {
			ids = append(ids, id)
		}
	}
	return ids
}
