package collection

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/tenant"
)

// modelUse counts what was ever done in a collection.
type modelUse struct{ inserted, deleted, added, freed uint64 }

func (u *modelUse) write(old, now int, there bool) {
	u.added += uint64(now)
	if there {
		u.freed += uint64(old)
		return
	}
	u.inserted++
}

func (u *modelUse) remove(size int) {
	u.deleted++
	u.freed += uint64(size)
}

// modelUsage is what the model knows of usage besides the live collections.
type modelUsage struct {
	last    uint64              // report
	waiting []uint64            // reports
	cut     map[uint64]modelUse // collections as their last report left them
	gone    map[uint64]modelUse // of deleted collections
	told    map[uint64]bool     // that they are deleted
	held    map[uint64]uint64   // bytes times milliseconds, of every collection that ever was
	reports map[uint64]tenant.UsageReport
}

func (u modelUsage) clone() modelUsage {
	u.waiting, u.cut, u.gone, u.told = slices.Clone(u.waiting), maps.Clone(u.cut), maps.Clone(u.gone), maps.Clone(u.told)
	return u // held and reports are the test's own
}

// elapse lets time pass: a naive integral.
func (m *model) elapse(now int64) {
	if m.use.held == nil {
		m.use.held = map[uint64]uint64{}
	}
	for id, mc := range m.live {
		for _, p := range mc.points {
			m.use.held[id] += uint64(p.bytes) * uint64(now-m.time)
		}
	}
	m.time = now
}

// ended keeps what was done in a collection that goes.
func (m *model) ended(id uint64) {
	mc := m.live[id]
	if mc == nil {
		return
	}
	for _, p := range mc.points {
		mc.use.remove(p.bytes)
	}
	if m.use.gone == nil {
		m.use.gone = map[uint64]modelUse{}
	}
	m.use.gone[id] = mc.use
}

// cut reports every collection in which something was done since its last report.
func (m *model) cut() Answer {
	if m.use.cut == nil {
		m.use.cut, m.use.told = map[uint64]modelUse{}, map[uint64]bool{}
	}
	n := 0
	for id, mc := range m.live {
		if was, known := m.use.cut[id]; !known || was != mc.use {
			n++
			m.use.cut[id] = mc.use
		}
	}
	for id := range m.use.gone {
		if !m.use.told[id] {
			n++
			m.use.told[id] = true
		}
	}
	if n > 0 {
		m.use.last++
		m.use.waiting = append(m.use.waiting, m.use.last)
	}
	return Answer{Operation: m.use.last, Affected: n}
}

func (u *modelUsage) done(upto uint64) Answer {
	n := len(u.waiting)
	u.waiting = slices.DeleteFunc(u.waiting, func(s uint64) bool { return s <= upto })
	return Answer{Affected: n - len(u.waiting)}
}

