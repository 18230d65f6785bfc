package hubsvc

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/tenant"
)

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// wantSameDirectory holds two directories to know the same.
func wantSameDirectory(t failer, a, b *Directory) {
	t.Helper()
	keys := func(d *Directory) map[tenant.KeyID]Key {
		m := map[tenant.KeyID]Key{}
		for slot, e := range d.mu.keys {
			if !bytes.Equal(slot[:], e.Hash[:len(slot)]) || d.mu.keyIDs[e.ID] != e {
				t.Fatalf("key %s is not where it belongs", e.ID)
			}
			if e.tenant != nil && d.mu.tenants[e.Tenant] != e.tenant {
				t.Fatalf("key %s leads to a tenant that is not %s", e.ID, e.Tenant)
			}
			m[e.ID] = e.Key
		}
		if len(d.mu.keyIDs) != len(m) {
			t.Fatalf("%d keys by id, %d by hash", len(d.mu.keyIDs), len(m))
		}
		return m
	}
	tenants := func(d *Directory) map[tenant.ID]string {
		m := map[tenant.ID]string{}
		for id, e := range d.mu.tenants {
			if e.plan != d.mu.plans[e.Plan] {
				t.Fatalf("tenant %s leads to a plan that is not %s", id, e.Plan)
			}
			m[id] = fmt.Sprintf("%+v %+v", e.Tenant, e.limits())
		}
		return m
	}
	plans := func(d *Directory) map[string]tenant.Plan {
		m := map[string]tenant.Plan{}
		for name, p := range d.mu.plans {
			m[name] = *p
		}
		return m
	}
	if d := diff(keys(a), keys(b)) + cmp.Diff(tenants(a), tenants(b)) + cmp.Diff(plans(a), plans(b)) + cmp.Diff(a.mu.endpoints, b.mu.endpoints); d != "" {
		t.Fatalf("the directories differ:\n%s", d)
	}
	if a.mu.event != b.mu.event {
		t.Fatalf("the last event is %d and %d", a.mu.event, b.mu.event)
	}
}

// naiveHub is the hub as one would write it without a store.
type naiveHub struct {
	now     int64
	tenants map[tenant.ID]*naiveTenant
	plans   map[string]tenant.Limits
	keys    map[tenant.KeyID]*naiveKey
	hashes  map[byte]tenant.KeyID // of keys that were not revoked
	records map[string]CollectionRecord
	nonces  map[string]int64
	events  []string
	audit   []string
	purged  []tenant.ID
}

type naiveTenant struct {
	plan   string
	status Status
}

type naiveKey struct {
	tenant           tenant.ID
	permission       tenant.Permission
	hash             byte
	revoked, rotated bool
	expires          int64
}

func newNaiveHub() *naiveHub {
	n := &naiveHub{
		tenants: map[tenant.ID]*naiveTenant{DefaultTenant: {tenant.PlanEnterprise, Active}},
		plans:   map[string]tenant.Limits{}, keys: map[tenant.KeyID]*naiveKey{}, hashes: map[byte]tenant.KeyID{},
		records: map[string]CollectionRecord{}, nonces: map[string]int64{},
		audit: []string{ActionBirth, ActionTenantCreate + " default"},
	}
	for _, p := range tenant.Plans() {
		n.plans[p.Name] = p.Limits
	}
	n.keys["k_1"] = &naiveKey{hash: 1}
	n.keys["k_2"] = &naiveKey{hash: 4, tenant: DefaultTenant, permission: tenant.Admin}
	n.hashes[1], n.hashes[4] = "k_1", "k_2"
	return n
}

// say notes an event and an audit row.
func (n *naiveHub) say(kind EventKind, action string, who any) {
	if kind != "" {
		n.events = append(n.events, string(kind)+" "+fmt.Sprint(who))
	}
	n.audit = append(n.audit, action+" "+fmt.Sprint(who))
}

