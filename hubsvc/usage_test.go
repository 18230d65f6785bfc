package hubsvc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/tenant"
)

// usedThing is a collection as it is, beside what was reported of it.
type usedThing struct {
	level uint64
	held  int64 // bytes times milliseconds, as they were
	dirty bool
	add   tenant.Usage // to be reported

	reported  int64 // byte-seconds
	known, at int64 // the level as reported, and when
}

// usageWorld makes reports as partitions and nodes do, and counts plainly.
type usageWorld struct {
	rt     *rapid.T
	now    int64
	things map[string]*usedThing // reporter, tenant, collection
	sent   map[string][]tenant.UsageReport
	used   map[tenant.ID]tenant.Usage
	gone   bool // tenant b is
}

func (w *usageWorld) pass(ms int64) {
	w.now += ms
	for _, x := range w.things {
		x.held += int64(x.level) * ms
	}
}

// change gives some collection another level.
func (w *usageWorld) change(reporter string) {
	id := rapid.SampledFrom([]string{"a 1", "a 2", "b 1", "b 2", "ghost 1"}).Draw(w.rt, "collection")
	x := w.things[reporter+" "+id]
	if x == nil {
		x = &usedThing{}
		w.things[reporter+" "+id] = x
		x.add.CollectionsCreated = 1
	}
	level := rapid.Uint64Range(0, 1000).Draw(w.rt, "level")
	if level > x.level {
		x.add.StorageAdded += level - x.level
	} else {
		x.add.StorageFreed += x.level - level
	}
	x.level, x.dirty = level, true
}

// next is the report that a source makes now.
func (w *usageWorld) next(reporter, source string, ahead uint64) tenant.UsageReport {
	n := ahead
	if sent := w.sent[reporter+source]; len(sent) > 0 {
		n += sent[len(sent)-1].Sequence
	}
	r := tenant.UsageReport{ReportID: tenant.ReportID(reporter, source, n), Source: source, Sequence: n, Start: w.now, End: w.now}
	if source == "n:1" {
		for _, id := range []tenant.ID{"a", "b", "ghost"} {
			e := tenant.UsageEntry{Tenant: id, Collection: rapid.Uint64Range(0, 2).Draw(w.rt, "read")}
			e.APIRequests, e.SearchCount = rapid.Uint64Range(0, 9).Draw(w.rt, "requests"), 1
			r.Entries = append(r.Entries, e)
		}
		return r
	}
	for _, id := range []string{"a 1", "a 2", "b 1", "b 2", "ghost 1"} {
		x := w.things[reporter+" "+id]
		if x == nil || !x.dirty {
			continue
		}
		e := tenant.UsageEntry{Usage: x.add, StorageBytes: x.level, VectorCount: x.level / 2}
		fmt.Sscanf(id, "%s %d", &e.Tenant, &e.Collection)
		e.ByteSeconds = uint64(x.held/1000 - x.reported)
		r.Entries = append(r.Entries, e)
	}
	return r
}

// counted is what happens when the hub takes a report.
func (w *usageWorld) counted(reporter string, r tenant.UsageReport) {
	w.sent[reporter+r.Source] = append(w.sent[reporter+r.Source], r)
	for _, e := range r.Entries {
		u := w.used[e.Tenant]
		addUsage(&u, &e.Usage)
		w.used[e.Tenant] = u
		if x := w.things[fmt.Sprintf("%s %s %d", reporter, e.Tenant, e.Collection)]; x != nil && r.Source == "p:1" {
			x.reported += int64(e.ByteSeconds)
			x.known, x.at, x.dirty, x.add = int64(e.StorageBytes), r.End, false, tenant.Usage{}
		}
	}
}

