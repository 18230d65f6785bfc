package hubsvc

import (
	"crypto/subtle"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// Directory is the part of the hub's state that every request needs, in
// memory: who a key belongs to and what its tenant may use; and its Topology,
// who is in the cluster and what they should have. It holds what has
// been applied on this node: give its Observe to the Machine, and Load it
// unless the node has just been born. Until then nobody is let in. Everything
// may be called from anywhere at any time.
type Directory struct {
	hasher *KeyHasher
	now    func() time.Time

	topology atomic.Pointer[Topology] // stored under mu

	mu struct {
		sync.RWMutex
		cluster *Cluster // nil until Load or the birth
		waiting []Change // observed before
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
	d.topology.Store(newTopology())
	d.forget()
	return d
}

// forget leaves the directory as it was before Load; the Topology stays until
// there is a later one.
func (d *Directory) forget() {
	d.mu.cluster, d.mu.waiting = nil, nil
	d.mu.plans = map[string]*tenant.Plan{}
	d.mu.tenants = map[tenant.ID]*tenantEntry{}
	d.mu.keys = map[keySlot]*keyEntry{}
}

// Load fills the directory from a view of the system group, once, at any time
// after Observe has been given to the Machine: what is observed before waits
// until Load knows whether v has it already. It refuses with
// FAILED_PRECONDITION when the hasher's secret is not the cluster's: no key
// would be found, and every client would be told that its key is wrong.
func (d *Directory) Load(v View) error {
	stored, err := loadChange(v) // not under the lock: Observe must never wait for a store
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(stored, v.AppliedIndex()); err != nil {
		return err
	}
	return d.checkSecret()
}

// Reload makes the directory that of v, whatever it was before: after an image
// has replaced the state of the system group on this node. It is called where
// Observe is, before the first entry that is applied to the image. The errors
// are those of Load; after one, the directory lets nobody in.
func (d *Directory) Reload(v View) error {
	stored, err := loadChange(v)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
	if err != nil {
		return err
	}
	if err := d.load(stored, v.AppliedIndex()); err != nil {
		d.forget()
		return err
	}
	return d.checkSecret()
}

func (d *Directory) checkSecret() error {
	if d.mu.cluster != nil && d.mu.cluster.SecretSum != d.hasher.SecretSum() {
		return errorf(CodeFailedPrecondition, "the cluster secret is not the one that cluster %s was born with", d.mu.cluster.ID)
	}
	return nil
}

// load does nothing for a directory that has seen the birth or for a hub that
// has none.
func (d *Directory) load(stored Change, applied uint64) error {
	if d.mu.cluster != nil || stored.Cluster == nil {
		return nil
	}
	if err := d.observe(stored); err != nil {
		return err
	}
	for _, c := range d.mu.waiting {
		if c.Index <= applied {
			continue
		}
		if err := d.observe(c); err != nil {
			return err
		}
	}
	d.mu.waiting = nil
	return nil
}

// loadChange returns all that r holds as one change.
func loadChange(r Reader) (Change, error) {
	cluster, born, err := get[Cluster](r, []byte{tagCluster})
	if err != nil || !born {
		return Change{}, wrap(err, "load cluster record")
	}
	c := Change{Cluster: &cluster}
	if c.Plans, err = list[tenant.Plan](r, tagPlan); err != nil {
		return Change{}, fmt.Errorf("load plans: %w", err)
	}
	if c.Tenants, err = list[Tenant](r, tagTenant); err != nil {
		return Change{}, fmt.Errorf("load tenants: %w", err)
	}
	if c.Keys, err = list[Key](r, tagKey); err != nil {
		return Change{}, fmt.Errorf("load keys: %w", err)
	}
	return c, wrap(loadTopology(r, &c), "load the cluster's members")
}

func loadTopology(r Reader, c *Change) error {
	s, err := settingsOf(r)
	if err != nil {
		return err
	}
	c.ClusterName = s.Name
	if c.Members, err = membersOf(r, *c.Cluster); err != nil {
		return err
	}
	if c.Placements, err = list[Placement](r, tagPlacement); err != nil {
		return err
	}
	a, ok, err := get[Authority](r, []byte{tagAuthority})
	if ok {
		c.Authority = &a
	}
	return err
}

// Observe takes over what an applied command changed. A directory that has
// neither been loaded nor seen the birth lacks what came before, and keeps
// the change for Load.
func (d *Directory) Observe(c Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.cluster == nil && c.Cluster == nil {
		d.mu.waiting = append(d.mu.waiting, c)
		return
	}
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
	return d.observeTopology(c)
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
// *Error with AUTH_MISSING, AUTH_INVALID_FORMAT, AUTH_INVALID_KEY,
// TENANT_SUSPENDED, or UNAVAILABLE before the directory knows any key. An operator key grants a context with IsOperator and no
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
	if d.mu.cluster == nil {
		return tenant.Context{}, errUnborn
	}
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
