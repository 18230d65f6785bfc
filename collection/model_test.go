package collection

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/tenant"
)

// model is what a partition should hold, written as plainly as can be: no
// encoding, no counters, no order. Whatever it decides, the Machine must.
type model struct {
	time     int64
	next     uint64
	live     map[uint64]*modelCollection
	requests map[modelKey]modelRequest
	nonces   map[modelKey]nonceRow
	outbox   []modelRecord
	told     uint64 // sequence number of the last record
	erased   map[tenant.ID]Erasure
	aliases  map[modelKey]uint64 // to the collection
	use      modelUsage
}

type modelRecord struct {
	Sequence uint64
	Notice
}

type modelCollection struct {
	tenant  tenant.ID
	name    string
	created int64
	points  map[PointID]modelPoint
	changes uint64
	setting any                     // of Config.Extra["x"]["y"]
	fields  map[string]PayloadIndex // declared
	use     modelUse
}

type modelPoint struct {
	Version uint64
	Point   Point
	bytes   int
}

type modelKey struct {
	tenant tenant.ID
	key    string
}

type modelRequest struct {
	hash   [32]byte
	time   int64
	answer Answer
}

func (m *model) clone() *model {
	c := *m
	c.requests, c.nonces, c.erased = maps.Clone(m.requests), maps.Clone(m.nonces), maps.Clone(m.erased)
	c.outbox, c.aliases = slices.Clone(m.outbox), maps.Clone(m.aliases)
	c.use = m.use.clone()
	c.live = map[uint64]*modelCollection{}
	for id, mc := range m.live {
		copied := *mc
		copied.points, copied.fields = maps.Clone(mc.points), maps.Clone(mc.fields)
		c.live[id] = &copied
	}
	return &c
}

func (m *model) usage(t tenant.ID) (u TenantUsage) {
	for _, c := range m.live {
		if c.tenant == t {
			u.Collections++
			for _, p := range c.points {
				u.Points++
				u.Bytes += uint64(p.bytes)
			}
		}
	}
	return u
}

func (m *model) find(t tenant.ID, name string) uint64 {
	for id, c := range m.live {
		if c.tenant == t && c.name == name {
			return id
		}
	}
	return 0
}

// apply decides an entry. A refusal is named by its code and reason; the model
// is then thrown away.
func (m *model) apply(c Command) (Answer, string) {
	earlier := m.time
	m.time = max(m.time, c.Time)
	if n, known := m.nonces[modelKey{c.Tenant, c.Nonce}]; known && m.time < n.time+nonceMs && (n.claim != c.Claim || c.Claim == 0) {
		return Answer{}, "unauthenticated AUTH_NONCE_REPLAYED"
	} else if c.Nonce != "" && (!known || m.time >= n.time+nonceMs) {
		m.nonces[modelKey{c.Tenant, c.Nonce}] = nonceRow{m.time, c.Claim}
	}
	key := modelKey{c.Tenant, c.Key}
	if q, known := m.requests[key]; known && c.Key != "" && m.time < q.time+idempotencyMs {
		if q.hash != c.Hash {
			return Answer{}, "failed_precondition IDEMPOTENCY_REUSED"
		}
		if c.Nonce == "" {
			m.time = earlier // a repetition changes nothing at all
		}
		return q.answer, ""
	}
	if _, again := c.Op.(DropTenant); !again && m.gone(c) {
		return Answer{}, "not_found "
	}
	before := m.usage(c.Tenant)
	answer, refusal := m.perform(c)
	after := m.usage(c.Tenant)
	for _, q := range [][3]int64{
		{int64(before.Points), int64(after.Points), c.Limits.Vectors},
		{int64(before.Bytes), int64(after.Bytes), c.Limits.Bytes},
		{int64(before.Collections), int64(after.Collections), c.Limits.Collections},
	} {
		if refusal == "" && q[2] >= 0 && q[1] > q[0] && q[1] > q[2] {
			refusal = "resource_exhausted QUOTA_EXCEEDED"
		}
	}
	if len(answer.Moved) > 0 && c.Key != "" {
		return Answer{}, "aborted "
	}
	if c.Key != "" {
		m.requests[key] = modelRequest{c.Hash, m.time, answer}
	}
	return answer, refusal
}