// Reports of two clusters, in any order of repetitions, forgeries and gaps, and
// of tenants that are not known or go meanwhile, are counted once each: the
// totals are a plain sum, bytes over time a plain integral, and two machines
// have the same rows.
func TestUsageLedgerModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &usageWorld{rt: rt, now: 1_700_000_000_000, things: map[string]*usedThing{}, sent: map[string][]tenant.UsageReport{}, used: map[tenant.ID]tenant.Usage{}}
		hub, g := newHubAt(t, func() time.Time { return time.UnixMilli(w.now) })
		twin, twinMachine := newMemTxn(), NewMachine(nil)
		apply := func(op Op) (any, error) {
			c := Command{Time: w.now, Op: op}
			if err := c.validate(); err != nil {
				rt.Fatal(err)
			}
			answer, err := g.Propose(context.Background(), EncodeCommand(c))
			_, errTwin := twinMachine.Apply(twin, g.index, EncodeCommand(c))
			twin.end(errTwin)
			if !maps.EqualFunc(g.tx.state, twin.state, bytes.Equal) {
				rt.Fatalf("%T: %s", op, cmp.Diff(g.tx.state, twin.state))
			}
			return answer, err
		}
		for _, op := range []Op{commands[0].cmd.Op, &CreateTenant{ID: "a", Name: "a", Plan: "pro"}, &CreateTenant{ID: "b", Name: "b", Plan: "pro"}} {
			if _, err := apply(op); err != nil {
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			w.pass(rapid.SampledFrom([]int64{0, 1, 999, 300_000, dayMs, 3 * dayMs}).Draw(rt, "ms"))
			reporter := rapid.SampledFrom([]string{"c1", "service:x/c2"}).Draw(rt, "reporter")
			source := rapid.SampledFrom([]string{"p:1", "p:1", "n:1"}).Draw(rt, "source")
			sent := w.sent[reporter+source]
			switch rapid.IntRange(0, 7).Draw(rt, "step") {
			case 0, 1, 2:
				w.change(reporter)
			case 3, 4:
				r := w.next(reporter, source, 1)
				if len(r.Entries) == 0 {
					continue
				}
				batch := append(sent[len(sent)-min(len(sent), 2):len(sent):len(sent)], r)
				answer, err := apply(&TakeUsage{Reporter: reporter, Reports: batch})
				if taken, _ := answer.(UsageTaken); err != nil || taken.Counted != 1 || taken.Repeated != len(batch)-1 {
					rt.Fatalf("%+v, %v", answer, err)
				}
				w.counted(reporter, r)
			case 5:
				if len(sent) == 0 {
					continue
				}
				r := rapid.SampledFrom(sent).Draw(rt, "again")
				last := sent[len(sent)-1].Sequence
				before := maps.Clone(g.tx.state)
				delete(before, string([]byte{tagLedger}))
				if answer, err := apply(&TakeUsage{Reporter: reporter, Reports: []tenant.UsageReport{r, r}}); err != nil || answer != (UsageTaken{Repeated: 2}) {
					rt.Fatalf("%+v, %v", answer, err)
				}
				after := maps.Clone(g.tx.state)
				delete(after, string([]byte{tagLedger})) // the log's time
				if !maps.EqualFunc(before, after, bytes.Equal) {
					rt.Fatal("a repetition changed something")
				}
				r.End++
				if _, err := apply(&TakeUsage{Reporter: reporter, Reports: []tenant.UsageReport{r}}); last-r.Sequence < usageSeenMax {
					w.wantRefused(err)
				}
			case 6:
				ahead := rapid.Uint64Range(1, 300).Draw(rt, "ahead")
				r, gaps := w.next(reporter, source, ahead), 1
				if len(r.Entries) == 0 {
					continue
				}
				if ahead == 1 || len(sent) == 0 { // wherever a source begins
					gaps = 0
				}
				answer, err := apply(&TakeUsage{Reporter: reporter, Reports: []tenant.UsageReport{r, r}})
				if err != nil || answer != (UsageTaken{Counted: 1, Repeated: 1, Gaps: gaps, Ignored: answer.(UsageTaken).Ignored}) {
					rt.Fatalf("%+v, %v", answer, err)
				}
				w.counted(reporter, r)
				w.wantBounded(g.tx, reporter, source)
			case 7:
				if rapid.IntRange(0, 5).Draw(rt, "purge") == 0 && !w.gone {
					w.gone = true
					for _, op := range []Op{&DeleteTenant{ID: "b"}, &TenantPurged{ID: "b", Document: []byte("{}"), Signature: []byte{1}}} {
						if _, err := apply(op); err != nil {
							rt.Fatal(err)
						}
					}
				}
			}
			checkTables(rt, g.tx)
			w.check(hub)
		}
	})
}

func (w *usageWorld) wantRefused(err error) {
	if codeOf(err) != CodeFailedPrecondition {
		w.rt.Fatal(err)
	}
}

// wantBounded wants no more to be remembered of a source than there may be.
func (w *usageWorld) wantBounded(tx *memTxn, reporter, source string) {
	prefix, n := string(usageSourceKey(tagUsageSeen, reporter, source))+"\x00", 0
	for k := range tx.state {
		if strings.HasPrefix(k, prefix) {
			n++
		}
	}
	if n > usageSeenMax {
		w.rt.Fatalf("%d reports of %s are remembered", n, source)
	}
}

