package hubsvc

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

func setLedger(tx *memTxn, change func(*ledger)) {
	l, err := ledgerOf(tx)
	if err != nil {
		panic(err)
	}
	change(&l)
	_ = tx.Put(Bucket, []byte{tagLedger}, encodeRecord(l))
}

func TestTenantsAreBounded(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	setLedger(tx, func(l *ledger) { l.Tenants = TenantsMax - 1 })
	_, err := apply(Command{Op: &CreateTenant{ID: "a", Name: "a", Plan: "pro"}})
	tx.keep(t, err)
	_, err = apply(Command{Op: &CreateTenant{ID: "b", Name: "b", Plan: "pro"}})
	wantCode(t, err, CodeQuotaExceeded)
	for _, op := range []Op{&DeleteTenant{ID: "a"}, &TenantPurged{ID: "a"}, &CreateTenant{ID: "b", Name: "b", Plan: "pro"}} {
		_, err = apply(Command{Op: op})
		tx.keep(t, err)
	}
}

func TestPlans(t *testing.T) {
	hub, g, _ := timedHub(t)
	ctx := context.Background()
	put := func(name string) error {
		_, err := hub.PutPlan(ctx, tenant.Plan{Name: name, Limits: tenant.Limits{Vectors: 5, Bytes: -1, Collections: 0}})
		return err
	}
	for i := 3; i < PlansMax; i++ {
		if err := put(fmt.Sprint("p", i)); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, put("one-more"), CodeQuotaExceeded)
	if err := put("p3"); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	for _, name := range []string{"", "Gold", "a b", strings.Repeat("x", PlanNameBytesMax+1)} {
		wantCode(t, put(name), CodeInvalidRequest)
	}
	wantCode(t, hub.DeletePlan(ctx, tenant.PlanEnterprise), CodeFailedPrecondition)
	wantCode(t, hub.DeletePlan(ctx, "absent"), CodeNotFound)
	a := mustCreate(t, hub, "p3")
	if _, err := hub.SuspendTenant(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, hub.DeletePlan(ctx, "p3"), CodeFailedPrecondition)
	if _, err := hub.SetTenantPlan(ctx, a.ID, "p4"); err != nil {
		t.Error(err)
	}
	if err := hub.DeletePlan(ctx, "p3"); err != nil {
		t.Error(err)
	}
	_, err := hub.SetTenantPlan(ctx, a.ID, "p3")
	wantCode(t, err, CodeInvalidRequest)
	if err := put(strings.Repeat("x", PlanNameBytesMax)); err != nil {
		t.Error(err)
	}
	if err := hub.DeletePlan(ctx, tenant.PlanFree); err != nil {
		t.Errorf("a shipped plan that nobody has: %v", err)
	}
	plans, err := hub.Plans(ctx)
	if err != nil || len(plans) != PlansMax-1 {
		t.Errorf("%d plans, %v", len(plans), err)
	}
	loaded := NewDirectory(hub.hasher, hub.now)
	if err := loaded.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	wantSameDirectory(t, hub.Directory, loaded)
}

