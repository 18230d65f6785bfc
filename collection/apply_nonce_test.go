package collection

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/tenant"
)

func (c Command) signed(nonce string, claim uint64) Command {
	c.Nonce, c.Claim = nonce, claim
	return c
}

func (c Command) at(time int64) Command {
	c.Time = time
	return c
}

func TestNonceIsUsedOnce(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	put := func(n uint64) Command { return command(c, upsert(t, point(n, nil))) }
	replayed := func(cmd Command) {
		t.Helper()
		_, err := s.try(t, cmd) // that nothing changed is checked there
		wantError(t, err, Unauthenticated, ReasonNonceReplayed)
	}
	s.do(t, put(1).signed("n", 7).at(1000))
	replayed(put(1).signed("n", 8).at(1000))
	replayed(put(1).signed("n", 0).at(1000))
	// It is the tenant's: another request under it is refused, and so is a read
	// of nothing; another tenant may use it.
	replayed(command(0, CreateCollection{Name: "y", Config: testConfig()}).signed("n", 8))
	replayed(command(0, DeleteCollection{Name: "y"}).signed("n", 8))
	other := command(0, CreateCollection{Name: "y", Config: testConfig()}).signed("n", 8)
	other.Tenant = bob
	s.do(t, other)
	// The entries of one request share a claim.
	s.do(t, put(2).signed("n", 7).at(1000))
	// No claim is no claim to share.
	s.do(t, put(3).signed("unclaimed", 0))
	replayed(put(4).signed("unclaimed", 0))
}

func TestNonceExpires(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	put := command(c, upsert(t, point(1, nil)))
	s.do(t, put.signed("n", 1).at(5000))
	_, err := s.try(t, put.signed("n", 2).at(5000+nonceMs-1))
	wantError(t, err, Unauthenticated, ReasonNonceReplayed)
	// A clock that goes back takes nothing back, and a refused entry's time is
	// no time of the log.
	s.do(t, put.at(5000+nonceMs-1))
	_, err = s.try(t, put.signed("n", 2).at(0))
	wantError(t, err, Unauthenticated, ReasonNonceReplayed)
	s.do(t, put.signed("n", 2).at(5000+nonceMs))
	_, err = s.try(t, put.signed("n", 3).at(5000+nonceMs))
	wantError(t, err, Unauthenticated, ReasonNonceReplayed)
	// Old rows go, a few with each entry, whoever's they are and with idempotency
	// keys between them.
	for i := range 20 {
		cmd := put.signed("old"+string(rune('a'+i)), 1).at(5000 + nonceMs)
		cmd.Key = cmd.Nonce
		s.do(t, cmd)
	}
	for range 11 {
		s.do(t, put.at(5000+3*nonceMs))
	}
	if n := rowsOf(s, BucketIdempotency, rowNonce) + rowsOf(s, BucketIdempotency, rowNonceTime); n != 0 {
		t.Fatalf("%d rows of nonces are left", n)
	}
	if n := rowsOf(s, BucketIdempotency, rowKey); n != 20 {
		t.Fatalf("%d idempotency keys are left of 20", n)
	}
}

func rowsOf(s *memStore, bucket, row byte) (n int) {
	for key := range s.buckets[bucket] {
		if key[0] == row {
			n++
		}
	}
	return n
}

// A request that was refused has not used its nonce up: nothing of it took
// effect. One that was answered from its idempotency key has.
func TestNonceBelongsToWhatTookEffect(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	full := command(c, upsert(t, point(1, nil))).signed("n", 1)
	full.Limits.Vectors = 0
	_, err := s.try(t, full)
	wantError(t, err, ResourceExhausted, ReasonQuota)
	full.Limits.Vectors = 1
	s.do(t, full)

	keyed := command(c, upsert(t, point(1, nil))).signed("first", 1)
	keyed.Key = "k"
	first := s.do(t, keyed)
	again := s.do(t, keyed.signed("second", 2))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Fatal(diff)
	}
	_, err = s.try(t, keyed.signed("second", 3))
	wantError(t, err, Unauthenticated, ReasonNonceReplayed)
}