func (w *usageWorld) check(hub *Embedded) {
	for _, id := range []tenant.ID{"a", "b"} {
		s, err := hub.UsageStatistics(context.Background(), id, UsageQuery{Limit: UsagePageMax})
		if err != nil {
			w.rt.Fatal(err)
		}
		var held, level int64
		for key, x := range w.things {
			var reporter string
			var t tenant.ID
			fmt.Sscan(key, &reporter, &t)
			if t == id && x.at != 0 {
				held += 1000*x.reported + x.known*(w.now-x.at)
				level += x.known
			}
		}
		got := s.Total.Usage
		got.ByteSeconds = 0
		if got != w.used[id] {
			w.rt.Fatalf("tenant %s: %+v, the reports say %+v", id, got, w.used[id])
		}
		if w.gone && id == "b" {
			if s.Total.StorageBytes != 0 || len(s.Collections) != 0 || len(s.Days) != 0 {
				w.rt.Fatalf("of a tenant that is gone: %+v", s)
			}
			continue
		}
		if s.Total.ByteSeconds != uint64(held/1000) || s.Total.StorageBytes != uint64(level) || s.Total.ByteHours != uint64(held/3_600_000) {
			w.rt.Fatalf("tenant %s: %d byte-seconds at %d bytes, want %d at %d", id, s.Total.ByteSeconds, s.Total.StorageBytes, held/1000, level)
		}
		period := s.Period.Usage
		if period != s.Total.Usage {
			w.rt.Fatalf("tenant %s: the days are %+v, the total is %+v", id, period, s.Total.Usage)
		}
	}
	_, err := hub.UsageStatistics(context.Background(), "ghost", UsageQuery{})
	if codeOf(err) != CodeNotFound {
		w.rt.Fatal(err)
	}
}