// decide returns whether the op is accepted, and does it.
func (n *naiveHub) decide(op Op) bool {
	switch op := op.(type) {
	case *CreateTenant:
		if n.tenants[op.ID] != nil || !n.hasPlan(op.Plan) {
			return false
		}
		n.tenants[op.ID] = &naiveTenant{op.Plan, Active}
		n.say("", ActionTenantCreate, op.ID)
		return true
	case *SetTenantStatus:
		t := n.tenants[op.ID]
		if t == nil || t.status == Deleting {
			return false
		}
		if t.status != op.Status {
			t.status = op.Status
			if op.Status == Suspended {
				n.say(EventTenantSuspended, ActionTenantSuspend, op.ID)
			} else {
				n.say(EventTenantResumed, ActionTenantResume, op.ID)
			}
		}
		return true
	case *SetTenantPlan:
		t := n.tenants[op.ID]
		if t != nil && t.plan == op.Plan {
			return true
		}
		if t == nil || t.status == Deleting || !n.hasPlan(op.Plan) {
			return false
		}
		t.plan = op.Plan
		n.say(EventQuotaChanged, ActionTenantPlan, op.ID)
		return true
	case *DeleteTenant:
		t := n.tenants[op.ID]
		if t == nil {
			return false
		}
		if t.status != Deleting {
			t.status = Deleting
			for _, k := range n.keys {
				if k.tenant == op.ID {
					n.revoke(k)
				}
			}
			n.say(EventTenantDeleted, ActionTenantDelete, op.ID)
		}
		return true
	case *TenantPurged:
		return n.purge(op)
	}
	return n.decideMore(op)
}

func (n *naiveHub) purge(op *TenantPurged) bool {
	t := n.tenants[op.ID]
	if t == nil || t.status != Deleting {
		return false
	}
	delete(n.tenants, op.ID)
	for id, k := range n.keys {
		if k.tenant == op.ID {
			delete(n.keys, id)
		}
	}
	for key, r := range n.records {
		if r.Tenant == op.ID {
			delete(n.records, key)
		}
	}
	n.purged = append(n.purged, op.ID)
	n.say("", ActionTenantPurged, op.ID)
	return true
}

func (n *naiveHub) decideMore(op Op) bool {
	switch op := op.(type) {
	case *PutPlan:
		old, ok := n.plans[op.Plan.Name]
		if ok && old == op.Plan.Limits {
			return true
		}
		n.plans[op.Plan.Name] = op.Plan.Limits
		if ok {
			n.say(EventQuotaChanged, ActionPlanPut, op.Plan.Name)
		} else {
			n.say("", ActionPlanPut, op.Plan.Name)
		}
		return true
	case *DeletePlan:
		for _, t := range n.tenants {
			if t.plan == op.Name {
				return false
			}
		}
		if !n.hasPlan(op.Name) || op.Name == tenant.PlanEnterprise {
			return false
		}
		delete(n.plans, op.Name)
		n.say("", ActionPlanDelete, op.Name)
		return true
	case *CreateKey:
		t := n.tenants[op.Tenant]
		if t == nil || t.status == Deleting || op.Expires != 0 && op.Expires <= n.now {
			return false
		}
		return n.add(op.Key, naiveKey{tenant: op.Tenant, permission: op.Permission, expires: op.Expires}) &&
			n.sayKey(EventKeyCreated, ActionKeyCreate, op.Key.ID)
	case *RevokeKey:
		k := n.keys[op.ID]
		if k == nil {
			return false
		}
		if k.revoked {
			return true
		}
		if k.tenant == "" && !n.anotherOperator(op.ID) {
			return false
		}
		n.revoke(k)
		return n.sayKey(EventKeyRevoked, ActionKeyRevoke, op.ID)
	case *RotateKey:
		return n.rotate(op)
	case *RecordCollections:
		for _, r := range op.Records {
			n.record(r)
		}
		return true
	}
	panic(fmt.Sprintf("the model does not know %T", op))
}

func (n *naiveHub) hasPlan(name string) bool { _, ok := n.plans[name]; return ok }

func (n *naiveHub) sayKey(kind EventKind, action string, id tenant.KeyID) bool {
	n.say(kind, action, id)
	return true
}

