package oplog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hivehub/waggle/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a log with small segments, and stops it when the test ends.
func open(t testing.TB, o Options) *Log {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.segmentBytes == 0 {
		o.segmentBytes = 64 << 10
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, l) })
	return l
}

func stop(t testing.TB, l *Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// row is the n-th row of a tenant: its id is n, so that rows can be told apart.
func row(id tenant.ID, n int) tenant.LoggedOperation {
	o := tenant.LoggedOperation{
		Tenant: id, Operation: "POST /collections/:name/points/search", Type: tenant.LogSearch, Collection: "docs",
		Time: 1_000_000 + int64(n), Duration: time.Duration(n) * time.Microsecond, Status: 200, Surface: "qdrant",
		RequestID: fmt.Sprintf("request-%d", n), Key: "k_abc", K: 10,
	}
	copy(o.ID[:], fmt.Sprintf("%016d", n))
	return o
}

func all(t testing.TB, l *Log, q tenant.LogQuery) (rows []tenant.LoggedOperation) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = tenant.LogPageMax
	}
	for {
		page, more, err := l.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, page...)
		if !more {
			return rows
		}
		if len(page) == 0 {
			t.Fatal("an empty page with more behind it")
		}
		q.After = page[len(page)-1].LogKey()
	}
}

// keep appends a row that must not be dropped, however slow the disk is.
func keep(t testing.TB, l *Log, o *tenant.LoggedOperation) {
	t.Helper()
	if err := l.keep(t.Context(), o); err != nil {
		t.Error(err)
	}
}

func numbers(rows []tenant.LoggedOperation) (list []int) {
	for _, o := range rows {
		list = append(list, int(o.Time-1_000_000))
	}
	return list
}

// TestRowsComeBack: what was appended is found as it was, also after another
// start, through many segments, and no tenant sees another's.
func TestRowsComeBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	const n = 3000
	want := map[tenant.ID][]tenant.LoggedOperation{}
	for i := range n {
		id := tenant.ID(fmt.Sprintf("t_%d", i%3))
		o := row(id, i)
		if i%5 == 0 {
			o.Failed, o.Code, o.Status, o.Points = true, "NOT_FOUND", 404, 7
		}
		want[id] = append(want[id], o)
		keep(t, l, &o)
	}
	for range 2 {
		for id, rows := range want {
			for _, limit := range []int{1, 7, 1000} {
				q := tenant.LogQuery{Tenant: id, Limit: limit}
				if limit == 1 {
					q.From = rows[len(rows)-40].Time
					rows = rows[len(rows)-40:]
				} else {
					rows = want[id]
				}
				if got := all(t, l, q); !slices.Equal(got, rows) {
					t.Fatalf("%s, pages of %d: %d rows, want %d", id, limit, len(got), len(rows))
				}
			}
		}
		if s := l.Stats(); s.Dropped != 0 || s.Damaged != 0 {
			t.Errorf("%+v", s)
		}
		stop(t, l)
		l = open(t, Options{Dir: dir})
	}
	if got := all(t, l, tenant.LogQuery{Tenant: "t_0", Type: tenant.LogInsert}); len(got) != 0 {
		t.Errorf("%d rows of another type", len(got))
	}
	if got := numbers(all(t, l, tenant.LogQuery{Tenant: "t_1", From: 1_000_010, To: 1_000_019})); !slices.Equal(got, []int{10, 13, 16}) {
		t.Errorf("of a range of time: %v", got)
	}
}

// TestManyAppenders: rows of many goroutines are whole and all there.
func TestManyAppenders(t *testing.T) {
	l := open(t, Options{segmentBytes: 512 << 10})
	const each, by = 700, 8
	var wg sync.WaitGroup
	for g := range by {
		wg.Go(func() {
			for i := range each {
				o := row("t_many", g*each+i)
				keep(t, l, &o)
			}
		})
	}
	wg.Wait()
	got := numbers(all(t, l, tenant.LogQuery{Tenant: "t_many"}))
	if s := l.Stats(); uint64(len(got))+s.Dropped != each*by || s.Dropped > 0 || !slices.IsSorted(got) {
		t.Errorf("%d rows, %+v", len(got), s)
	}
}

// TestRowsOnce: a row that comes again is one row.
func TestRowsOnce(t *testing.T) {
	l := open(t, Options{})
	var batch []tenant.LoggedOperation
	for i := range 50 {
		batch = append(batch, row("t_a", i))
	}
	for range 3 {
		if err := l.AppendAll(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := all(t, l, tenant.LogQuery{Tenant: "t_a", Limit: 20}); !slices.Equal(got, batch) {
		t.Errorf("%d rows", len(got))
	}
}

// TestOldRowsGo: neither bytes nor age pass their bounds.
func TestOldRowsGo(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	l := open(t, Options{BytesMax: 512 << 10, AgeMax: time.Hour, SyncEvery: time.Millisecond, now: clock})
	for i := range 20_000 {
		o := row("t_a", i)
		keep(t, l, &o)
		if i%500 == 0 {
			await(t, func() bool { return l.Stats().Bytes <= 512<<10 })
		}
	}
	got := numbers(all(t, l, tenant.LogQuery{Tenant: "t_a"}))
	if len(got) < 500 || got[len(got)-1] != 19_999 || got[0] != 20_000-len(got) {
		t.Fatalf("%d rows from %d to %d", len(got), got[0], got[len(got)-1])
	}
	await(t, func() bool { // a file is as old as its sealing
		mu.Lock()
		now = now.Add(2 * time.Hour)
		mu.Unlock()
		return len(all(t, l, tenant.LogQuery{Tenant: "t_a"})) < 500
	})
}

func await(t testing.TB, ok func() bool) {
	t.Helper()
	t.Helper()
	end := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it does not come")
		}
	}
}