// Bytes over time fall into the days in which they were held, also where
// nothing was reported for days: against an integral in steps of ten seconds.
func TestByteHoursOfDays(t *testing.T) {
	hub, _, move := timedHub(t)
	ctx := context.Background()
	a := mustCreate(t, hub, "pro").ID
	levels := map[uint64]uint64{}
	at := map[uint64]int64{}
	days := map[string]*big.Int{}
	for i, step := range []struct {
		minutes           int
		collection, level uint64
	}{
		{5, 1, 1000}, {60, 2, 1 << 40}, {600, 1, 10}, {2000, 2, 1 << 41}, {4 * 1440, 1, 7}, {1, 1, 0}, {1440, 2, 3}, {0, 1, 9}, {3000, 1, 10},
	} {
		for range 6 * step.minutes {
			sum := uint64(0)
			for _, l := range levels {
				sum += l
			}
			day := hub.now().UTC().Format(time.DateOnly)
			if days[day] == nil {
				days[day] = new(big.Int)
			}
			days[day].Add(days[day], new(big.Int).Mul(new(big.Int).SetUint64(sum), big.NewInt(10_000)))
			move(10 * time.Second)
		}
		now := hub.now().UnixMilli()
		e := tenant.UsageEntry{Tenant: a, Collection: step.collection, StorageBytes: step.level}
		if then, known := at[step.collection]; known {
			e.ByteSeconds = levels[step.collection] * (uint64(now-then) / 1000)
		}
		levels[step.collection], at[step.collection] = step.level, now
		r := tenant.UsageReport{ReportID: "r", Source: "p:1", Sequence: uint64(i + 1), Start: now, End: now, Entries: []tenant.UsageEntry{e}}
		if err := hub.ReportUsage(ctx, []tenant.UsageReport{r}); err != nil {
			t.Fatal(err)
		}
		s, err := hub.UsageStatistics(ctx, a, UsageQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range s.Days {
			date := time.UnixMilli(d.Start).UTC().Format(time.DateOnly)
			want := days[date]
			if want == nil {
				want = new(big.Int)
			}
			hours := new(big.Int).Div(want, big.NewInt(3_600_000))
			if hours.Cmp(new(big.Int).SetUint64(d.ByteHours)) != 0 {
				t.Fatalf("step %d, %s: %d byte-hours, want %s", i, date, d.ByteHours, hours)
			}
		}
		if i > 2 && len(s.Days) < 2 {
			t.Fatalf("%d days", len(s.Days))
		}
	}
}

// Every table of the ledger has its bound.
func TestUsageLedgerIsBounded(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	create := &CreateTenant{ID: "a", Name: "a", Plan: "pro"}
	_, err := apply(Command{Op: create})
	tx.keep(t, err)
	sequence := uint64(0)
	take := func(now int64, entries ...tenant.UsageEntry) error {
		sequence++
		r := tenant.UsageReport{ReportID: "r", Source: "p:1", Sequence: sequence, Start: now, End: now, Entries: entries}
		_, err := apply(Command{Time: now, Op: &TakeUsage{Reporter: "c", Reports: []tenant.UsageReport{r}}})
		return err
	}
	count := func(tag byte) (n int) {
		for k := range tx.work {
			if k[0] == tag {
				n++
			}
		}
		return n
	}
	for i := range uint64(usageGoneMax + 20) {
		e := tenant.UsageEntry{Tenant: "a", Collection: i + 1}
		e.CollectionsCreated, e.CollectionsDeleted, e.VectorsInserted = 1, 1, 2
		tx.keep(t, take(int64(i)*dayMs, e))
	}
	total, _, err := get[usageRow](tx, recordKey(tagUsageTenant, "a"))
	if err != nil || total.Gone != usageGoneMax || total.Collections != usageGoneMax || total.Usage.VectorsInserted != 2*(usageGoneMax+20) {
		t.Errorf("%+v, %v", total, err)
	}
	for tag, want := range map[byte]int{tagUsageCollection: usageGoneMax, tagUsageGone: usageGoneMax, tagUsageDay: UsageDays, tagUsageSeen: usageSeenMax, tagUsageSource: 1} {
		if n := count(tag); n != want {
			t.Errorf("%d rows of table %x, want %d", n, tag, want)
		}
	}
	total.Collections = usageCollectionsMax
	_ = tx.Put(Bucket, recordKey(tagUsageTenant, "a"), encodeRecord(total))
	e := tenant.UsageEntry{Tenant: "a", Collection: 1 << 40}
	e.ByteSeconds, e.SearchCount, e.StorageBytes = 5, 3, 1
	tx.keep(t, take(usageGoneMax*2*dayMs, e))
	after, _, err := get[usageRow](tx, recordKey(tagUsageTenant, "a"))
	if err != nil || after.Usage.SearchCount != 3 || after.Held.minus(total.Held) != (span{Low: 5000}) || count(tagUsageCollection) != usageGoneMax {
		t.Errorf("%+v, %v", after, err)
	}
}

func TestUsageCommandLimits(t *testing.T) {
	good := func() *TakeUsage {
		return &TakeUsage{Reporter: "c", Reports: []tenant.UsageReport{{ReportID: "r", Source: "p:1", Sequence: 1, Entries: []tenant.UsageEntry{{Tenant: "a"}}}}}
	}
	long := string(bytes.Repeat([]byte("x"), 161))
	for what, change := range map[string]func(*TakeUsage){
		"no reporter":       func(op *TakeUsage) { op.Reporter = "" },
		"a long reporter":   func(op *TakeUsage) { op.Reporter = long },
		"no reports":        func(op *TakeUsage) { op.Reports = nil },
		"too many reports":  func(op *TakeUsage) { op.Reports = make([]tenant.UsageReport, UsageReportsMax+1) },
		"too many entries":  func(op *TakeUsage) { op.Reports[0].Entries = manyEntries(UsageEntriesMax + 1) },
		"no id":             func(op *TakeUsage) { op.Reports[0].ReportID = "" },
		"a long id":         func(op *TakeUsage) { op.Reports[0].ReportID = long[:65] },
		"no sequence":       func(op *TakeUsage) { op.Reports[0].Sequence = 0 },
		"another source":    func(op *TakeUsage) { op.Reports[0].Source = "x:1" },
		"a source unnamed":  func(op *TakeUsage) { op.Reports[0].Source = "p:" },
		"a source with nul": func(op *TakeUsage) { op.Reports[0].Source = "p:1\x00" },
		"time backwards":    func(op *TakeUsage) { op.Reports[0].Start = 5 },
		"time before 1970":  func(op *TakeUsage) { op.Reports[0].Start, op.Reports[0].End = -5, -4 },
		"no entries":        func(op *TakeUsage) { op.Reports[0].Entries = nil },
		"a level of none":   func(op *TakeUsage) { op.Reports[0].Entries[0].StorageBytes = 1<<53 + 1 },
		"too many points":   func(op *TakeUsage) { op.Reports[0].Entries[0].VectorsInserted = 1<<64 - 1 },
		"created twice": func(op *TakeUsage) {
			op.Reports[0].Entries[0].Collection, op.Reports[0].Entries[0].CollectionsCreated = 1, 2
		},
		"too many deleted": func(op *TakeUsage) { op.Reports[0].Entries[0].CollectionsDeleted = UsageEntriesMax + 1 },
		"a tenant of none": func(op *TakeUsage) { op.Reports[0].Entries[0].Tenant = "No Tenant" },
	} {
		op := good()
		if change(op); codeOf(op.validate()) != CodeInvalidRequest {
			t.Errorf("%s: %v", what, op.validate())
		}
	}
	op := good()
	op.Reports[0].Entries = manyEntries(UsageEntriesMax)
	if err := op.validate(); err != nil {
		t.Error(err)
	}
}

func codeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

func manyEntries(n int) []tenant.UsageEntry {
	list := make([]tenant.UsageEntry, n)
	for i := range list {
		list[i].Tenant = "a"
	}
	return list
}

func TestSpans(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size, ms := rapid.Uint64().Draw(rt, "size"), rapid.Int64Range(-1<<62, 1<<62).Draw(rt, "ms")
		other := rapid.Uint64().Draw(rt, "other")
		want := new(big.Int).Mul(new(big.Int).SetUint64(size), big.NewInt(ms))
		want.Add(want, new(big.Int).Mul(new(big.Int).SetUint64(other), big.NewInt(7)))
		s := held(size, ms).plus(held(other, 9)).minus(held(other, 2))
		unit := rapid.Uint64Range(1, 1<<40).Draw(rt, "unit")
		hours := new(big.Int).Div(want, new(big.Int).SetUint64(unit))
		switch {
		case want.Sign() < 0:
			hours.SetUint64(0)
		case !hours.IsUint64():
			hours.SetUint64(1<<64 - 1)
		}
		if got := s.over(unit); got != hours.Uint64() {
			rt.Fatalf("%d * %d + 7 * %d over %d: %d, want %s", size, ms, other, unit, got, hours)
		}
	})
}