// The version of what a tenant may use grows with every change of it, by
// whichever of the two ways, and not without one.
func TestQuotaVersionGrows(t *testing.T) {
	hub, _, _ := timedHub(t)
	ctx := context.Background()
	a := mustCreate(t, hub, tenant.PlanFree)
	_, plain := mustKey(t, hub, a.ID, tenant.Admin)
	last, err := hub.Quota(ctx, a.ID)
	if err != nil || last.Plan != tenant.PlanFree || last.Rates != (tenant.Rates{PerMinute: -1, PerHour: -1, PerDay: -1}) {
		t.Fatalf("%+v, %v", last, err)
	}
	put := func(name string, n, perDay int64) func() error {
		return func() error {
			_, err := hub.PutPlan(ctx, tenant.Plan{Name: name, Limits: tenant.Limits{Vectors: n}, Rates: &tenant.Rates{PerDay: perDay}})
			return err
		}
	}
	move := func(plan string) func() error {
		return func() error { _, err := hub.SetTenantPlan(ctx, a.ID, plan); return err }
	}
	for i, step := range []struct {
		do    func() error
		grows bool
	}{
		{move("pro"), true},
		{move("pro"), false},
		{put("free", 1, 1), false}, // another's
		{put("pro", 7, 7), true},
		{put("pro", 7, 7), false},
		{put("pro", 7, 8), true},
		{move("free"), true}, // whose own version is older
		{put("pro", 9, 9), false},
		{move("enterprise"), true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		q, err := hub.Quota(ctx, a.ID)
		tc, errKey := hub.Validate(plain)
		l, _ := hub.Limits(a.ID)
		if err != nil || errKey != nil || tc.Limits != q.Limits || l != q.Limits || (q.Limits.Version > last.Limits.Version) != step.grows || !step.grows && q != last {
			t.Errorf("step %d: %+v after %+v; %v", i, q, last, err)
		}
		last = q
	}
	_, err = hub.Quota(ctx, "absent")
	wantCode(t, err, CodeNotFound)
}

func TestPartitionIsNamed(t *testing.T) {
	hub, g, _ := timedHub(t)
	p := uint32(63)
	a, err := hub.CreateTenant(context.Background(), TenantSpec{Name: "a", Plan: "pro", Partition: &p})
	if err != nil || a.Partition != 63 {
		t.Fatalf("%+v, %v", a, err)
	}
	loaded := NewDirectory(hub.hasher, hub.now)
	if err := loaded.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	if at, ok := loaded.Partition(a.ID); !ok || at != 63 {
		t.Errorf("it is at %d, %v", at, ok)
	}
	p = 64
	_, err = hub.CreateTenant(context.Background(), TenantSpec{Name: "a", Plan: "pro", Partition: &p})
	wantCode(t, err, CodeInvalidRequest)
}

// A full tenant gets a new key in the place of the one that ended first, by
// revocation or by time, and such a key opens nothing afterwards.
func TestRoomForKeys(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	make1 := func(i int, at, expires int64) error {
		id := fmt.Sprintf("k%05d", i)
		hash := KeyHash{7}
		copy(hash[1:], id)
		_, err := apply(Command{Time: at, Op: &CreateKey{Tenant: DefaultTenant, Permission: tenant.MCP, Key: NewKey{ID: tenant.KeyID(id), Hash: hash}, Expires: expires}})
		return err
	}
	for i := range KeysPerTenantMax - 1 { // and the one of the birth
		expires := int64(0)
		if i == 5 {
			expires = 5000
		}
		tx.keep(t, make1(i, 2000, expires))
	}
	wantCode(t, make1(2000, 4999, 0), CodeQuotaExceeded)
	_, err := apply(Command{Time: 5000, Op: &RevokeKey{ID: "k00007"}})
	tx.keep(t, err)
	_, err = apply(Command{Time: 4000, Op: &RotateKey{ID: "k00008", Grace: 1000, Key: NewKey{ID: "r", Hash: KeyHash{9}}}})
	tx.keep(t, err) // takes the place of 5, which ended at 5000 like 7 and comes before it
	if _, err := keyOf(tx, "k00005"); err == nil {
		t.Error("the key that expired is still there")
	}
	if id, _ := tx.Get(Bucket, hashKey(KeyHash{7, 'k', '0', '0', '0', '0', '5'})); id != nil {
		t.Error("its hash finds something")
	}
	tx.keep(t, make1(2001, 5000, 0))
	wantCode(t, make1(2002, 5999, 0), CodeQuotaExceeded)
	tx.keep(t, make1(2003, 6000, 0)) // the grace of 8 is over
	if ids, _ := keyIDsOf(tx, DefaultTenant); len(ids) != KeysPerTenantMax {
		t.Errorf("%d keys", len(ids))
	}
}

func TestAuthSeenLimits(t *testing.T) {
	good := AuthSeen{Tenant: "a", KeyID: "k", KeyPrefix: "hh_live_abcd", Address: strings.Repeat("a", 64), Reason: strings.Repeat("R", 64), Count: 1, First: 1, Last: 2}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*AuthSeen){
		"13 characters of a key": func(s *AuthSeen) { s.KeyPrefix += "e" },
		"address":                func(s *AuthSeen) { s.Address += "a" },
		"address with a space":   func(s *AuthSeen) { s.Address = "a b" },
		"reason":                 func(s *AuthSeen) { s.Reason += "R" },
		"key id":                 func(s *AuthSeen) { s.KeyID = tenant.KeyID(strings.Repeat("k", 65)) },
		"tenant":                 func(s *AuthSeen) { s.Tenant = "../x" },
		"count":                  func(s *AuthSeen) { s.Count = 0 },
		"order":                  func(s *AuthSeen) { s.Last = 0 },
		"first":                  func(s *AuthSeen) { s.First = -1 },
	} {
		bad := good
		change(&bad)
		wantCode(t, bad.validate(), CodeInvalidRequest)
		if err := bad.validate(); err != nil && strings.Contains(err.Error(), "hh_live_abcde") {
			t.Errorf("%s: the error shows the key", name)
		}
	}
	for n, ok := range map[int]bool{0: false, 1: true, AuthSeenMax: true, AuthSeenMax + 1: false} {
		op := &RecordAuth{Seen: make([]AuthSeen, n)}
		for i := range op.Seen {
			op.Seen[i] = good
		}
		if err := op.validate(); (err == nil) != ok {
			t.Errorf("%d records: %v", n, err)
		}
	}
	long := NewKey{ID: "k", Hash: KeyHash{1}, Prefix: "hh_live_abcde"}
	wantCode(t, long.validate(), CodeInvalidRequest)
}