// copyDir is the directory as a process would find it that was started after a
// kill -9: what a mapping holds is in the file.
func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // just removed
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestKilledAtEveryStep stops the world before each step of the disk, as kill
// -9 would, and opens what is there: every row whose Append had returned is
// there once, and nothing else is.
func TestKilledAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	var appended sync.Mutex
	count, steps := 0, map[string]int{}
	check := func(what string) {
		appended.Lock()
		had := count
		at := copyDir(t, dir)
		appended.Unlock()
		steps[what]++
		l := open(t, Options{Dir: at})
		got := numbers(all(t, l, tenant.LogQuery{Tenant: "t_a"}))
		for i := range got {
			if got[i] != i {
				t.Fatalf("%s: row %d is %d", what, i, got[i])
			}
		}
		if s := l.Stats(); len(got) != had || s.Damaged != 0 {
			t.Errorf("%s: %d rows of %d, %+v", what, len(got), had, s)
		}
		stop(t, l)
	}
	var checking sync.Mutex
	step := func(what string) {
		checking.Lock()
		defer checking.Unlock()
		check(what)
	}
	for range 2 { // the second start meets what the first has left
		l := open(t, Options{Dir: dir, SyncEvery: time.Millisecond, step: step})
		for range 900 {
			await(t, func() bool { // there is a segment for it
				appended.Lock()
				defer appended.Unlock()
				o, before := row("t_a", count), l.Stats().Dropped
				l.Append(&o)
				kept := l.Stats().Dropped == before
				if kept {
					count++
				}
				return kept
			})
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop(t, l)
	}
	for _, what := range []string{"make a segment", "sync", "seal", "unmap a sealed segment", "cut a sealed segment"} {
		if steps[what] == 0 {
			t.Errorf("no kill before %q", what)
		}
	}
}

// TestTornAndDamaged: rows that a crash of the machine tore or lost are passed
// over and counted; what was synced and not hurt is there, and no row is made up.
func TestTornAndDamaged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, segmentBytes: 1 << 20})
	const n = 1000
	var want []tenant.LoggedOperation
	for i := range n {
		want = append(want, row("t_a", i))
		keep(t, l, &want[i])
	}
	image := copyDir(t, dir)
	stop(t, l)
	path := segmentPath(image, 1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := sizeOf(new(textsOf(&want[0])))
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 40 {
		b := bytes.Clone(whole)
		at := recordsAt + r.IntN(n*size-8192)
		from, to := at, at+1+r.IntN(4096)
		switch round % 4 {
		case 0: // a page that was never written
			from, to = at&^4095, at&^4095+4096
			clear(b[from:to])
		case 1: // garbage
			for i := from; i < to; i++ {
				b[i] = byte(r.Uint32())
			}
		case 2: // the end was torn off
			clear(b[at:])
			to = len(b)
		case 3: // one bit
			b[at] ^= 1 << r.IntN(8)
			to = at + 1
		}
		dir := t.TempDir()
		if err := os.WriteFile(segmentPath(dir, 1), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, Options{Dir: dir, segmentBytes: 1 << 20})
		got := all(t, l, tenant.LogQuery{Tenant: "t_a"})
		hurt := min((to-recordsAt)/size, n-1) - (from-recordsAt)/size + 1
		if len(got) < n-hurt-1 || len(got) > n || l.Stats().Damaged == 0 && round%4 != 2 {
			t.Errorf("round %d: %d rows, %d hurt, %+v", round, len(got), hurt, l.Stats())
		}
		for i := range got {
			if got[i] != want[got[i].Time-1_000_000] {
				t.Fatalf("round %d: made up %+v", round, got[i])
			}
		}
		damaged := l.Stats().Damaged
		stop(t, l)
		l = open(t, Options{Dir: dir, segmentBytes: 1 << 20}) // it is sealed now
		if again := all(t, l, tenant.LogQuery{Tenant: "t_a"}); !slices.Equal(again, got) || l.Stats().Damaged != 0 && damaged > 0 {
			t.Errorf("round %d: %d rows the second time, %d the first", round, len(again), len(got))
		}
		stop(t, l)
	}
}