func (n *naiveHub) add(k NewKey, what naiveKey) bool {
	what.hash = k.Hash[0]
	if _, taken := n.hashes[what.hash]; taken || n.keys[k.ID] != nil {
		return false
	}
	n.keys[k.ID] = &what
	n.hashes[what.hash] = k.ID
	return true
}

func (n *naiveHub) revoke(k *naiveKey) {
	if !k.revoked {
		k.revoked = true
		delete(n.hashes, k.hash)
	}
}

func (n *naiveHub) anotherOperator(id tenant.KeyID) bool {
	for other, k := range n.keys {
		if k.tenant == "" && other != id && !k.revoked && !k.rotated {
			return true
		}
	}
	return false
}

func (n *naiveHub) rotate(op *RotateKey) bool {
	old := n.keys[op.ID]
	if old == nil || old.revoked || old.rotated || old.expires != 0 && old.expires <= n.now {
		return false
	}
	next := *old
	if !n.add(op.Key, next) {
		return false
	}
	old.rotated = true
	switch until := n.now + op.Grace; {
	case op.Grace == 0:
		n.revoke(old)
	case old.expires == 0 || until < old.expires:
		old.expires = until
	}
	return n.sayKey(EventKeyRotated, ActionKeyRotate, op.ID)
}

func (n *naiveHub) record(r CollectionRecord) {
	if n.tenants[r.Tenant] == nil {
		return
	}
	key := fmt.Sprint(r.Tenant, r.Collection)
	known, ok := n.records[key]
	if ok && known.Deleted != 0 {
		return
	}
	if ok && r.Created == 0 {
		r.Created = known.Created
	}
	n.records[key] = r
}

// opOf draws any op of the hub on few names, so that they meet.
func opOf(rt *rapid.T, now int64) Op {
	id := rapid.SampledFrom([]tenant.ID{DefaultTenant, "a", "b", "c"}).Draw(rt, "tenant")
	plan := rapid.SampledFrom([]string{"free", "pro", "enterprise", "gold"}).Draw(rt, "plan")
	key := rapid.SampledFrom([]tenant.KeyID{"k_1", "k_2", "k_3", "k_4", "k_5", "k_6"}).Draw(rt, "key")
	fresh := NewKey{
		ID:     rapid.SampledFrom([]tenant.KeyID{"k_3", "k_4", "k_5", "k_6", "k_7"}).Draw(rt, "new key"),
		Hash:   KeyHash{byte(rapid.IntRange(4, 14).Draw(rt, "hash"))},
		Prefix: "hh_live_abcd",
	}
	n := rapid.Int64Range(0, 2).Draw(rt, "n")
	switch rapid.IntRange(0, 12).Draw(rt, "op") {
	case 0:
		return &CreateTenant{ID: id, Name: "n", Plan: plan}
	case 1:
		return &SetTenantStatus{ID: id, Status: []Status{Active, Suspended}[n%2]}
	case 2:
		return &SetTenantPlan{ID: id, Plan: plan}
	case 3:
		return &DeleteTenant{ID: id}
	case 4:
		return &TenantPurged{ID: id, Document: []byte("{}"), Signature: []byte{1}}
	case 5:
		return &PutPlan{Plan: tenant.Plan{Name: plan, Limits: tenant.Limits{Vectors: n}}}
	case 6:
		return &DeletePlan{Name: plan}
	case 7:
		c := &CreateKey{Tenant: id, Permission: tenant.ReadOnly, Key: fresh}
		if n > 0 {
			c.Expires = now + 100*(n-1)
		}
		return c
	case 8:
		return &RevokeKey{ID: key}
	case 9:
		return &RotateKey{ID: key, Grace: 100 * n, Key: fresh}
	}
	r := CollectionRecord{Tenant: id, Collection: uint64(rapid.IntRange(1, 3).Draw(rt, "collection")), Name: "docs", Created: now * (n % 2), Deleted: now * (n / 2)}
	return &RecordCollections{Records: []CollectionRecord{r}}
}