func TestOutboxIsTheHistory(t *testing.T) {
	s := newMemStore()
	x := s.do(t, command(0, CreateCollection{Name: "x", Config: testConfig()}).at(10)).Collection
	_, err := s.try(t, command(0, CreateCollection{Name: "x", Config: testConfig()}).at(11))
	wantError(t, err, AlreadyExists, ReasonNone)
	s.do(t, command(0, DeleteCollection{Name: "none"}).at(12))
	s.do(t, command(0, DeleteCollection{Name: "x"}).at(20))
	y := s.do(t, command(0, CreateCollection{Name: "x", Config: testConfig()}).at(30)).Collection
	want := []Notice{{alice, x, "x", 10, 0}, {alice, x, "x", 10, 20}, {alice, y, "x", 30, 0}}
	got, last, err := Outbox(s, 10)
	if diff := cmp.Diff(want, got); diff != "" || last != 3 || err != nil {
		t.Fatal(diff, last, err)
	}
	if got, last, _ := Outbox(s, 2); len(got) != 2 || last != 2 {
		t.Fatal(got, last)
	}
	// Some are out, twice; what comes later has a number of its own.
	done := Command{Op: OutboxDone{Upto: 2}}
	if a := s.do(t, done); a.Affected != 2 || a.Existed {
		t.Fatalf("%+v", a)
	}
	if a := s.do(t, done); a.Affected != 0 {
		t.Fatalf("%+v", a)
	}
	s.do(t, Command{Op: OutboxDone{Upto: 99}})
	if got, _, _ := Outbox(s, 10); len(got) != 0 {
		t.Fatal(got)
	}
	s.do(t, command(0, DeleteCollection{Name: "x"}).at(40))
	if got, last, _ := Outbox(s, 10); len(got) != 1 || last != 4 || got[0] != (Notice{alice, y, "x", 30, 40}) {
		t.Fatal(got, last)
	}
}

// With the hub away for long nothing is created any more; deletes go on.
func TestOutboxIsBounded(t *testing.T) {
	s := newMemStore()
	s.create(t, "x")
	sum := outboxSum{last: outboxRowsMax, rows: outboxRowsMax}
	if err := (&applier{tx: s}).storeOutboxSum(sum); err != nil {
		t.Fatal(err)
	}
	out := s.apply(encode(t, command(0, CreateCollection{Name: "y", Config: testConfig()})))
	wantError(t, out.Err, Unavailable, ReasonNone)
	if out := s.apply(encode(t, command(0, DeleteCollection{Name: "x"}))); out.Err != nil {
		t.Fatal(out.Err)
	}
}

// Nothing of a tenant that is dropped waits for the hub, and its neighbour's
// records stay.
func TestDropTenantEmptiesItsOutbox(t *testing.T) {
	s := newMemStore()
	s.create(t, "x")
	other := command(0, CreateCollection{Name: "y", Config: testConfig()})
	other.Tenant = bob
	s.do(t, other)
	s.create(t, "z")
	for s.do(t, command(0, DropTenant{Max: 1})).Existed {
	}
	got, _, err := Outbox(s, 10)
	if err != nil || len(got) != 1 || got[0].Tenant != bob {
		t.Fatal(got, err)
	}
	if e, err := Erased(s, alice); e != (Erasure{Collections: 2}) || err != nil {
		t.Fatal(e, err)
	}
	if e, err := Erased(s, tenant.ID("bob")); e != (Erasure{}) || err != nil {
		t.Fatal(e, err)
	}
}

// A nonce outlives every moment at which some node would take its signature
// again, if clocks differ by less than a minute: those of the edges and those
// of the leaders.
func TestNonceOutlivesItsSignature(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	put := command(c, upsert(t, point(1, nil)))
	const minute = 60_000
	s.do(t, put.signed("n", 1).at(minute))
	_, err := s.try(t, put.signed("n", 2).at(minute+2*tenant.SignatureSkew.Milliseconds()+2*minute-1))
	wantError(t, err, Unauthenticated, ReasonNonceReplayed)
}
