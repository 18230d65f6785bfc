package collection

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCollectionsLiveInTheirTenant(t *testing.T) {
	s := newMemStore()
	first := s.do(t, Command{Tenant: alice, Limits: unlimited, Time: 7, Op: CreateCollection{Name: "x", Config: testConfig()}})
	second := s.do(t, Command{Tenant: bob, Limits: unlimited, Time: 3, Op: CreateCollection{Name: "x", Config: testConfig()}})
	if first.Collection == second.Collection || first.Collection == 0 {
		t.Fatalf("ids %d and %d", first.Collection, second.Collection)
	}
	_, err := s.try(t, command(0, CreateCollection{Name: "x", Config: testConfig()}))
	wantError(t, err, AlreadyExists, ReasonNone)

	got, ok, err := LookupCollection(s, bob, "x")
	want := Info{ID: second.Collection, Name: "x", Config: testConfig()}
	want.Config.CreatedAt = 7 // the log's time does not go back
	if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
		t.Fatal(diff, ok, err)
	}
	if _, ok, _ := GetCollectionByID(s, alice, second.Collection); ok {
		t.Fatal("alice sees bob's collection")
	}
	_, err = s.try(t, command(second.Collection, upsert(t, point(1, nil))))
	wantError(t, err, NotFound, ReasonNone)

	s.create(t, "a")
	list, err := ListCollections(s, alice)
	if err != nil || len(list) != 2 || list[0].Name != "a" || list[1].Name != "x" {
		t.Fatalf("%+v, %v", list, err)
	}
	_, err = s.try(t, Command{Limits: unlimited, Op: DeleteCollection{Name: "x"}})
	wantError(t, err, Internal, ReasonNone)
}