// A ledger counts from wherever a source is when it comes to it: of a node that
// reported to another hub before, of a service under another name, and of a hub
// that was restored from a backup. What it lacks is noted.
func TestSourcesThatMove(t *testing.T) {
	ctx := context.Background()
	here, _, _ := timedHub(t)
	there, _, _ := timedHub(t)
	for _, c := range []struct {
		what     string
		hub      *Embedded
		reporter string
		sequence uint64
		want     UsageTaken
	}{
		{"its first", here, "c", 1, UsageTaken{Counted: 1}},
		{"the second", here, "c", 2, UsageTaken{Counted: 1}},
		{"to another hub", there, "service:x/c", 3, UsageTaken{Counted: 1}},
		{"again", there, "service:x/c", 3, UsageTaken{Repeated: 1}},
		{"and on", there, "service:x/c", 4, UsageTaken{Counted: 1}},
		{"of before", there, "service:x/c", 1, UsageTaken{Repeated: 1}},
		{"under another name", there, "service:y/c", 5, UsageTaken{Counted: 1}},
		{"and back again", here, "c", 6, UsageTaken{Counted: 1, Gaps: 1}},
		{"a gap, within a day", here, "c", 9, UsageTaken{Counted: 1, Gaps: 1}},
	} {
		r := tenant.UsageReport{ReportID: tenant.ReportID("c", "p:1", c.sequence), Source: "p:1", Sequence: c.sequence, Entries: []tenant.UsageEntry{{Tenant: DefaultTenant}}}
		if got, err := c.hub.TakeUsage(ctx, c.reporter, []tenant.UsageReport{r}); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.what, got, err)
		}
	}
	rows, _, err := here.ListAudit(ctx, AuditQuery{Action: ActionUsageGap, Limit: 10})
	if err != nil || len(rows) != 1 || rows[0].Target != "c p:1" || rows[0].Detail != "reports 3 to 5 are missing" {
		t.Errorf("%+v, %v", rows, err)
	}
	source, err := read(ctx, here, func(r Reader) (usageSource, error) {
		s, _, err := get[usageSource](r, usageSourceKey(tagUsageSource, "c", "p:1"))
		return s, err
	})
	if err != nil || source.Last != 9 || source.Gaps != 2 || source.Missing != 5 {
		t.Errorf("%+v, %v", source, err)
	}
}