// TestUnreadableFile: a file without its header is left out, and the rest serves.
func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	for i := range 900 {
		o := row("t_a", i)
		keep(t, l, &o)
	}
	stop(t, l)
	b, err := os.ReadFile(segmentPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	b[9] ^= 1
	if err := os.WriteFile(segmentPath(dir, 1), b, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, Options{Dir: dir})
	if got := numbers(all(t, l, tenant.LogQuery{Tenant: "t_a"})); len(got) < 200 || got[0] == 0 || l.Stats().Damaged != 1 {
		t.Errorf("%d rows, %+v", len(got), l.Stats())
	}
}

// TestForgedRecord: a name that has the bytes of a record in it is no record.
func TestForgedRecord(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	o := row("t_thief", 1)
	texts := textsOf(&o)
	forged := make([]byte, sizeOf(&texts))
	putRecord(forged, baseOf(0), &o, &texts)
	for i := range 200 {
		o := row("t_a", i)
		o.Collection = strings.Repeat("x", i%8) + string(forged)
		keep(t, l, &o)
	}
	image := copyDir(t, dir)
	b, err := os.ReadFile(segmentPath(image, 1))
	if err != nil {
		t.Fatal(err)
	}
	for at := recordsAt; at < len(b); at += 999 {
		b[at] ^= 0xff // everywhere a walk that looks for records
	}
	if err := os.WriteFile(segmentPath(image, 1), b, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, Options{Dir: image})
	if got := all(t, l, tenant.LogQuery{Tenant: "t_thief"}); len(got) != 0 {
		t.Errorf("made up %+v", got)
	}
}

// TestFullDisk: rows that cannot be kept are counted, and nobody waits.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	stop(t, l)
	for i := range 10 {
		o := row("t_a", i)
		l.Append(&o)
	}
	if s := l.Stats(); s.Dropped != 10 || s.Rows != 0 {
		t.Errorf("%+v", s)
	}
	one := []tenant.LoggedOperation{row("t_a", 1)}
	if err := l.AppendAll(t.Context(), one); err == nil {
		t.Error("a closed log took a batch")
	}
}

// TestSlowDisk: while the next segment is being made nobody waits for it. Rows
// that have no room are dropped and counted; a batch waits, and is whole.
func TestSlowDisk(t *testing.T) {
	release, made := make(chan struct{}), 0
	l := open(t, Options{step: func(what string) {
		if what != "make a segment" {
			return
		}
		if made++; made > 2 {
			<-release
		}
	}})
	await(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.mu.spare != nil })
	const n = 2000 // more than two segments hold
	for i := range n {
		o := row("t_a", i)
		l.Append(&o)
	}
	s := l.Stats()
	if s.Dropped == 0 || s.Rows+s.Dropped != n {
		t.Errorf("%+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.AppendAll(ctx, []tenant.LoggedOperation{row("t_b", 0)}); !errors.Is(err, context.Canceled) {
		t.Errorf("a batch that does not wait: %v", err)
	}
	batch := make([]tenant.LoggedOperation, 100)
	for i := range batch {
		batch[i] = row("t_b", i)
	}
	result := make(chan error)
	go func() { result <- l.AppendAll(t.Context(), batch) }()
	close(release)
	if err := <-result; err != nil {
		t.Error(err)
	}
	if got := all(t, l, tenant.LogQuery{Tenant: "t_b"}); !slices.Equal(got, batch) {
		t.Errorf("%d rows of a batch of 100", len(got))
	}
	if got := all(t, l, tenant.LogQuery{Tenant: "t_a"}); uint64(len(got)) != s.Rows {
		t.Errorf("%d rows of %d", len(got), s.Rows)
	}
}

// TestTurns: a tenant's queries take one reader, however many they are.
func TestTurns(t *testing.T) {
	l := open(t, Options{})
	o := row("t_b", 1)
	keep(t, l, &o)
	done, err := l.turns.take(t.Context(), "t_a") // a query that is slow
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 10)
	for range cap(results) {
		go func() {
			_, _, err := l.Query(t.Context(), tenant.LogQuery{Tenant: "t_a", Limit: 1})
			results <- err
		}()
	}
	await(t, func() bool { l.turns.mu.Lock(); defer l.turns.mu.Unlock(); return l.turns.of["t_a"].users == 11 })
	if got := all(t, l, tenant.LogQuery{Tenant: "t_b"}); len(got) != 1 || len(results) != 0 || len(l.readers) != 0 {
		t.Errorf("%d rows of another tenant, %d queries are done, %d readers taken", len(got), len(results), len(l.readers))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Query(ended, tenant.LogQuery{Tenant: "t_a", Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a query that is not waited for: %v", err)
	}
	done()
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	l.turns.mu.Lock()
	defer l.turns.mu.Unlock()
	if len(l.turns.of) != 0 {
		t.Errorf("%d tenants are remembered", len(l.turns.of))
	}
}

func TestPagesHaveBounds(t *testing.T) {
	l := open(t, Options{})
	for _, limit := range []int{-1, 0, 1001} {
		if _, _, err := l.Query(t.Context(), tenant.LogQuery{Tenant: "t", Limit: limit}); err == nil {
			t.Errorf("a page of %d", limit)
		}
	}
}