func (m *model) perform(c Command) (Answer, string) {
	switch op := c.Op.(type) {
	case CreateCollection:
		if m.find(c.Tenant, op.Name) != 0 {
			return Answer{}, "already_exists "
		}
		if _, taken := m.aliases[modelKey{c.Tenant, op.Name}]; taken {
			return Answer{}, "invalid_argument "
		}
		id := m.next
		m.next++
		m.live[id] = &modelCollection{tenant: c.Tenant, name: op.Name, created: m.time, points: map[PointID]modelPoint{}, fields: map[string]PayloadIndex{}}
		m.tell(Notice{c.Tenant, id, op.Name, m.time, 0})
		return Answer{Collection: id}, ""
	case DeleteCollection:
		id := m.find(c.Tenant, op.Name)
		if id != 0 {
			m.tell(Notice{c.Tenant, id, op.Name, m.live[id].created, max(m.time, 1)})
		}
		m.forget(id)
		return Answer{Collection: id, Existed: id != 0}, ""
	case UpdateAliases:
		return m.alias(c.Tenant, op)
	case CheckDigest:
		return Answer{}, ""
	case OutboxDone:
		n := len(m.outbox)
		m.outbox = slices.DeleteFunc(m.outbox, func(r modelRecord) bool { return r.Sequence <= op.Upto })
		return Answer{Affected: n - len(m.outbox)}, ""
	case CutUsage:
		return m.cut(), ""
	case UsageDone:
		return m.use.done(op.Upto), ""
	case DropTenant:
		return m.drop(c.Tenant), ""
	}
	if mc := m.live[c.Collection]; mc != nil && mc.tenant == c.Tenant {
		switch op := c.Op.(type) {
		case Batch:
			return mc.batch(c, op)
		case UpdateCollection:
			return mc.set(c.Collection, op)
		case PutPayloadIndex, DeletePayloadIndex:
			return mc.declare(c), ""
		}
		return mc.change(c)
	}
	return Answer{}, "not_found "
}

func (m *model) tell(c Notice) {
	m.told++
	m.outbox = append(m.outbox, modelRecord{m.told, c})
}

// gone reports whether the entry comes after its tenant was dropped.
func (m *model) gone(c Command) bool {
	_, gone := m.erased[c.Tenant]
	switch c.Op.(type) {
	case CheckDigest, OutboxDone, CutUsage, UsageDone:
		return false
	}
	return gone
}

// drop removes all that a tenant has, as if there were no most for an entry.
func (m *model) drop(t tenant.ID) Answer {
	e, n := m.erased[t], 0
	u := m.usage(t)
	e.Collections, e.Points, e.Bytes = e.Collections+u.Collections, e.Points+u.Points, e.Bytes+u.Bytes
	m.erased[t] = e
	for id, mc := range m.live {
		if mc.tenant == t {
			m.forget(id)
			n++
		}
	}
	n += len(m.outbox)
	m.outbox = slices.DeleteFunc(m.outbox, func(r modelRecord) bool { return r.Tenant == t })
	n -= len(m.outbox)
	for key := range m.requests {
		if key.tenant == t {
			delete(m.requests, key)
		}
	}
	for key := range m.nonces {
		if key.tenant == t {
			delete(m.nonces, key)
		}
	}
	return Answer{Affected: n}
}