func TestActorLimits(t *testing.T) {
	a := Actor{
		KeyID: tenant.KeyID(strings.Repeat("k", KeyIDBytesMax)), Service: strings.Repeat("s", ServiceNameBytesMax),
		Address: strings.Repeat("a", 64), RequestID: strings.Repeat("r", 128), Nonce: strings.Repeat("n", NonceBytesMax),
	}
	if err := a.validate(); err != nil {
		t.Error(err)
	}
	for i, change := range []func(*Actor){
		func(a *Actor) { a.KeyID += "k" },
		func(a *Actor) { a.Service += "s" },
		func(a *Actor) { a.Address += "a" },
		func(a *Actor) { a.RequestID += "r" },
		func(a *Actor) { a.RequestID = "a\nb" },
		func(a *Actor) { a.Nonce += "n" },
	} {
		bad := a
		change(&bad)
		if err := bad.validate(); err == nil {
			t.Errorf("change %d passes", i)
		}
	}
}

// Records of collections come twice and in any order, and end as the last
// thing that happened; those of a tenant go with it, however many.
func TestCollectionRecords(t *testing.T) {
	hub, g, _ := timedHub(t)
	ctx := context.Background()
	a, b := mustCreate(t, hub, tenant.PlanPro), mustCreate(t, hub, tenant.PlanPro)
	created := CollectionRecord{Tenant: a.ID, Collection: 7, Name: "docs", Created: 100}
	deleted := created
	deleted.Deleted = 200
	bare := deleted
	bare.Created = 0
	for _, order := range [][]CollectionRecord{{created}, {created, created}, {created, bare}, {deleted, created}, {created, deleted, created, deleted}} {
		if err := hub.RecordCollection(ctx, order...); err != nil {
			t.Fatal(err)
		}
	}
	if err := hub.RecordCollection(ctx, created); err != nil { // once more, late
		t.Fatal(err)
	}
	got, err := hub.CollectionRecord(ctx, a.ID, 7)
	if err != nil || got != deleted {
		t.Errorf("%+v, %v", got, err)
	}
	_, errForeign := hub.CollectionRecord(ctx, b.ID, 7)
	_, errAbsent := hub.CollectionRecord(ctx, a.ID, 8)
	wantCode(t, errForeign, CodeNotFound)
	if fmt.Sprint(errForeign) != fmt.Sprint(errAbsent) {
		t.Errorf("another's is %v, an absent one %v", errForeign, errAbsent)
	}
	if err := hub.RecordCollection(ctx, CollectionRecord{Tenant: b.ID, Collection: 7, Name: "b"}, CollectionRecord{Tenant: "absent", Collection: 1, Name: "x"}); err != nil {
		t.Errorf("a tenant that is gone stops the outbox: %v", err)
	}
	for _, bad := range [][]CollectionRecord{nil, make([]CollectionRecord, CollectionsInOneMax+1), {{Tenant: "../x", Name: "a"}}, {{Tenant: a.ID}}, {{Tenant: a.ID, Name: strings.Repeat("x", 256)}}, {{Tenant: a.ID, Name: "a", Created: -1}}} {
		wantCode(t, hub.RecordCollection(ctx, bad...), CodeInvalidRequest)
	}
	for i := range 10 {
		many := make([]CollectionRecord, CollectionsInOneMax)
		for j := range many {
			many[j] = CollectionRecord{Tenant: a.ID, Collection: uint64(1000 + i*len(many) + j), Name: "n", Created: 1, Deleted: int64(j % 2)}
		}
		if err := hub.RecordCollection(ctx, many...); err != nil {
			t.Fatal(err)
		}
	}
	if records, err := hub.ListCollectionRecords(ctx, a.ID); err != nil || len(records) != 2561 || records[0] != deleted || records[2560].Collection != 3559 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if _, err := hub.DeleteTenant(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	if err := hub.TenantPurged(ctx, a.ID, Erased{}); err != nil {
		t.Fatal(err)
	}
	left := func() (n int) {
		for key := range g.tx.state {
			if (key[0] >= tagCollection && key[0] <= tagCollectionCount || key[0] == tagSweep) && strings.Contains(key, string(a.ID)) {
				n++
			}
		}
		return n
	}
	if n := left(); n == 0 || n > 2561+1281-sweptRowsPurge+2 {
		t.Errorf("%d rows are left after the purge", n)
	}
	_, err = hub.ListCollectionRecords(ctx, a.ID)
	wantCode(t, err, CodeNotFound)
	for range (2561+1281)/sweptRowsEntry - sweptRowsPurge/sweptRowsEntry + 2 {
		g.tx.reads = 0
		if err := hub.RecordCollection(ctx, CollectionRecord{Tenant: b.ID, Collection: 7, Name: "b"}); err != nil {
			t.Fatal(err)
		}
		if g.tx.reads > 3*sweptRowsEntry {
			t.Fatalf("an entry made %d reads", g.tx.reads)
		}
	}
	if n := left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	checkTables(t, g.tx)
	if records, err := hub.ListCollectionRecords(ctx, b.ID); err != nil || len(records) != 1 {
		t.Errorf("another tenant has %+v, %v", records, err)
	}
}

func TestDeletedCollectionRecordsAreBounded(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	for i := 0; i < deletedRecordsMax+3*CollectionsInOneMax; i += CollectionsInOneMax {
		op := &RecordCollections{}
		for j := range CollectionsInOneMax {
			op.Records = append(op.Records, CollectionRecord{Tenant: DefaultTenant, Collection: uint64(i + j), Name: "n", Created: 1, Deleted: 2})
		}
		_, err := apply(Command{Time: 2000, Op: op})
		tx.keep(t, err)
	}
	records, err := collectionsOf(tx, DefaultTenant)
	if err != nil || len(records) != deletedRecordsMax || records[len(records)-1].Collection < deletedRecordsMax {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func TestCertificatesAreBounded(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	erase := func(id tenant.ID) {
		for _, op := range []Op{&CreateTenant{ID: id, Name: "n", Plan: "pro"}, &DeleteTenant{ID: id}, &TenantPurged{ID: id, Document: []byte("{}"), Signature: []byte{1}}} {
			_, err := apply(Command{Time: 2000, Op: op})
			tx.keep(t, err)
		}
	}
	has := func(id tenant.ID) bool {
		_, ok, err := get[erasureRecord](tx, recordKey(tagErasure, id))
		return ok && err == nil
	}
	erase("a")
	erase("b")
	erase("a") // again: its certificate is the later one
	checkTables(t, tx)
	setLedger(tx, func(l *ledger) { l.Certificates = CertificatesMax - 1 })
	erase("c")
	if !has("a") || !has("b") || !has("c") {
		t.Error("one has gone at the limit")
	}
	erase("d")
	if !has("a") || has("b") || !has("c") || !has("d") {
		t.Error("past the limit the oldest goes, and that alone")
	}
	for _, op := range []*TenantPurged{
		{ID: "a", Document: make([]byte, certificateBytesMax+1)},
		{ID: "a", Document: []byte{1}, Signature: make([]byte, signatureBytesMax+1)},
		{ID: "a", Signature: []byte{1}},
	} {
		wantCode(t, op.validate(), CodeInvalidRequest)
	}
	if err := (&TenantPurged{ID: "a", Document: make([]byte, certificateBytesMax), Signature: make([]byte, signatureBytesMax)}).validate(); err != nil {
		t.Error(err)
	}
}

// The names of a certificate fit into it, whatever they are.
func TestCertificateFits(t *testing.T) {
	hub, _, _ := timedHub(t)
	for _, c := range []string{"<", "\u2028", "名", "\""} {
		name := strings.Repeat(c, NameBytesMax/len(c))
		document, signature, err := hub.certify(Tenant{ID: tenant.ID(strings.Repeat("t", 63)), Name: name, Deleted: time.Now().UnixMilli()}, Erased{1 << 63, 1 << 63, 1 << 63})
		if err != nil || len(document) > certificateBytesMax || len(signature) > signatureBytesMax {
			t.Errorf("%q: %d and %d bytes, %v", c, len(document), len(signature), err)
		}
	}
}