// Any history of commands, with times that go back now and then and with
// nonces that come twice, is decided as the naive hub decides it; the tables
// are what it has, their counts a recount; two machines have the same bytes;
// and a directory that watched equals one that is loaded.
func TestHubModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		hub, g := newHub(t)
		twin, twinMachine := newMemTxn(), NewMachine(nil)
		model := newNaiveHub()
		model.now = 1000
		apply := func(c Command) error {
			data := EncodeCommand(c)
			g.index++
			answer, err := g.machine.Apply(g.tx, g.index, data)
			g.tx.end(err)
			other, errTwin := twinMachine.Apply(twin, g.index, data)
			twin.end(errTwin)
			if !maps.EqualFunc(g.tx.state, twin.state, bytes.Equal) || fmt.Sprint(err) != fmt.Sprint(errTwin) {
				rt.Fatalf("%T: %v, %v\n%s", c.Op, err, errTwin, cmp.Diff(g.tx.state, twin.state))
			}
			if d := diff(answer, other); d != "" {
				rt.Fatalf("%T: %s", c.Op, d)
			}
			return err
		}
		if err := apply(commands[0].cmd); err != nil {
			rt.Fatal(err)
		}
		clock := int64(1000)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			clock += rapid.SampledFrom([]int64{0, 1, 60, 200, 200_000}).Draw(rt, "ms")
			at := clock - rapid.SampledFrom([]int64{0, 0, 0, 50}).Draw(rt, "back")
			c := Command{Time: at, Op: opOf(rt, max(model.now, at))}
			if n := rapid.IntRange(0, 8).Draw(rt, "nonce"); n < 4 {
				c.Actor = Actor{Service: "gw", Nonce: strings.Repeat(fmt.Sprint(n), NonceBytesMin)}
			}
			// A refused entry leaves the time as it was.
			before := model.now
			model.now = max(model.now, at)
			until, used := model.nonces[c.Actor.Nonce]
			replayed := c.Actor.Nonce != "" && used && until > model.now
			want := !replayed && model.decide(c.Op)
			err := apply(c)
			if (err == nil) != want {
				rt.Fatalf("%T %+v at %d: %v; the model accepts it: %v", c.Op, c.Op, model.now, err, want)
			}
			if replayed {
				wantCode(t, err, CodeNonceReplayed)
			}
			if err != nil {
				model.now = before
			} else if c.Actor.Nonce != "" {
				model.nonces[c.Actor.Nonce] = model.now + NonceKeptMs
			}
			checkAgainst(rt, model, g.tx)
		}
		loaded := NewDirectory(hub.hasher, hub.now)
		_ = loaded.Load(g.tx) // refuses the secret of the list of commands; all is there all the same
		wantSameDirectory(rt, hub.Directory, loaded)
	})
}

// checkAgainst holds the state to be what the model has, and every count and
// index to be a recount.
func checkAgainst(rt *rapid.T, n *naiveHub, tx *memTxn) {
	checkIndexes(rt, tx)
	checkTables(rt, tx)
	keys, _ := list[Key](tx, tagKey)
	if len(keys) != len(n.keys) {
		rt.Fatalf("%d keys, the model has %d", len(keys), len(n.keys))
	}
	for _, k := range keys {
		m := n.keys[k.ID]
		if m == nil || m.tenant != k.Tenant || m.permission != k.Permission || m.revoked != (k.Revoked != 0) || m.rotated != (k.Rotated != 0) || m.expires != k.Expires {
			rt.Fatalf("key %+v is %+v", m, k)
		}
	}
	tenants, _ := list[Tenant](tx, tagTenant)
	if len(tenants) != len(n.tenants) {
		rt.Fatalf("%d tenants, the model has %d", len(tenants), len(n.tenants))
	}
	for _, t := range tenants {
		m := n.tenants[t.ID]
		if m == nil || m.plan != t.Plan || m.status != t.Status || (t.Status == Suspended) != (t.Suspended != 0) && t.Status != Deleting || (t.Status == Deleting) != (t.Deleted != 0) {
			rt.Fatalf("tenant %+v is %+v", m, t)
		}
	}
	plans, _ := list[tenant.Plan](tx, tagPlan)
	for _, p := range plans {
		p.Limits.Version = 0
		if l, ok := n.plans[p.Name]; !ok || l != p.Limits || len(plans) != len(n.plans) {
			rt.Fatalf("plans %+v are %+v", n.plans, plans)
		}
	}
	records, _ := list[CollectionRecord](tx, tagCollection)
	for _, r := range records {
		if n.records[fmt.Sprint(r.Tenant, r.Collection)] != r || len(records) != len(n.records) {
			rt.Fatalf("records %+v are %+v", n.records, records)
		}
	}
	if len(records) == 0 && len(n.records) != 0 {
		rt.Fatalf("no records; the model has %+v", n.records)
	}
	checkHistory(rt, n, tx)
}