// change performs an operation on points.
func (mc *modelCollection) change(c Command) (answer Answer, refusal string) {
	mc.changes++
	answer = Answer{Collection: c.Collection, Operation: mc.changes}
	moved := func(id PointID) bool {
		stays := c.Basis > 0 && mc.points[id].Version>>16 > c.Basis
		if stays {
			answer.Moved = append(answer.Moved, id)
		}
		return stays
	}
	put := func(ordinal int, p Point) {
		old, there := mc.points[p.ID]
		mc.use.write(old.bytes, modelBytes(p), there)
		mc.points[p.ID] = modelPoint{mc.changes<<16 | uint64(ordinal), p, modelBytes(p)}
		answer.Affected++
	}
	edit := func(ids []PointID, fn func(Payload) Payload) {
		for i, id := range ids {
			if p, ok := mc.points[id]; ok && !moved(id) {
				p.Point.Payload = fn(p.Point.Payload)
				put(i, p.Point)
			}
		}
	}
	switch op := c.Op.(type) {
	case Upsert:
		for i, r := range op.Records {
			put(i, modelPointOf(r))
		}
	case UpdateVectors:
		for i, r := range op.Records {
			old, there := mc.points[r.ID()]
			if !there {
				return answer, "not_found "
			}
			put(i, overlaidPoint(old.Point, modelPointOf(r)))
		}
	case DeleteVectors:
		for i, id := range op.IDs {
			p, there := mc.points[id]
			if !there && c.Basis == 0 {
				return answer, "not_found "
			}
			if !there || moved(id) {
				continue
			}
			if less := lessVectors(p.Point, op.Vectors); modelBytes(less) != p.bytes {
				put(i, less)
			}
		}
	case DeletePoints:
		for _, id := range op.IDs {
			if _, ok := mc.points[id]; ok && !moved(id) {
				mc.use.remove(mc.points[id].bytes)
				delete(mc.points, id)
				answer.Affected++
			}
		}
	case SetPayload:
		change, _ := DecodePayload(op.Payload)
		edit(op.IDs, func(p Payload) Payload {
			p = maps.Clone(p)
			for key, v := range change {
				if p == nil {
					p = Payload{}
				}
				p[key] = v
			}
			return p
		})
	case OverwritePayload:
		change, _ := DecodePayload(op.Payload)
		edit(op.IDs, func(Payload) Payload { return change })
	case DeletePayload:
		edit(op.IDs, func(p Payload) Payload {
			p = maps.Clone(p)
			for _, key := range op.Keys {
				delete(p, key)
			}
			return p
		})
	case ClearPayload:
		edit(op.IDs, func(Payload) Payload { return nil })
	}
	return answer, ""
}

// anyCommand draws from so few values that they meet.
func anyCommand(t *rapid.T, m *model) Command {
	c := Command{
		Tenant:     rapid.SampledFrom([]tenant.ID{"a", "ab"}).Draw(t, "tenant"),
		Collection: rapid.Uint64Range(0, m.next).Draw(t, "collection"),
		Key:        rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(t, "key"),
		Nonce:      rapid.SampledFrom([]string{"", "", "n", "o"}).Draw(t, "nonce"),
		Time:       m.time + anyElapsed(t),
		Limits: tenant.Limits{
			Vectors:     rapid.Int64Range(-1, 6).Draw(t, "vectors"),
			Bytes:       rapid.SampledFrom([]int64{-1, -1, 0, 60, 120}).Draw(t, "bytes"),
			Collections: rapid.Int64Range(-1, 3).Draw(t, "collections"),
		},
	}
	if c.Key != "" {
		c.Hash[0] = rapid.SampledFrom([]byte{1, 1, 1, 2}).Draw(t, "hash")
	}
	if c.Nonce != "" {
		c.Claim = rapid.Uint64Range(0, 2).Draw(t, "claim")
	}
	// Mostly a collection of the tenant's own.
	own := []uint64{}
	for id, mc := range m.live {
		if mc.tenant == c.Tenant {
			own = append(own, id)
		}
	}
	if slices.Sort(own); len(own) > 0 && rapid.IntRange(0, 9).Draw(t, "own") > 0 {
		c.Collection = rapid.SampledFrom(own).Draw(t, "collection")
	}
	if mc := m.live[c.Collection]; mc != nil && rapid.Bool().Draw(t, "by filter") {
		c.Basis = rapid.Uint64Range(0, mc.changes).Draw(t, "basis")
	}
	c.Op = anyOp(t)
	switch rapid.IntRange(0, 19).Draw(t, "rare") {
	case 0:
		c = Command{Time: c.Time, Op: OutboxDone{Upto: rapid.Uint64Range(0, m.told+1).Draw(t, "upto")}}
	case 2:
		c = Command{Time: c.Time, Op: CutUsage{}}
	case 3:
		c = Command{Time: c.Time, Op: UsageDone{Upto: rapid.Uint64Range(0, m.use.last+1).Draw(t, "upto")}}
	case 1:
		if rapid.IntRange(0, 3).Draw(t, "drop") == 0 {
			c = Command{Tenant: c.Tenant, Time: c.Time, Op: DropTenant{Max: 1000}}
		}
	}
	return c
}