// compareUsage holds the sum of all reports and open windows against what was
// done, of every collection that ever was, and reports that wait to stay as
// they were cut.
func compareUsage(t *rapid.T, s *memStore, m *model) {
	if m.use.reports == nil {
		m.use.reports = map[uint64]tenant.UsageReport{}
	}
	waiting, err := WaitingUsage(s, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []uint64
	for _, r := range waiting {
		numbers = append(numbers, r.Sequence)
		if was, known := m.use.reports[r.Sequence]; known && !cmp.Equal(was, r) {
			t.Fatalf("report %d was\n%+v, and is\n%+v", r.Sequence, was, r)
		}
		m.use.reports[r.Sequence] = r
	}
	if !slices.Equal(numbers, m.use.waiting) {
		t.Fatalf("reports %v wait, the model has %v", numbers, m.use.waiting)
	}
	sums := map[uint64]tenant.Usage{}
	rest := map[uint64]uint64{}
	end := int64(0)
	for i := uint64(1); i <= m.use.last; i++ {
		r, known := m.use.reports[i]
		if !known || i > 1 && r.Start != end || r.End < r.Start {
			t.Fatalf("report %d: %+v after %d", i, r, end)
		}
		end = r.End
		for _, e := range r.Entries {
			addTo(sums, e.Collection, e.Usage)
		}
	}
	openWindows(t, s, m.time, sums, rest)
	for id, mc := range m.live {
		want := tenant.Usage{
			VectorsInserted: mc.use.inserted, VectorsDeleted: mc.use.deleted, StorageAdded: mc.use.added, StorageFreed: mc.use.freed,
			CollectionsCreated: 1, ByteSeconds: m.use.held[id] / 1000,
		}
		if sums[id] != want || rest[id] != m.use.held[id]%1000 {
			t.Fatalf("collection %d: counted %+v and %d, done %+v and %d", id, sums[id], rest[id], want, m.use.held[id]%1000)
		}
	}
	for id, use := range m.use.gone {
		got, held := sums[id], m.use.held[id]
		want := tenant.Usage{
			VectorsInserted: use.inserted, VectorsDeleted: use.deleted, StorageAdded: use.added, StorageFreed: use.freed,
			CollectionsCreated: 1, CollectionsDeleted: 1, ByteSeconds: held / 1000, // the rest is lost with the collection
		}
		if got != want || use.inserted != use.deleted || use.added != use.freed {
			t.Fatalf("collection %d, which is gone: counted %+v, done %+v", id, got, want)
		}
	}
	if len(sums) != len(m.live)+len(m.use.gone) {
		t.Fatalf("%d collections counted, there were %d", len(sums), len(m.live)+len(m.use.gone))
	}
}

func addTo(sums map[uint64]tenant.Usage, id uint64, u tenant.Usage) {
	s := sums[id]
	s.VectorsInserted += u.VectorsInserted
	s.VectorsDeleted += u.VectorsDeleted
	s.StorageAdded += u.StorageAdded
	s.StorageFreed += u.StorageFreed
	s.ByteSeconds += u.ByteSeconds
	s.CollectionsCreated += u.CollectionsCreated
	s.CollectionsDeleted += u.CollectionsDeleted
	sums[id] = s
}

// openWindows adds what no report holds yet, as of now.
func openWindows(t *rapid.T, s *memStore, now int64, sums map[uint64]tenant.Usage, rest map[uint64]uint64) {
	err := s.Scan(BucketCounters, []byte{rowCollection}, []byte{rowCollection + 1}, func(key, _ []byte) bool {
		id, _ := collectionOf(key)
		c, err := readCounters(s, id)
		if err != nil {
			t.Fatal(err)
		}
		c.advance(now)
		rest[id] = c.use.rest
		addTo(sums, id, c.use.take())
		return true
	})
	if err == nil {
		err = scanDirty(s, func(id uint64, row dirtyRow) bool {
			if row.last != nil {
				u := row.last.take()
				u.CollectionsDeleted = 1
				addTo(sums, id, u)
			}
			return true
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// age takes from a store what older ones did not have.
func (s *memStore) age() {
	for key, v := range s.buckets[BucketCounters] {
		switch {
		case key[0] == rowCollection:
			s.buckets[BucketCounters][key] = v[:24]
		case key[0] >= rowDirty:
			delete(s.buckets[BucketCounters], key)
		}
	}
}

// A store of old is read as it is. What it holds counts as put into it, with
// the first change or the first cuts, of a bounded number of collections each.
func TestUsageOfOldStores(t *testing.T) {
	s := newMemStore()
	const old = usageEntriesMax + 5
	for i := range old {
		c := s.doQuickly(t, command(0, CreateCollection{Name: strconv.Itoa(i), Config: testConfig()})).Collection
		s.doQuickly(t, command(c, upsert(t, point(1, nil), point(2, nil))))
	}
	s.age()
	if err := Verify(s); err != nil {
		t.Fatal(err)
	}
	if n, err := DirtyWindows(s); n != 1 || err != nil {
		t.Fatalf("%d, %v: nobody would cut", n, err)
	}
	changed := command(7, DeletePoints{IDs: []PointID{NumID(1)}})
	changed.Time = 5000
	s.do(t, changed)
	s.doQuickly(t, command(0, DeleteCollection{Name: "9"}))
	seen := map[uint64]tenant.UsageEntry{}
	for more := true; more; {
		a := s.do(t, Command{Op: CutUsage{}, Time: 6000})
		more = a.Existed
		reports, err := WaitingUsage(s, 1)
		if err != nil || len(reports) != 1 || len(reports[0].Entries) > usageEntriesMax {
			t.Fatalf("%d reports, %v", len(reports), err)
		}
		for _, e := range reports[0].Entries {
			if _, twice := seen[e.Collection]; twice {
				t.Fatalf("collection %d comes twice", e.Collection)
			}
			seen[e.Collection] = e
		}
		s.do(t, Command{Op: UsageDone{Upto: a.Operation}})
	}
	size := uint64(len(record(t, point(1, nil)).raw))
	want := tenant.UsageEntry{
		Tenant: alice, Collection: 3, Usage: tenant.Usage{VectorsInserted: 2, StorageAdded: 2 * size, CollectionsCreated: 1},
		VectorCount: 2, StorageBytes: 2 * size,
	}
	if len(seen) != old || seen[3] != want {
		t.Fatalf("%d collections, %+v", len(seen), seen[3])
	}
	want.Collection, want.VectorCount, want.StorageBytes = 7, 1, size
	want.VectorsDeleted, want.StorageFreed, want.ByteSeconds = 1, size, size
	if seen[7] != want {
		t.Fatalf("the changed one: %+v, want %+v", seen[7], want)
	}
	if e := seen[10]; e.CollectionsDeleted != 1 || e.VectorsInserted != 2 || e.VectorsDeleted != 2 || e.StorageBytes != 0 {
		t.Fatalf("the deleted one: %+v", e)
	}
	if n, err := DirtyWindows(s); n != 0 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
}

// doQuickly is do without reading the whole store.
func (s *memStore) doQuickly(t testing.TB, c Command) Answer {
	t.Helper()
	out := s.apply(encode(t, c))
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	return out.Answer.(Answer)
}

// With the hub away reports wait, as many as there may be; then nothing is cut
// and nothing is lost.
func TestUsageWaitsForTheHub(t *testing.T) {
	s := newMemStore()
	c := s.create(t, "x")
	for i := range uint64(usageReportsMax) {
		s.doQuickly(t, command(c, upsert(t, point(i, nil))))
		s.doQuickly(t, Command{Op: CutUsage{}})
	}
	for i := range uint64(3) {
		s.doQuickly(t, command(c, upsert(t, point(usageReportsMax+i, nil))))
		_, err := s.try(t, Command{Op: CutUsage{}})
		wantError(t, err, Unavailable, ReasonNone)
	}
	if reports, err := WaitingUsage(s, 5); err != nil || len(reports) != 5 || reports[4].Sequence != 5 {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	if none, err := WaitingUsage(s, 0); err != nil || none != nil {
		t.Fatal(none, err)
	}
	a := s.do(t, Command{Op: UsageDone{Upto: 600}})
	if a.Affected != 600 || a.Existed {
		t.Fatalf("%+v", a)
	}
	s.do(t, Command{Op: CutUsage{}})
	reports, err := WaitingUsage(s, usageReportsMax)
	if err != nil || len(reports) != 401 || reports[0].Sequence != 601 {
		t.Fatalf("%d reports from %d on, %v", len(reports), reports[0].Sequence, err)
	}
	if e := reports[400].Entries[0]; reports[400].Sequence != 1001 || e.VectorsInserted != 3 || e.VectorCount != usageReportsMax+3 {
		t.Fatalf("%+v", reports[400])
	}
}

// The bytes of many years do not fit, and neither wrap nor stop the partition.
func TestByteSecondsEnd(t *testing.T) {
	for _, tc := range []struct {
		bytes        uint64
		ms           int64
		before, rest uint64
		want, left   uint64
	}{
		{3, 1500, 0, 0, 4, 500},
		{3, 1500, 7, 999, 12, 499},
		{1 << 40, 86_400_000 * 100, 0, 0, 1 << 40 * 8_640_000, 0},
		{1 << 62, 10_000, 0, 5, 1<<64 - 1, 5},
		{1 << 63, 1 << 62, 0, 5, 1<<64 - 1, 5},
		{1, 5000, 1<<64 - 3, 7, 1<<64 - 1, 7},
	} {
		c := counters{bytes: tc.bytes, use: window{byteSeconds: tc.before, rest: tc.rest, counted: true}}
		c.advance(tc.ms)
		if c.use.byteSeconds != tc.want || c.use.byteSeconds != 1<<64-1 && c.use.rest != tc.left || c.use.rest > 999 {
			t.Errorf("%d bytes for %d ms: %d and %d", tc.bytes, tc.ms, c.use.byteSeconds, c.use.rest)
		}
	}
}

// FuzzUsageRows: no stored bytes crash a decoder, and what it accepts it writes
// as it was.
func FuzzUsageRows(f *testing.F) {
	f.Add(encodeReport(tenant.UsageReport{Start: 1, End: 2, Entries: []tenant.UsageEntry{{Tenant: alice, Collection: 3}}}))
	c := newCounters(5)
	f.Add(dirtyRow{tenant: alice, last: &c.use}.encode())
	f.Add(c.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeReport(b); err == nil && string(encodeReport(r)) != string(b) {
			t.Fatalf("report %x", b)
		}
		if r, err := decodeDirty(b); err == nil && string(r.encode()) != string(b) {
			t.Fatalf("window %x", b)
		}
		s := newMemStore()
		s.buckets[BucketCounters][string(collectionKey(rowCollection, 1))] = b
		s.buckets[BucketCounters][string([]byte{rowUsageSum})] = b
		if c, err := readCounters(s, 1); err == nil && c.use.counted && string(c.encode(nil)) != string(b) {
			t.Fatalf("counters %x", b)
		}
		_, _, _ = readUsageSum(s)
	})
}
