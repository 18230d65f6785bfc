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
		index   uint64   // of the last change
		event   uint64   // version of the last event
		woken   chan struct{}
		plans   map[string]*tenant.Plan
		tenants map[tenant.ID]*tenantEntry
		keys    map[keySlot]*keyEntry // those that have not been revoked
		keyIDs  map[tenant.KeyID]*keyEntry

		endpoints map[tenant.ID]EndpointRecord
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
	tenant      *tenantEntry // nil for an operator key and for a service's
	permissions []tenant.Permission
	expires     time.Time // zero: never
}

// NewDirectory returns an empty directory. Keys are looked up by hasher's
// hash; now dates the contexts that Validate makes.
func NewDirectory(hasher *KeyHasher, now func() time.Time) *Directory {
	d := &Directory{hasher: hasher, now: now}
	d.topology.Store(newTopology())
	d.mu.woken = make(chan struct{})
	d.forget()
	return d
}

// forget leaves the directory as it was before Load; the Topology stays until
// there is a later one.
func (d *Directory) forget() {
	d.mu.cluster, d.mu.waiting = nil, nil
	d.mu.index, d.mu.event = 0, 0
	d.mu.plans = map[string]*tenant.Plan{}
	d.mu.tenants = map[tenant.ID]*tenantEntry{}
	d.mu.keys = map[keySlot]*keyEntry{}
	d.mu.keyIDs = map[tenant.KeyID]*keyEntry{}
	d.mu.endpoints = map[tenant.ID]EndpointRecord{}
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
	d.mu.index = max(d.mu.index, applied)
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
	if c.Endpoints, err = list[EndpointRecord](r, tagEndpoint); err != nil {
		return Change{}, fmt.Errorf("load endpoints: %w", err)
	}
	ledger, err := ledgerOf(r)
	if err != nil {
		return Change{}, fmt.Errorf("load ledger: %w", err)
	}
	if ledger.Event > 0 {
		c.Events = []Event{{Version: ledger.Event}}
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
	for _, name := range c.NoPlans {
		delete(d.mu.plans, name)
	}
	d.observeEndpoints(c)
	d.mu.index = max(d.mu.index, c.Index)
	if n := len(c.Events); n > 0 {
		d.mu.event = c.Events[n-1].Version
		close(d.mu.woken)
		d.mu.woken = make(chan struct{})
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
	k.defaults()
	slot := keySlot(k.Hash[:len(keySlot{})])
	if k.Revoked != 0 {
		if e, ok := d.mu.keys[slot]; ok && e.ID == k.ID {
			delete(d.mu.keys, slot)
			delete(d.mu.keyIDs, k.ID)
		}
		return nil
	}
	e := &keyEntry{Key: k}
	if k.Expires != 0 {
		e.expires = time.UnixMilli(k.Expires).UTC()
	}
	if !k.Operator && k.Kind != tenant.KeyService {
		if e.tenant = d.mu.tenants[k.Tenant]; e.tenant == nil {
			return errorf(CodeDataLoss, "key %s is of tenant %s, which is not there", k.ID, k.Tenant)
		}
		e.permissions = []tenant.Permission{k.Permission}
	}
	d.mu.keys[slot] = e
	d.mu.keyIDs[k.ID] = e
	return nil
}

// Validate returns the context that key grants, or why it grants none: an
// *Error with AUTH_MISSING, AUTH_INVALID_FORMAT, AUTH_INVALID_KEY,
// AUTH_KEY_EXPIRED, or UNAVAILABLE before the directory knows any key. A key of a
// suspended tenant grants a context that may do next to nothing. An operator
// key grants a context with IsOperator, a service's one with Service, both
// without a tenant and so not Valid for any tenant's data. What the context
// points to is shared: do not change it. Validate does not allocate.
func (d *Directory) Validate(key string) (tenant.Context, error) {
	if key == "" {
		return tenant.Context{}, errMissing
	}
	form, err := tenant.ParseKey(key)
	if err != nil {
		return tenant.Context{}, errFormat
	}
	hash := d.hasher.Hash(key)
	now := d.now()

	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.mu.cluster == nil {
		return tenant.Context{}, errUnborn
	}
	e := d.mu.keys[keySlot(hash[:len(keySlot{})])]
	if e == nil || subtle.ConstantTimeCompare(e.Hash[:], hash[:]) != 1 {
		return tenant.Context{}, errKey
	}
	var tc tenant.Context
	err = d.grant(&tc, e, now)
	if err == nil {
		tc.IsTest = form.Test
	}
	return tc, err
}

// grant makes the context of a key under d.mu; on an error it leaves tc alone.
func (d *Directory) grant(tc *tenant.Context, e *keyEntry, now time.Time) error {
	if e.Expires != 0 && !now.Before(e.expires) {
		return errExpired
	}
	if e.tenant != nil && e.tenant.Status != Active && e.tenant.Status != Suspended {
		return errKey
	}
	tc.KeyID, tc.IsTest, tc.ValidatedAt, tc.HubIndex = e.ID, e.Test, now, d.mu.index
	tc.Scope, tc.Deprecated, tc.ExpiresAt = e.Scope, e.Rotated != 0, e.expires
	tc.KeyRates = e.Rates
	if e.tenant == nil {
		if tc.IsOperator = e.Operator; !e.Operator {
			tc.Service = e.Name
		}
		return nil
	}
	tc.TenantID, tc.TenantName = e.tenant.ID, e.tenant.Name
	tc.Permissions = e.permissions
	tc.Limits, tc.Rates = e.tenant.limits(), e.tenant.plan.Rates
	tc.Suspended = e.tenant.Status == Suspended
	return nil
}

// Grant returns the context that the key with an id grants, like Validate: for
// a service that has the id, and not the key.
func (d *Directory) Grant(id tenant.KeyID) (tenant.Context, error) {
	now := d.now()
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.mu.cluster == nil {
		return tenant.Context{}, errUnborn
	}
	e := d.mu.keyIDs[id]
	if e == nil {
		return tenant.Context{}, errKey
	}
	var tc tenant.Context
	err := d.grant(&tc, e, now)
	return tc, err
}

// servicePermissions are those of a service that acts for a tenant.
var servicePermissions = []tenant.Permission{tenant.Admin}

// ServiceContext returns the context of a request for a tenant that a service
// has signed. service is what Validate made of the service's key, and the
// caller has verified the signature. The error is NOT_FOUND for a tenant that
// is not there or is being deleted.
func (d *Directory) ServiceContext(id tenant.ID, service tenant.Context, nonce string) (tenant.Context, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.serve(id, service, nonce)
}

func (d *Directory) serve(id tenant.ID, service tenant.Context, nonce string) (tenant.Context, error) {
	e, ok := d.mu.tenants[id]
	if service.Service == "" || !ok || e.Status == Deleting {
		return tenant.Context{}, errNoTenant
	}
	tc := service
	tc.TenantID, tc.TenantName, tc.Limits, tc.Rates = e.ID, e.Name, e.limits(), e.plan.Rates
	tc.Permissions, tc.Suspended, tc.Nonce = servicePermissions, e.Status == Suspended, nonce
	return tc, nil
}

// Renew makes the context anew that another node has made and sent: from
// KeyID, and for a service from TenantID, by what is known here. It keeps
// RequestID, Nonce and Claim, and nothing else that the other node says. The errors are
// those of Validate and ServiceContext; whoever is told that a key is not valid
// should first have applied the hub's entries up to tc.HubIndex.
func (d *Directory) Renew(tc tenant.Context) (tenant.Context, error) {
	now := d.now()
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.mu.cluster == nil {
		return tenant.Context{}, errUnborn
	}
	e := d.mu.keyIDs[tc.KeyID]
	if e == nil {
		return tenant.Context{}, errKey
	}
	next := tenant.Context{}
	if err := d.grant(&next, e, now); err != nil {
		return tenant.Context{}, err
	}
	if next.Service != "" && tc.TenantID != "" {
		var err error
		if next, err = d.serve(tc.TenantID, next, tc.Nonce); err != nil {
			return tenant.Context{}, err
		}
	}
	if next.TenantID != tc.TenantID {
		return tenant.Context{}, errKey
	}
	next.RequestID, next.Nonce, next.Claim = tc.RequestID, tc.Nonce, tc.Claim
	return next, nil
}

// Index is the log index up to which the directory knows the hub's changes.
func (d *Directory) Index() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.mu.index
}

// lastEvent returns the version of the last event that has been applied here,
// and a channel that is closed when there is a later one.
func (d *Directory) lastEvent() (uint64, <-chan struct{}) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.mu.event, d.mu.woken
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

// Quota is what a tenant may use.
type Quota struct {
	Tenant    tenant.ID
	Name      string // of the tenant
	Suspended bool   // the tenant is
	Plan      string
	Limits    tenant.Limits // with the version of all of it
	Rates     tenant.Rates
}

// Quota returns what a tenant may use, and false as Limits does.
func (d *Directory) Quota(id tenant.ID) (Quota, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e, ok := d.mu.tenants[id]
	if !ok || e.Status == Deleting {
		return Quota{}, false
	}
	return Quota{
		Tenant: id, Name: e.Name, Suspended: e.Status == Suspended,
		Plan: e.Plan, Limits: e.limits(), Rates: e.plan.Rates.OrUnlimited(),
	}, true
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