// anyElapsed is a time between two entries: about as long as a nonce is
// remembered, or an idempotency key.
func anyElapsed(t *rapid.T) int64 {
	most := rapid.SampledFrom([]int64{nonceMs * 2 / 3, idempotencyMs * 2 / 3}).Draw(t, "within")
	return rapid.Int64Range(-1000, most).Draw(t, "elapsed")
}

func anyOp(t *rapid.T) Op {
	someID := rapid.SampledFrom([]PointID{NumID(0), NumID(1), NumID(2), UUID([16]byte{}), UUID([16]byte{1})})
	ids := func() []PointID { return rapid.SliceOfN(someID, 0, 4).Draw(t, "ids") }
	name := func() string { return rapid.SampledFrom([]string{"x", "y", "xy"}).Draw(t, "name") }
	payload := func() Payload {
		p := Payload(rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), rapid.Just[any]("v"), 0, 2).Draw(t, "payload"))
		if len(p) == 0 {
			return nil
		}
		return p
	}
	encoded := func() []byte {
		raw, err := encodePayload(payload(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	switch kind := rapid.IntRange(0, 17).Draw(t, "op"); kind {
	case 0, 1:
		return CreateCollection{Name: name(), Config: modelConfig()}
	case 2:
		return DeleteCollection{Name: name()}
	case 3:
		return DeletePoints{IDs: ids()}
	case 4:
		return SetPayload{IDs: ids(), Payload: encoded()}
	case 5:
		return OverwritePayload{IDs: ids(), Payload: encoded()}
	case 6:
		return DeletePayload{IDs: ids(), Keys: []string{"a"}}
	case 7:
		return ClearPayload{IDs: ids()}
	case 8:
		return CheckDigest{}
	case 9, 10, 11, 12:
		return anyNamedOp(t, kind, ids)
	case 13:
		batch := Batch{}
		for range rapid.IntRange(0, 3).Draw(t, "ops") {
			if op := anyOp(t); inBatch(op.kind()) {
				batch.Ops = append(batch.Ops, op)
			}
		}
		return batch
	}
	op := Upsert{}
	for _, id := range ids() {
		p := anyModelPoint(t, id)
		p.Payload = payload()
		op.Records = append(op.Records, modelRecordOf(p))
	}
	return op
}

func refusalOf(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%s %s", CodeOf(err), ReasonOf(err))
}

func TestMachineAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			next: 1, live: map[uint64]*modelCollection{}, requests: map[modelKey]modelRequest{},
			nonces: map[modelKey]nonceRow{}, erased: map[tenant.ID]Erasure{}, aliases: map[modelKey]uint64{},
		}
		s := newMemStore()
		live := map[uint64]map[uint64]PointID{} // what a live index knows: the fold of the events
		var log [][]byte
		last := map[uint64]uint64{} // by collection
		for range rapid.IntRange(1, 60).Draw(t, "entries") {
			var c Command
			if trash, _ := ListTrash(s); len(trash) > 0 && rapid.Bool().Draw(t, "purge") {
				c = Command{Collection: trash[0].Collection, Op: Purge{Max: rapid.IntRange(1, 4).Draw(t, "max")}}
			} else {
				c = anyCommand(t, m)
			}
			data, err := EncodeCommand(nil, c)
			if err != nil {
				t.Fatal(err)
			}
			log = append(log, data)
			state := s.state()
			out := s.apply(data)
			if err := Verify(s); err != nil {
				t.Fatal(err)
			}
			if _, purge := c.Op.(Purge); purge {
				m.elapse(max(m.time, c.Time))
				if out.Err != nil || len(out.Events) > 0 {
					t.Fatal(out.Err, out.Events)
				}
				continue
			}
			attempt := m.clone()
			answer, refusal := attempt.apply(c)
			if got := refusalOf(out.Err); got != refusal {
				t.Fatalf("%+v: refused with %q, want %q (%v)", c, got, refusal, out.Err)
			}
			if refusal != "" {
				if s.state() != state || out.Events != nil {
					t.Fatalf("%+v was refused and changed something", c)
				}
				continue
			}
			m.elapse(attempt.time)
			attempt.use.held = m.use.held
			m = attempt
			if _, drop := c.Op.(DropTenant); drop { // how many keys and nonces were still there is nobody's business
				answer.Affected = max(answer.Affected, out.Answer.(Answer).Affected)
			}
			if !reflect.DeepEqual(out.Answer, any(answer)) {
				t.Fatalf("%+v: answered %+v, want %+v", c, out.Answer, answer)
			}
			foldEvents(t, live, out.Events, last)
			compare(t, s, m, live)
		}
		replay(t, s, log)
	})
}