func TestUpsertReplacesAndVersionsRise(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	s.do(t, command(c, upsert(t, point(1, nil), point(2, nil))))
	out := s.apply(encode(t, command(c, upsert(t, point(2, Payload{"a": true}), point(3, nil), point(3, nil)))))
	if out.Err != nil || Verify(s) != nil {
		t.Fatal(out.Err, Verify(s))
	}
	first, second := uint64(1)<<16, uint64(2)<<16
	type change struct{ Version, Old uint64 }
	var got []change
	for _, e := range out.Events {
		if e.Kind != EventUpsert || e.Collection != c {
			t.Fatalf("event %+v", e)
		}
		got = append(got, change{e.Version, e.Old})
	}
	want := []change{{second, first | 1}, {second | 1, 0}, {second | 2, second | 1}}
	if !slices.Equal(got, want) {
		t.Fatalf("events %v, want %v", got, want)
	}
	if answer := out.Answer.(Answer); !reflect.DeepEqual(answer, Answer{Operation: 2, Affected: 3, Collection: c}) {
		t.Fatalf("answer %+v", answer)
	}
	var versions []uint64
	if err := ScanPoints(s, c, first+1, func(v uint64, _ Record) bool {
		versions = append(versions, v)
		return len(versions) < 2
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(versions, []uint64{second, second | 2}) {
		t.Fatalf("versions %x", versions)
	}
	if _, ok, err := GetPointByVersion(s, c, first|1); ok || err != nil {
		t.Fatal("a replaced version is still there", err)
	}
}

func TestScanIDsBeginsWhereItIsTold(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	u := UUID([16]byte{5})
	s.do(t, command(c, upsert(t, Point{ID: u}, point(9, nil), point(2, nil))))
	other := s.create(t, "y")
	s.do(t, command(other, upsert(t, point(1, nil))))
	three := NumID(3)
	for _, k := range []struct {
		from *PointID
		want []PointID
	}{{nil, []PointID{NumID(2), NumID(9), u}}, {&three, []PointID{NumID(9), u}}, {&u, []PointID{u}}} {
		var got []PointID
		err := ScanIDs(s, c, k.from, func(id PointID, version uint64) bool {
			rec, v, ok, err := GetPoint(s, c, id)
			if err != nil || !ok || v != version || rec.ID() != id {
				t.Fatalf("point %s: version %d, %v, %v", id, v, ok, err)
			}
			got = append(got, id)
			return true
		})
		if err != nil || !slices.Equal(got, k.want) {
			t.Fatalf("from %v: %v, %v", k.from, got, err)
		}
	}
}

func TestQuotaIsDecidedForTheWholeEntry(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	size := int64(len(record(t, point(1, nil)).Bytes()))
	limited := func(vectors, bytes int64, op Op) Command {
		cmd := command(c, op)
		cmd.Limits.Vectors, cmd.Limits.Bytes, cmd.Limits.Collections = vectors, bytes, 1
		return cmd
	}
	s.do(t, limited(2, 2*size, upsert(t, point(1, nil), point(2, nil))))
	_, err := s.try(t, limited(2, -1, upsert(t, point(3, nil))))
	wantError(t, err, ResourceExhausted, ReasonQuota)
	var e *Error
	errors.As(err, &e)
	want := map[string]any{"type": "vector_count", "current": uint64(2), "quota": uint64(2), "requested": uint64(1), "available": uint64(0)}
	if diff := cmp.Diff(map[string]any{"usage": want}, e.Details); diff != "" {
		t.Fatal(diff)
	}
	_, err = s.try(t, limited(-1, 3*size-1, upsert(t, point(3, nil))))
	wantError(t, err, ResourceExhausted, ReasonQuota)
	_, err = s.try(t, limited(0, 0, CreateCollection{Name: "y", Config: testConfig()}))
	wantError(t, err, ResourceExhausted, ReasonQuota)
	// What is replaced counts once, and a lowered limit does not hold back what shrinks or stays.
	s.do(t, limited(2, 2*size, upsert(t, point(2, nil), point(1, nil), point(1, nil))))
	s.do(t, limited(1, 1, upsert(t, point(1, nil))))
	s.do(t, limited(0, 0, DeletePoints{IDs: []PointID{NumID(1), NumID(1), NumID(7)}}))
	s.do(t, limited(2, 2*size, upsert(t, point(3, nil))))
	_, err = s.try(t, limited(-1, 2*size, SetPayload{IDs: []PointID{NumID(3)}, Payload: []byte{0x81, 0xa1, 'a', 1}}))
	wantError(t, err, ResourceExhausted, ReasonQuota)
	s.do(t, limited(0, 0, DeleteCollection{Name: "x"}))
	if u, err := Usage(s, alice); u != (TenantUsage{}) || err != nil {
		t.Fatalf("a tenant without collections uses %+v, %v", u, err)
	}
}

func TestPayloadChanges(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	s.do(t, command(c, upsert(t, point(1, Payload{"a": int64(1), "b": map[string]any{"c": "d"}}), point(2, nil))))
	ids := []PointID{NumID(1), NumID(2), NumID(3)}
	finalize := func(w Write) Op {
		op, err := Finalize(Info{Config: testConfig()}, w, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		return op
	}
	sel := Selection{IDs: ids}
	for _, step := range []struct {
		w    Write
		want [2]Payload
	}{
		{
			Write{SetPayload: &PayloadChange{Selection: sel, Payload: Payload{"a": nil, "e": 1.5}}},
			[2]Payload{{"b": map[string]any{"c": "d"}, "e": 1.5}, {"e": 1.5}},
		},
		{
			Write{SetPayload: &PayloadChange{Selection: sel, Payload: Payload{"f": true}, Path: "b"}},
			[2]Payload{{"b": map[string]any{"c": "d", "f": true}, "e": 1.5}, {"b": map[string]any{"f": true}, "e": 1.5}},
		},
		{
			Write{DeletePayload: &KeysChange{Selection: sel, Keys: []string{"e", "b.f"}}},
			[2]Payload{{"b": map[string]any{"c": "d"}}, {"b": map[string]any{}}},
		},
		{
			Write{OverwritePayload: &PayloadChange{Selection: Selection{IDs: ids[1:]}, Payload: Payload{"z": "y"}}},
			[2]Payload{{"b": map[string]any{"c": "d"}}, {"z": "y"}},
		},
		{Write{ClearPayload: &sel}, [2]Payload{}},
	} {
		answer := s.do(t, command(c, finalize(step.w)))
		for i, want := range step.want {
			rec, version, _, err := GetPoint(s, c, ids[i])
			if err != nil {
				t.Fatal(err)
			}
			got, err := rec.Payload()
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Fatalf("%+v: point %s: %v %s", step.w, ids[i], err, diff)
			}
			if !slices.Equal(rec.Vector(), point(uint64(i+1), nil).Vector) {
				t.Fatalf("the vector became %v", rec.Vector())
			}
			if answer.Affected == 2 && version>>16 != answer.Operation {
				t.Fatalf("version %x after change %d", version, answer.Operation)
			}
		}
	}
}

func TestPayloadChangesAreBounded(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	s.do(t, command(c, upsert(t, point(1, Payload{"a": "b"}))))
	id := []PointID{NumID(1)}
	// Merging at a path must not nest deeper than a payload may.
	deep := Payload{}
	for range PayloadDepthMax - 1 {
		deep = Payload{"x": map[string]any(deep)}
	}
	raw, err := AppendPayload(nil, deep)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.try(t, command(c, SetPayload{IDs: id, Payload: raw, Path: "y"}))
	wantError(t, err, InvalidArgument, ReasonValidation)
	// One point named often with many keys is much work in a short entry.
	many := slices.Repeat(id, 10_000)
	_, err = s.try(t, command(c, DeletePayload{IDs: many, Keys: slices.Repeat([]string{"q"}, 1000)}))
	wantError(t, err, InvalidArgument, ReasonTooLarge)
	large := append([]byte{0x81, 0xa1, 'a', mpStr32, 1, 0xff, 0xff, 0xff}, make([]byte, maxRecordBytes)...)
	_, err = s.try(t, command(c, OverwritePayload{IDs: id, Payload: large}))
	wantError(t, err, InvalidArgument, ReasonTooLarge)
}

func TestIdempotencyKeyTakesEffectOnce(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	add := command(c, upsert(t, point(1, nil)))
	add.Key, add.Hash, add.Time = "k", [32]byte{1}, 1000
	first := s.do(t, add)
	s.do(t, command(c, DeletePoints{IDs: []PointID{NumID(1)}}))

	add.Time += idempotencyMs - 1
	if again := s.do(t, add); !reflect.DeepEqual(again, first) {
		t.Fatalf("answered %+v, then %+v", first, again)
	}
	if u, _ := Usage(s, alice); u.Points != 0 {
		t.Fatal("the repetition took effect")
	}
	other := add
	other.Hash = [32]byte{2}
	_, err := s.try(t, other)
	wantError(t, err, FailedPrecondition, ReasonIdempotencyReused)
	// Keys are the tenant's own.
	other.Tenant = bob
	_, err = s.try(t, other)
	wantError(t, err, NotFound, ReasonNone)
	// After a day of log time it is another request.
	add.Time = 1000 + idempotencyMs
	if again := s.do(t, add); again.Operation != 3 {
		t.Fatalf("answered %+v at entry %d", again, s.index)
	}
	// A refused request leaves no key behind.
	full := add
	full.Key, full.Limits.Vectors, full.Op = "f", 0, upsert(t, point(2, nil))
	_, err = s.try(t, full)
	wantError(t, err, ResourceExhausted, ReasonQuota)
	full.Limits.Vectors = -1
	s.do(t, full)
}

func TestExpiredKeysGoTwoPerEntry(t *testing.T) {
	s := newMemStore()
	keys := func() int {
		n := 0
		for key := range s.buckets[BucketIdempotency] {
			if key[0] == rowKey {
				n++
			}
		}
		return n
	}
	for i := range 7 {
		c := command(0, CheckDigest{})
		c.Key, c.Time = strconv.Itoa(i), int64(1+i/6)
		s.do(t, c)
	}
	tick := func(time int64, want int) {
		t.Helper()
		c := command(0, CheckDigest{})
		c.Time = time
		s.do(t, c)
		if n := keys(); n != want {
			t.Fatalf("%d keys at %d, want %d", n, time, want)
		}
	}
	tick(idempotencyMs, 7)
	tick(idempotencyMs+1, 5)
	tick(idempotencyMs+1, 3)
	tick(idempotencyMs+1, 1)
	tick(idempotencyMs+1, 1)
	tick(idempotencyMs+2, 0)
}

func TestDeletedCollectionIsPurged(t *testing.T) {
	s := newMemStore()
	keep := s.create(t, "keep")
	c := s.create(t, "x")
	s.do(t, command(keep, upsert(t, point(1, nil))))
	s.do(t, command(c, upsert(t, point(1, nil), point(2, nil), point(3, nil))))
	if a := s.do(t, command(c, Purge{Max: 10})); a.Existed || a.Affected != 0 {
		t.Fatalf("purging a live collection: %+v", a)
	}
	out := s.apply(encode(t, command(0, DeleteCollection{Name: "x"})))
	if a := out.Answer.(Answer); !a.Existed || a.Collection != c {
		t.Fatalf("%+v", a)
	}
	if len(out.Events) != 1 || out.Events[0].Kind != EventDrop || out.Events[0].Collection != c {
		t.Fatalf("events %+v", out.Events)
	}
	_, err := s.try(t, command(c, upsert(t, point(1, nil))))
	wantError(t, err, NotFound, ReasonNone)
	if a := s.do(t, command(0, DeleteCollection{Name: "x"})); a.Existed {
		t.Fatal("deleted twice")
	}
	trash, err := ListTrash(s)
	if err != nil || !slices.Equal(trash, []Trash{{alice, c}}) {
		t.Fatalf("%v, %v", trash, err)
	}
	removed := 0
	for a := (Answer{Existed: true}); a.Existed; removed += a.Affected {
		a = s.do(t, command(c, Purge{Max: 2}))
	}
	if trash, _ := ListTrash(s); removed != 6 || len(trash) != 0 {
		t.Fatalf("%d rows removed, %d collections left", removed, len(trash))
	}
	if n := len(s.buckets[BucketPoints]) + len(s.buckets[BucketIDs]); n != 2 {
		t.Fatalf("%d rows are left, 2 of them of the other collection", n)
	}
	// Its name is free, its id is not.
	if again := s.create(t, "x"); again <= c {
		t.Fatalf("id %d after %d", again, c)
	}
	// One that never had points leaves nothing to purge.
	s.do(t, command(0, DeleteCollection{Name: "x"}))
	if trash, _ := ListTrash(s); len(trash) != 0 {
		t.Fatalf("trash %v", trash)
	}
}

func TestDropTenantLeavesNothing(t *testing.T) {
	s := newMemStore()
	var ids []uint64
	for i := range 5 {
		c := command(0, CreateCollection{Name: strconv.Itoa(i), Config: testConfig()})
		c.Key = strconv.Itoa(i)
		ids = append(ids, s.do(t, c).Collection)
		s.do(t, command(ids[i], upsert(t, point(1, nil))))
	}
	other := s.do(t, Command{Tenant: "alic", Limits: unlimited, Key: "k", Op: CreateCollection{Name: "e", Config: testConfig()}})
	signed := command(ids[0], ClearPayload{})
	signed.Nonce = "n"
	s.do(t, signed)
	counted, _ := Usage(s, alice)
	removed := 0
	for a := (Answer{Existed: true}); a.Existed; removed += a.Affected {
		a = s.do(t, command(0, DropTenant{Max: 3}))
	}
	if removed != 16 { // 5 collections, as many records of them and idempotency keys, and a nonce
		t.Fatalf("removed %d", removed)
	}
	erased, err := Erased(s, alice)
	if want := (Erasure{Collections: 5, Points: 5, Bytes: counted.Bytes}); erased != want || err != nil || erased.Bytes == 0 {
		t.Fatalf("erased %+v, %v, want %+v", erased, err, want)
	}
	for _, c := range ids {
		for s.do(t, command(c, Purge{Max: 1})).Existed {
		}
	}
	s.do(t, Command{Op: CutUsage{}}) // the hub is told what the tenant has used to the end
	if reports, err := WaitingUsage(s, 9); err != nil || len(reports) != 1 || len(reports[0].Entries) != 6 {
		t.Fatalf("%+v, %v", reports, err)
	}
	s.do(t, Command{Op: UsageDone{Upto: 1}})
	want := newMemStore()
	want.do(t, Command{Tenant: "alic", Limits: unlimited, Key: "k", Op: CreateCollection{Name: "e", Config: testConfig()}})
	want.do(t, Command{Op: CutUsage{}})
	want.do(t, Command{Op: UsageDone{Upto: 1}})
	mark := map[int]int{int(BucketCounters): 2} // that the tenant is gone, and what was erased
	for b := range s.buckets {
		if len(s.buckets[b]) != len(want.buckets[b])+mark[b] {
			t.Errorf("bucket %d: %d rows, %d are the other tenant's", b, len(s.buckets[b]), len(want.buckets[b]))
		}
	}
	_, err = s.try(t, command(0, CreateCollection{Name: "late", Config: testConfig()}))
	wantError(t, err, NotFound, ReasonNone)
	if err := Verify(s); err != nil {
		t.Fatal(err)
	}
	if list, err := ListCollections(s, "alic"); err != nil || len(list) != 1 || list[0].ID != other.Collection {
		t.Fatalf("the other tenant has %v, %v", list, err)
	}
}

// A corrupt row stops the partition: it is never taken for an absent one.
func TestCorruptRowsAreDataLoss(t *testing.T) {
	fresh := func() (*memStore, uint64) {
		s := newMemStore()
		c := s.create(t, "x")
		cmd := command(c, upsert(t, point(1, Payload{"a": "b"})))
		cmd.Key, cmd.Nonce = "k", "n"
		s.do(t, cmd)
		return s, c
	}
	s, c := fresh()
	for b := range s.buckets {
		for key := range s.buckets[b] {
			if b == int(BucketIdempotency) && (key[0] == rowKeyTime || key[0] == rowNonceTime) || b == int(BucketCatalog) && key[0] == rowName {
				continue // read only when it is due; and by name
			}
			s, _ := fresh()
			s.buckets[b][key] = []byte{0xff}
			cmd := command(c, SetPayload{IDs: []PointID{NumID(1)}, Payload: []byte{0x80}})
			cmd.Key = "k"
			if b != int(BucketIdempotency) {
				cmd.Key = "other"
			} else if key[0] == rowNonce {
				cmd.Nonce = "n"
			}
			if b == int(BucketCatalog) && (key[0] == rowOutbox || key[0] == rowOutboxSum) {
				cmd = Command{Op: OutboxDone{Upto: 1}}
			}
			if b == int(BucketCounters) && key[0] >= rowDirty {
				cmd = Command{Op: CutUsage{}}
			}
			if out := s.apply(encode(t, cmd)); CodeOf(out.Err) != DataLoss {
				t.Errorf("bucket %d, key %x: %v", b, key, out.Err)
			}
			if err := Verify(s); CodeOf(err) != DataLoss {
				t.Errorf("bucket %d, key %x: verified: %v", b, key, err)
			}
		}
	}
	if out := (Machine{}).Apply(s, Entry{Index: 9, Data: []byte("nonsense")}); CodeOf(out.Err) != DataLoss {
		t.Fatal(out.Err)
	}
}
