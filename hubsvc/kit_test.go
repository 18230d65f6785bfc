package hubsvc

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/tenant"
)

// memTxn is a store of one bucket with rollback.
type memTxn struct {
	state map[string][]byte // committed
	work  map[string][]byte // of the running entry
	order []string          // keys of work, sorted; nil when not known
	index uint64            // of the last entry kept
	fail  error             // what every read answers, when set
	reads int
}

func newMemTxn() *memTxn { return &memTxn{state: map[string][]byte{}, work: map[string][]byte{}} }

func (m *memTxn) Get(bucket byte, key []byte) ([]byte, error) {
	mustBeHub(bucket)
	m.reads++
	return m.work[string(key)], m.fail
}

func (m *memTxn) Scan(bucket byte, from, to []byte, fn func(key, value []byte) bool) error {
	mustBeHub(bucket)
	m.reads++
	if len(m.order) != len(m.work) {
		m.order = slices.Sorted(maps.Keys(m.work))
	}
	i, _ := slices.BinarySearch(m.order, string(from))
	for _, k := range m.order[i:] {
		m.reads++
		if k >= string(to) || !fn([]byte(k), m.work[k]) {
			break
		}
	}
	return m.fail
}

func (m *memTxn) Put(bucket byte, key, value []byte) error {
	mustBeHub(bucket)
	if len(value) == 0 {
		panic("empty value")
	}
	if i, ok := slices.BinarySearch(m.order, string(key)); !ok && m.order != nil {
		m.order = slices.Insert(m.order, i, string(key))
	}
	m.work[string(key)] = value
	return nil
}

func (m *memTxn) Delete(bucket byte, key []byte) error {
	mustBeHub(bucket)
	if i, ok := slices.BinarySearch(m.order, string(key)); ok {
		m.order = slices.Delete(m.order, i, i+1)
	}
	delete(m.work, string(key))
	return nil
}

func (m *memTxn) AppliedIndex() uint64 { return m.index }
func (m *memTxn) Close()               {}

func mustBeHub(bucket byte) {
	if bucket != Bucket {
		panic("the hub left its bucket")
	}
}

// end keeps or drops what the entry did.
func (m *memTxn) end(err error) {
	if err == nil {
		m.state = maps.Clone(m.work)
	} else {
		m.work, m.order = maps.Clone(m.state), nil
	}
}

// keep is end for a test that has too many rows to copy at every entry, and no refusals.
func (m *memTxn) keep(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	m.state = m.work
}

// diff is cmp.Diff for what holds prefixes.
func diff(a, b any) string {
	return cmp.Diff(a, b, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }))
}

// group is a system group that decides at once.
type group struct {
	mu       sync.Mutex
	tx       *memTxn
	machine  *Machine
	index    uint64
	barriers int
	err      error // what Propose answers instead of deciding
}

func (g *group) Propose(_ context.Context, data []byte) (any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return nil, g.err
	}
	g.index++
	answer, err := g.machine.Apply(g.tx, g.index, data)
	g.tx.end(err)
	g.tx.index = g.index
	return answer, err
}

func (g *group) ReadBarrier(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.barriers++
	return g.err
}

// View returns what is committed: end never changes a state, it makes another.
func (g *group) View() (View, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &memTxn{work: g.tx.state, index: g.tx.index, fail: g.tx.fail}, nil
}

var (
	testSecret = []byte("a secret of a test")
	testSeal   = []byte("a sealing key of 32 bytes, tests")
)

// newHub returns an unborn hub whose clock stands still.
func newHub(t testing.TB) (*Embedded, *group) {
	t.Helper()
	return newHubAt(t, func() time.Time { return time.UnixMilli(1_700_000_000_000) })
}

func newHubAt(t testing.TB, clock func() time.Time) (*Embedded, *group) {
	t.Helper()
	d := NewDirectory(NewKeyHasher(testSecret), clock)
	g := &group{tx: newMemTxn(), machine: NewMachine(d.Observe)}
	return NewEmbedded(d, g, EmbeddedOptions{SealKey: testSeal}), g
}

// bornHub returns a hub after its birth.
func bornHub(t testing.TB) (*Embedded, *group, FirstKeys) {
	t.Helper()
	hub, g := newHub(t)
	_, keys, err := hub.Birth(context.Background(), BirthOptions{Partitions: 64})
	if err != nil {
		t.Fatal(err)
	}
	return hub, g, keys
}

// timedHub returns a hub after its birth, and how to move its clock.
func timedHub(t testing.TB) (*Embedded, *group, func(time.Duration)) {
	t.Helper()
	now := time.UnixMilli(1_700_000_000_000).UTC()
	hub, g := newHubAt(t, func() time.Time { return now })
	if _, _, err := hub.Birth(context.Background(), BirthOptions{Partitions: 64}); err != nil {
		t.Fatal(err)
	}
	return hub, g, func(d time.Duration) { now = now.Add(d) }
}

// machineOn returns how to apply ops, each in an entry of its own, to a store
// with a birth. The last result is the log index.
func machineOn(t testing.TB, tx *memTxn) func(Command) (any, error) {
	t.Helper()
	m := NewMachine(nil)
	apply := func(c Command) (any, error) {
		tx.index++
		return m.Apply(tx, tx.index, EncodeCommand(c))
	}
	_, err := apply(commands[0].cmd)
	tx.keep(t, err)
	return apply
}

func wantCode(t testing.TB, err error, code Code) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func mustCreate(t testing.TB, hub *Embedded, plan string) Tenant {
	t.Helper()
	ten, err := hub.CreateTenant(context.Background(), TenantSpec{Name: "acme", Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	return ten
}

func mustKey(t testing.TB, hub *Embedded, id tenant.ID, p tenant.Permission) (Key, string) {
	t.Helper()
	k, plain, err := hub.CreateKey(context.Background(), KeySpec{Tenant: id, Permissions: []tenant.Permission{p}})
	if err != nil {
		t.Fatal(err)
	}
	return k, plain
}