// foldEvents takes an entry's events into a live index of ids by version.
// A collection's versions rise from entry to entry and within one.
func foldEvents(t *rapid.T, live map[uint64]map[uint64]PointID, events []Event, last map[uint64]uint64) {
	for _, e := range events {
		if e.Kind == EventDrop {
			delete(live, e.Collection)
			continue
		}
		if e.Kind == EventConfig {
			continue
		}
		if e.Kind == EventUpsert && e.Version <= last[e.Collection] {
			t.Fatalf("version %x after %x", e.Version, last[e.Collection])
		}
		c := live[e.Collection]
		if c == nil {
			c = map[uint64]PointID{}
			live[e.Collection] = c
		}
		if e.Old != 0 && c[e.Old] != e.ID {
			t.Fatalf("event %+v replaces version of %v", e, c[e.Old])
		}
		delete(c, e.Old)
		if e.Kind == EventUpsert {
			last[e.Collection] = e.Version
			c[e.Version] = e.ID
		}
	}
}

// compare holds the store, and the fold of its events, against the model.
func compare(t *rapid.T, s *memStore, m *model, live map[uint64]map[uint64]PointID) {
	var outbox []modelRecord
	if err := scanOutbox(s, func(sequence uint64, c Notice) bool {
		outbox = append(outbox, modelRecord{sequence, c})
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.outbox, outbox, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("outbox: %s", diff)
	}
	for _, id := range []tenant.ID{"a", "ab"} {
		used, err := Usage(s, id)
		counted, countErr := Recount(s, id)
		want := m.usage(id)
		erased, erasedErr := Erased(s, id)
		if _, gone := m.erased[id]; used.Gone != gone || erased != m.erased[id] || erasedErr != nil {
			t.Fatalf("tenant %s: counters %+v, erased %+v, %v, model %+v", id, used, erased, erasedErr, m.erased[id])
		}
		used.Gone = false
		if used != want || counted != want || err != nil || countErr != nil {
			t.Fatalf("tenant %s: counters %+v, recount %+v, model %+v", id, used, counted, want)
		}
	}
	compareCatalog(t, s, m)
	compareUsage(t, s, m)
	for id, mc := range m.live {
		info, ok, err := LookupCollection(s, mc.tenant, mc.name)
		if err != nil || !ok || info.ID != id || info.Config.CreatedAt != mc.created || info.Points != uint64(len(mc.points)) {
			t.Fatalf("collection %d: %+v, %v, %v", id, info, ok, err)
		}
		got := map[PointID]modelPoint{}
		err = ScanPoints(s, id, 0, func(version uint64, rec Record) bool {
			if live[id][version] != rec.ID() {
				t.Fatalf("version %x: live index says %v", version, live[id][version])
			}
			got[rec.ID()] = modelPoint{version, modelPointOf(rec), len(rec.Bytes())}
			return true
		})
		same := cmp.AllowUnexported(modelPoint{}, PointID{})
		empty := cmp.Transformer("empty", func(p Payload) map[string]any { // nil and empty are the same payload
			return maps.Collect(maps.All(p))
		})
		if diff := cmp.Diff(mc.points, got, same, empty); diff != "" || err != nil || len(live[id]) != len(got) {
			t.Fatalf("collection %d: %v, %d in the live index\n%s", id, err, len(live[id]), diff)
		}
	}
}

// replay applies the log to another store: the bytes must be the same.
func replay(t *rapid.T, s *memStore, log [][]byte) {
	again := newMemStore()
	for _, data := range log {
		again.apply(data)
	}
	if again.state() != s.state() {
		t.Fatal("the same log gave another state")
	}
}