func checkHistory(rt *rapid.T, n *naiveHub, tx *memTxn) {
	var events, audit []string
	all, _ := list[Event](tx, tagEvent)
	for i, e := range all {
		who := string(e.KeyID)
		if who == "" {
			who = string(e.Tenant)
		}
		if who == "" {
			who = e.Plan
		}
		if e.Version != uint64(i+1) {
			rt.Fatalf("event %d has the version %d", i+1, e.Version)
		}
		events = append(events, string(e.Kind)+" "+who)
	}
	rows, _ := list[AuditEntry](tx, tagAudit)
	for i, e := range rows {
		text := e.Action
		if e.Action != ActionBirth {
			text += " " + e.Target
		}
		if i > 0 && bytes.Compare(auditKey(&rows[i-1]), auditKey(&e)) >= 0 {
			rt.Fatalf("row %+v after %+v", e, rows[i-1])
		}
		audit = append(audit, text)
	}
	if d := cmp.Diff(n.events, events) + cmp.Diff(n.audit, audit); d != "" {
		rt.Fatalf("history:\n%s", d)
	}
	l, err := ledgerOf(tx)
	if err != nil || l.Time != n.now && len(n.audit) > 2 {
		rt.Fatalf("the log's time is %d, the model's %d; %v", l.Time, n.now, err)
	}
	for _, id := range n.purged {
		if _, ok, err := get[erasureRecord](tx, recordKey(tagErasure, id)); !ok || err != nil {
			rt.Fatalf("no certificate of %s: %v", id, err)
		}
	}
}

// checkTables recounts what the ledger and the pools count.
func checkTables(t failer, tx *memTxn) {
	t.Helper()
	l, err := ledgerOf(tx)
	if err != nil {
		t.Fatalf("%v", err)
	}
	counts := map[byte]uint64{}
	pools := map[string]uint64{}
	for k := range tx.work {
		counts[k[0]]++
		if k[0] == tagAuditOf {
			pool, _, _ := strings.Cut(k[1:], "\x00")
			pools[pool]++
			if _, ok := tx.work[string([]byte{tagAudit})+k[len(k)-auditPositionBytes:]]; !ok {
				t.Fatalf("pool %q has a row that is not there", pool)
			}
		}
	}
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"tenants", l.Tenants, counts[tagTenant]},
		{"nonces", l.Nonces, counts[tagNonce]},
		{"ends of nonces", l.Nonces, counts[tagNonceUntil]},
		{"audit rows", l.AuditRows, counts[tagAudit]},
		{"audit rows of pools", l.AuditRows, counts[tagAuditOf]},
		{"events", l.Event + 1 - l.EventFirst, counts[tagEvent]},
		{"certificates", l.Certificates, counts[tagErasure]},
		{"order of certificates", l.Certificates, counts[tagErasureOrder]},
		{"sweeps", l.Sweeps, counts[tagSweep]},
		{"reporters of usage", l.UsageReporters, counts[tagUsageReporter]},
		{"sources of usage", l.UsageSources, counts[tagUsageSource]},
	} {
		if c.got != c.want {
			t.Fatalf("%s: counted %d, there are %d", c.what, c.got, c.want)
		}
	}
	for pool, n := range pools {
		if p, err := poolOf(tx, pool); err != nil || p.Rows != n {
			t.Fatalf("pool %q counts %+v, has %d; %v", pool, p, n, err)
		}
	}
}
