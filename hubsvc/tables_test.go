package hubsvc

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/tenant"
)

const someNonce = "0123456789-_abcdef"

// A signed command takes effect once in its time, whatever it says, and what a
// refused one carried is not used up.
func TestNonceTakesEffectOnce(t *testing.T) {
	hub, g, wait := timedHub(t)
	as := func(service, nonce string) context.Context {
		return WithActor(context.Background(), Actor{Service: service, Nonce: nonce})
	}
	_, err := hub.CreateTenant(as("gw", someNonce), TenantSpec{Name: "a", Plan: "gold"})
	wantCode(t, err, CodeInvalidRequest)
	a, err := hub.CreateTenant(as("gw", someNonce), TenantSpec{Name: "a", Plan: "pro"})
	if err != nil {
		t.Fatal(err)
	}
	wait(NonceKeptMs*time.Millisecond - time.Millisecond)
	state := g.tx.state
	_, err = hub.DeleteTenant(as("gw", someNonce), a.ID)
	wantCode(t, err, CodeNonceReplayed)
	if d := cmp.Diff(state, g.tx.state); d != "" {
		t.Errorf("a replay left a trace:\n%s", d)
	}
	if _, err := hub.SuspendTenant(as("other", someNonce), a.ID); err != nil {
		t.Errorf("another service's nonce: %v", err)
	}
	wait(time.Millisecond)
	if _, err := hub.ResumeTenant(as("gw", someNonce), a.ID); err != nil {
		t.Errorf("after its time: %v", err)
	}
	before := g.index
	for _, nonce := range []string{someNonce[:15], strings.Repeat("a", 65), "0123456789abcde/", "0123456789abcde\n"} {
		_, err = hub.SuspendTenant(as("gw", nonce), a.ID)
		wantCode(t, err, CodeInvalidRequest)
	}
	_, err = hub.SuspendTenant(as("", someNonce), a.ID)
	wantCode(t, err, CodeInvalidRequest)
	if g.index != before {
		t.Error("a malformed nonce reached the log")
	}
	for _, nonce := range []string{someNonce[:16], strings.Repeat("a", 64)} {
		if _, err := hub.SuspendTenant(as("gw", nonce), a.ID); err != nil {
			t.Error(err)
		}
	}
}