// One reporter, and one service under many names, fills no table of the others;
// who has been idle for long makes room.
func TestUsageSourcesAreBounded(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	take := func(now int64, reporter, source string) error {
		r := tenant.UsageReport{ReportID: "r", Source: source, Sequence: 1, Entries: []tenant.UsageEntry{{Tenant: DefaultTenant}}}
		_, err := apply(Command{Time: now, Op: &TakeUsage{Reporter: reporter, Reports: []tenant.UsageReport{r}}})
		if err == nil {
			tx.keep(t, nil)
		}
		return err
	}
	for i := range usageSourcesMax {
		if err := take(1, "service:x/c", fmt.Sprintf("n:%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, take(1, "service:x/c", "n:x"), CodeQuotaExceeded)
	tx.end(errors.New("refused"))
	for i := range usageClustersMax - 1 {
		if err := take(1, fmt.Sprintf("service:x/%d", i), "p:1"); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, take(1, "service:x/more", "p:1"), CodeQuotaExceeded)
	tx.end(errors.New("refused"))
	for _, other := range []string{"service:y/c", "operator"} {
		if err := take(1, other, "p:1"); err != nil {
			t.Errorf("%s: %v", other, err)
		}
	}
	checkTables(t, tx)
	later := int64(usageIdleMs + dayMs)
	for i := range 2 * usageSourcesMax / usageSweptEntry {
		if err := take(later, "service:y/c", fmt.Sprintf("n:%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := take(later, "service:x/more", "p:1"); err != nil {
		t.Error(err)
	}
	checkTables(t, tx)
	if l, err := ledgerOf(tx); err != nil || l.UsageReporters != 2 {
		t.Errorf("%+v, %v", l, err)
	}
}

// A clock that leaps is not billed: neither the leap, nor is nothing billed
// until the clock is right again.
func TestUsageOfAClockThatLeaps(t *testing.T) {
	const size, years = 50_000_000, 14 * 365 * dayMs
	hub, _, move := timedHub(t)
	ctx := context.Background()
	sequence := uint64(0)
	report := func(end int64, seconds uint64, clipped int) {
		t.Helper()
		sequence++
		e := tenant.UsageEntry{Tenant: DefaultTenant, Collection: 1, StorageBytes: size}
		e.ByteSeconds = seconds
		r := tenant.UsageReport{ReportID: "r", Source: "p:1", Sequence: sequence, End: end, Entries: []tenant.UsageEntry{e}}
		if taken, err := hub.TakeUsage(ctx, "c", []tenant.UsageReport{r}); err != nil || taken.Clipped != clipped {
			t.Errorf("%+v, %v", taken, err)
		}
	}
	now := func() int64 { return hub.now().UnixMilli() }
	report(now(), 0, 0)
	move(time.Hour)
	report(now(), size*3600, 0)
	move(time.Hour)
	report(now()+years, size*years/1000, 1) // an entry of a leader with a wrong clock
	move(time.Hour)
	report(now()+years, 0, 1) // until then the partition's time stands still
	s, err := hub.UsageStatistics(ctx, DefaultTenant, UsageQuery{})
	if err != nil || s.Total.ByteHours != 3*size {
		t.Errorf("%d byte-hours, want %d; %v", s.Total.ByteHours, 3*size, err)
	}
	move(time.Hour)
	report(now(), size*years/1000, 1) // the clock was set back, and the leap is told late
	s, err = hub.UsageStatistics(ctx, DefaultTenant, UsageQuery{})
	if most := uint64(size*4 + size/6 + 1); err != nil || s.Total.ByteHours < 4*size || s.Total.ByteHours > most {
		t.Errorf("%d byte-hours, want %d and some slack; %v", s.Total.ByteHours, 4*size, err)
	}
}

// Sums of what was reported stay at their most.
func TestUsageSumsDoNotWrap(t *testing.T) {
	a := UsageSum{VectorCount: 1<<64 - 1, StorageBytes: 1<<64 - 2, ByteHours: 1 << 63}
	a.ByteSeconds = 1 << 63
	b := a
	a.add(&b)
	if most := uint64(1<<64 - 1); a.VectorCount != most || a.StorageBytes != most || a.ByteHours != most || a.ByteSeconds != most {
		t.Errorf("%+v", a)
	}
}