// A clock that goes back does not bring a nonce back.
func TestNonceAndAClockThatGoesBack(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	c := Command{Time: 5000, Op: &SetTenantPlan{ID: DefaultTenant, Plan: "pro"}, Actor: Actor{Service: "gw", Nonce: someNonce}}
	_, err := apply(c)
	tx.keep(t, err)
	for _, at := range []int64{4000, 0, -1, 5000 + NonceKeptMs - 1} {
		c.Time = at
		if _, err := apply(c); !errors.Is(err, errReplayed) {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

// The table of nonces is swept as it is used, and full it refuses rather than forget.
func TestNoncesAreBounded(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	with := func(at int64, i int) (any, error) {
		return apply(Command{Time: at, Op: &RevokeKey{ID: "k_2"}, Actor: Actor{Service: "gw", Nonce: fmt.Sprintf("%016d", i)}})
	}
	for i := range 100 {
		_, err := with(1000+int64(i), i)
		tx.keep(t, err)
	}
	for i := range 20 {
		_, err := with(1000+NonceKeptMs+200, 1000+i)
		tx.keep(t, err)
	}
	checkTables(t, tx)
	if l, _ := ledgerOf(tx); l.Nonces != 20 {
		t.Errorf("%d nonces are kept, 20 are good", l.Nonces)
	}
	l, _ := ledgerOf(tx)
	l.Nonces = NoncesMax - 1
	tx.work[string([]byte{tagLedger})] = encodeRecord(l)
	tx.keep(t, nil)
	_, err := with(1000+NonceKeptMs+200, 5001)
	tx.keep(t, err)
	_, err = with(1000+NonceKeptMs+200, 5002)
	wantCode(t, err, CodeUnavailable)
}

// Every administrative command leaves one row that says who did what to whom.
func TestAuditSaysWho(t *testing.T) {
	hub, _, wait := timedHub(t)
	ctx := WithActor(context.Background(), Actor{Operator: true, KeyID: "k_op", Address: "10.0.0.9", RequestID: "r-1"})
	a, err := hub.CreateTenant(ctx, TenantSpec{Name: "acme", Plan: "free"})
	if err != nil {
		t.Fatal(err)
	}
	wait(time.Second)
	byAdmin := WithActor(context.Background(), Actor{KeyID: "k_admin"})
	k, plain, err := hub.CreateKey(byAdmin, KeySpec{Tenant: a.ID, Permissions: []tenant.Permission{tenant.ReadOnly}})
	if err != nil {
		t.Fatal(err)
	}
	seen := []AuthSeen{{Tenant: a.ID, KeyID: k.ID, KeyPrefix: k.Prefix, Address: "1.2.3.4", Reason: "AUTH_KEY_EXPIRED", Count: 3, First: 5, Last: 9}, {KeyPrefix: "hh_live_zzzz", Address: "1.2.3.4", Reason: "AUTH_INVALID_KEY", Count: 1, First: 5, Last: 5}, {Tenant: a.ID, KeyID: k.ID, KeyPrefix: k.Prefix, Count: 1, First: 6, Last: 6}}
	if err := hub.RecordAuth(context.Background(), seen); err != nil {
		t.Fatal(err)
	}
	rows, next, err := hub.ListAudit(context.Background(), AuditQuery{Tenant: a.ID})
	if err != nil || next != "" {
		t.Fatalf("%q, %v", next, err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s|%d", r.Action, r.Actor, r.Address, r.RequestID, r.Target, r.Outcome, r.Detail, r.Count))
	}
	want := []string{
		fmt.Sprintf("tenant.create|operator|10.0.0.9|r-1|%s|ok|plan free|0", a.ID),
		fmt.Sprintf("key.create|k_admin|||%s|ok|tenant READ_ONLY|0", k.ID),
		fmt.Sprintf("auth.failure|%s|1.2.3.4||%s|refused|AUTH_KEY_EXPIRED|3", k.ID, k.Prefix),
		fmt.Sprintf("auth.success|%s|||%s|ok||1", k.ID, k.Prefix),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, r := range rows {
		if strings.Contains(fmt.Sprintf("%+v", r), plain[:13]) {
			t.Errorf("a row shows more than 12 characters of a key: %+v", r)
		}
	}
	if _, err := tenant.VerifyAudit(rows); err != nil {
		t.Error(err)
	}
	for i := 1; i < len(rows); i++ { // one that is changed, and one that is missing
		forged := slices.Clone(rows)
		forged[i].Actor = "k_innocent"
		if breaksAt(forged) != i {
			t.Errorf("forged row %d passes", i)
		}
		if i+1 < len(rows) && breaksAt(slices.Delete(slices.Clone(rows), i, i+1)) != i {
			t.Errorf("the lack of row %d passes", i)
		}
	}
	all, _, err := hub.ListAudit(context.Background(), AuditQuery{})
	if err != nil || len(all) != 2+5 || all[0].Action != ActionBirth || all[5].Tenant != "" || all[5].Target != "hh_live_zzzz" {
		t.Errorf("%+v, %v", all, err)
	}
}

// breaksAt is the place of the row at which the chain breaks, or -1.
func breaksAt(rows []AuditEntry) int {
	_, err := tenant.VerifyAudit(rows)
	if f, ok := errors.AsType[*tenant.AuditFault](err); ok {
		return f.At
	}
	return -1
}

// Pages go through all rows once, in order, whatever the filter.
func TestAuditPages(t *testing.T) {
	hub, _, wait := timedHub(t)
	ctx := context.Background()
	a := mustCreate(t, hub, tenant.PlanFree)
	from := hub.now().Add(5 * time.Second).UnixMilli()
	for range 10 {
		wait(time.Second)
		seen := make([]AuthSeen, AuthSeenMax)
		for i := range seen {
			seen[i] = AuthSeen{Tenant: a.ID, Count: uint32(i + 1), First: 1, Last: 1}
			if i%2 == 1 {
				seen[i].Reason, seen[i].Tenant = "AUTH_INVALID_KEY", ""
			}
		}
		if err := hub.RecordAuth(ctx, seen); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		q    AuditQuery
		want int
	}{
		{AuditQuery{}, 3 + 2560},
		{AuditQuery{Tenant: a.ID}, 1 + 1280},
		{AuditQuery{Tenant: a.ID, Limit: 7}, 1 + 1280},
		{AuditQuery{Action: ActionAuthFailure, Limit: 500}, 1280},
		{AuditQuery{From: from}, 6 * 256},
		{AuditQuery{To: from}, 3 + 4*256},
		{AuditQuery{From: from, To: from + 1, Limit: 10}, 256},
		{AuditQuery{Tenant: a.ID, From: from, To: from + 1000, Limit: 10}, 128},
		{AuditQuery{From: from, To: from}, 0},
		{AuditQuery{Tenant: "absent"}, 0},
	} {
		var last AuditEntry
		n, q := 0, tc.q
		for {
			rows, next, err := hub.ListAudit(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if n > 0 && string(auditKey(&last)) >= string(auditKey(&r)) {
					t.Fatalf("%+v: %+v after %+v", tc.q, r, last)
				}
				last = r
				n++
			}
			if q.Limit > 0 && len(rows) > q.Limit {
				t.Fatalf("%+v: %d rows", tc.q, len(rows))
			}
			if next == "" {
				break
			}
			q.Cursor = next
		}
		if n != tc.want {
			t.Errorf("%+v: %d rows, want %d", tc.q, n, tc.want)
		}
	}
	for _, q := range []AuditQuery{{Limit: -1}, {Limit: AuditPageMax + 1}, {Cursor: "x"}, {Cursor: "00"}, {Tenant: "../x"}} {
		_, _, err := hub.ListAudit(ctx, q)
		wantCode(t, err, CodeInvalidRequest)
	}
}

// Each tenant's rows are bounded, and so are all; the oldest go, a row says how
// many, and strangers at the door push out nobody's.
func TestAuditIsBounded(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	flood := func(id tenant.ID, rows int) {
		for rows > 0 {
			op := &RecordAuth{}
			for range min(rows, AuthSeenMax) {
				op.Seen = append(op.Seen, AuthSeen{Tenant: id, Reason: "AUTH_INVALID_KEY", Count: 1, First: 1, Last: 1})
			}
			rows -= len(op.Seen)
			_, err := apply(Command{Time: int64(2000 + tx.index), Op: op})
			tx.keep(t, err)
		}
	}
	flood("", AuditRowsTenantMax)
	if p, _ := poolOf(tx, tenantlessAuthPool); p.Rows != AuditRowsTenantMax || p.Gone != 0 {
		t.Errorf("at the limit: %+v", p)
	}
	flood("", 5)
	p, _ := poolOf(tx, tenantlessAuthPool)
	own, _ := poolOf(tx, "")
	if p.Rows != AuditRowsTenantMax || p.Gone != 5 || own.Rows != 1 {
		t.Errorf("past it: %+v, the cluster's own %+v", p, own)
	}
	checkTables(t, tx)
	for i := range 3 {
		flood(tenant.ID(fmt.Sprint("t", i)), 10)
	}
	setLedger(tx, func(l *ledger) { l.AuditRows = AuditRowsMax - 10 }) // as if other pools had more
	flood("t4", 10)
	if own, _ := poolOf(tx, ""); own.Rows != 1 {
		t.Error("a row has gone at the limit of all")
	}
	flood("t4", 3)
	l, _ := ledgerOf(tx)
	if own, _ := poolOf(tx, ""); l.AuditRows != AuditRowsMax || own.Rows != 0 || own.Gone != 1 {
		t.Errorf("past it %d rows; the oldest of all, the birth, is still there: %+v", l.AuditRows, own)
	}
	rest, _ := list[AuditEntry](tx, tagAudit)
	setLedger(tx, func(l *ledger) { l.AuditRows = uint64(len(rest)) })
	checkTables(t, tx)
	hub := NewEmbedded(NewDirectory(NewKeyHasher(testSecret), time.Now), &group{tx: tx}, EmbeddedOptions{SealKey: testSeal})
	rows, _, err := hub.ListAudit(context.Background(), AuditQuery{Limit: 2})
	if err != nil || len(rows) != 2 || rows[0].Action != ActionAuditTrimmed || rows[0].Detail != fmt.Sprintf("%d older rows have gone", l.AuditGone) || l.AuditGone != 5+3 {
		t.Errorf("%+v, %v; gone %d", rows, err, l.AuditGone)
	}
}

// Events are numbered without a gap, 10,000 are kept, and who missed one is told.
func TestEventsAreBounded(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	for i := range EventsMax {
		_, err := apply(Command{Time: 2000, Op: &SetTenantPlan{ID: DefaultTenant, Plan: []string{"pro", "free"}[i%2]}})
		tx.keep(t, err)
	}
	d := NewDirectory(NewKeyHasher(testSecret), time.Now)
	_ = d.Load(tx) // refuses the secret of the list of commands
	hub := NewEmbedded(d, &group{tx: tx, machine: NewMachine(d.Observe), index: tx.index}, EmbeddedOptions{SealKey: testSeal})
	read := func(after uint64) (n int, last uint64, reset bool) {
		for {
			events, to, again, err := hub.Events(context.Background(), after, 0)
			if err != nil {
				t.Fatal(err)
			}
			reset = reset || again
			if len(events) == 0 {
				return n, to, reset
			}
			for i, e := range events {
				if e.Version != to-uint64(len(events)-1-i) || e.Kind != EventQuotaChanged || e.Tenant != DefaultTenant {
					t.Fatalf("%+v", e)
				}
			}
			n, after = n+len(events), to
		}
	}
	if n, last, reset := read(0); n != EventsMax || last != EventsMax || reset {
		t.Errorf("%d events to %d, reset %v", n, last, reset)
	}
	if _, err := hub.SuspendTenant(context.Background(), DefaultTenant); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.DeleteTenant(context.Background(), DefaultTenant); err != nil {
		t.Fatal(err)
	}
	checkTables(t, tx)
	for _, tc := range []struct {
		after uint64
		n     int
		reset bool
	}{{EventsMax + 2, 0, false}, {EventsMax + 1, 1, false}, {EventsMax, 2, false}, {EventsMax + 3, EventsMax, true}, {1, EventsMax, true}, {0, EventsMax, true}} {
		events, last, reset, err := hub.Events(context.Background(), tc.after, 0)
		if err != nil || reset != tc.reset || len(events) != min(tc.n, EventsPageMax) || tc.n == 0 && last != tc.after {
			t.Errorf("after %d: %d events to %d, reset %v, %v", tc.after, len(events), last, reset, err)
		}
	}
}

// Whoever waits for an event has it as soon as it is applied, or nothing when
// the time is over.
func TestEventsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, _, _ := bornHub(t)
		ctx := context.Background()
		a := mustCreate(t, hub, tenant.PlanFree)
		_, last, _, err := hub.Events(ctx, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if events, to, reset, err := hub.Events(ctx, last, time.Minute); len(events) != 0 || to != last || reset || err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v, %d, %v, %v after %v", events, to, reset, err, time.Since(start))
		}
		got := make(chan []Event)
		for range 3 {
			go func() {
				events, _, _, _ := hub.Events(ctx, last, time.Minute)
				got <- events
			}()
		}
		synctest.Wait()
		start = time.Now()
		k, _ := mustKey(t, hub, a.ID, tenant.Admin)
		for range 3 {
			if events := <-got; len(events) != 1 || events[0].Kind != EventKeyCreated || events[0].KeyID != k.ID || events[0].Tenant != a.ID || time.Since(start) != 0 {
				t.Errorf("%+v after %v", events, time.Since(start))
			}
		}
		done, cancel := context.WithCancel(ctx)
		cancel()
		if _, _, _, err := hub.Events(done, last+1, time.Minute); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A tenant that is gone leaves a certificate that only the cluster's authority
// can have signed.
func TestErasureCertificate(t *testing.T) {
	hub, g, wait := timedHub(t)
	ctx := context.Background()
	a, err := hub.CreateTenant(ctx, TenantSpec{Name: `<"Ünï&cödé">`, Plan: "free"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = hub.Erasure(ctx, a.ID)
	wantCode(t, err, CodeNotFound)
	if _, err := hub.DeleteTenant(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	wait(90 * time.Second)
	erased := Erased{Collections: 2, Points: 1 << 53, Bytes: 1<<64 - 1}
	if err := hub.TenantPurged(ctx, a.ID, erased); err != nil {
		t.Fatal(err)
	}
	wantCode(t, hub.TenantPurged(ctx, a.ID, erased), CodeNotFound)
	c, err := hub.Erasure(ctx, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := hub.CACertificate()
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	cluster, _ := hub.Cluster()
	want := Erasure{
		ClusterID: cluster.ID.String(), TenantID: a.ID, TenantName: a.Name, DeletedAt: "2023-11-14T22:13:20Z", PurgedAt: "2023-11-14T22:14:50Z",
		Collections: 2, Points: 1 << 53, Bytes: 1<<64 - 1,
	}
	got, err := VerifyErasure(c, ca)
	if err != nil || got != want || !strings.Contains(c.Certificate, "BEGIN CERTIFICATE") {
		t.Errorf("%+v, %v", got, err)
	}
	forged := c
	forged.Document = strings.Replace(c.Document, `"collections":2`, `"collections":0`, 1)
	_, err = VerifyErasure(forged, ca)
	wantCode(t, err, CodeFailedPrecondition)
	for i := range c.Signature {
		forged = c
		forged.Signature = slices.Clone(c.Signature)
		forged.Signature[i] ^= 1
		if _, err := VerifyErasure(forged, ca); err == nil {
			t.Errorf("passes with byte %d of the signature changed", i)
		}
	}
	other, _, _ := timedHub(t)
	der, _ = other.CACertificate()
	otherCA, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	_, err = VerifyErasure(c, otherCA)
	wantCode(t, err, CodeFailedPrecondition)
	// What the authority signed to make a certificate is no certificate of erasure.
	if ecdsa.VerifyASN1(ca.PublicKey.(*ecdsa.PublicKey), erasureDigest(ca.RawTBSCertificate), ca.Signature) {
		t.Error("it is")
	}
	for key := range g.tx.state {
		if key[0] == tagKey && strings.Contains(string(g.tx.state[key]), string(a.ID)) {
			t.Error("a key of the tenant is left")
		}
	}
}

// The sum of an audit row is over the record as the hub stores it.
func TestAuditSumIsOfTheRecord(t *testing.T) {
	e := AuditEntry{Index: 7, Time: 9, Tenant: "t_a", Action: ActionTenantCreate, Outcome: OutcomeOK, Count: 2}
	want := sha256.Sum256(append([]byte("before"), encodeRecord(e)...))
	if got := tenant.ChainAudit([]byte("before"), &e); !bytes.Equal(got, want[:]) {
		t.Errorf("%x, want %x", got, want)
	}
}
