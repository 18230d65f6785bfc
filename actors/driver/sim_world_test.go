package driver_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// plan is what a seed chooses for its run.
type plan struct {
	nodes, groups, clients int  // clients per group
	births                 int  // nodes with a replica of each group at birth
	moving                 bool // replicas come and go, disks are wiped
	cutEarly               bool // the log is cut without regard for who is behind
	segmentBytes           int64
	uncommittedBytes       uint64
	checkpointEvery        time.Duration
	faultEvery             time.Duration
	duration               time.Duration // of the faults; then everything is healed
}

func newPlan(rng *rand.Rand) plan {
	p := plan{
		nodes: 1, births: 1, groups: 1 + rng.IntN(3), clients: 1 + rng.IntN(3),
		segmentBytes:    8 << 10 << rng.IntN(4),
		checkpointEvery: upTo(rng, 200*time.Millisecond, 5*time.Second),
		faultEvery:      upTo(rng, 300*time.Millisecond, 4*time.Second),
		duration:        upTo(rng, 5*time.Second, 25*time.Second),
	}
	switch rng.IntN(6) {
	case 0:
	case 1, 2:
		p.nodes, p.births, p.cutEarly = 3, 3, rng.IntN(2) == 0
	default:
		p.moving, p.nodes, p.cutEarly = true, 3+rng.IntN(3), rng.IntN(3) > 0
		if rng.IntN(2) == 0 {
			p.births = 3
		}
		p.groups = min(p.groups, 2)
	}
	if rng.IntN(4) == 0 {
		p.uncommittedBytes = 1 << 10 // a proposal or two
	}
	return p
}

// upTo draws from [from, to).
func upTo(rng *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rng.Int64N(int64(to-from)))
}

// world is one run. Everything that happens is an event on its clock.
type world struct {
	plan
	mutant mutant
	rng    *rand.Rand
	now    time.Duration
	events events
	number int // of the last event made, so that equal times have an order

	nodes     []*node         // places; a wiped one gets a new number
	numbers   uint64          // of the last node that joined
	serials   uint64          // of the last replica
	lost      map[uint64]bool // replicas whose disks were wiped
	histories []*history
	clients   []*client
	network   network
	healed    bool

	trace     trace
	totals    totals
	violation string
}

func newWorld(seed uint64, m mutant) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := &world{plan: newPlan(rng), mutant: m, rng: rng, lost: map[uint64]bool{}}
	w.network = network{w: w, cut: map[[2]int]bool{}}
	for i := range w.plan.nodes {
		w.nodes = append(w.nodes, newNode(w, i+1))
	}
	for g := range w.groups {
		w.histories = append(w.histories, newHistory(w, uint64(g+1)))
	}
	for g := range w.groups {
		for i := range w.plan.clients {
			w.clients = append(w.clients, newClient(w, w.histories[g], i))
		}
	}
	return w
}

// healTime is how long a healed cluster may take to finish what was begun and
// to bring every replica to the same index.
const healTime = 60 * time.Second

// run plays the plan: faults, then none, then what must hold at the end.
func (w *world) run() {
	defer w.catch()
	for _, n := range w.nodes {
		n.start()
	}
	for _, c := range w.clients {
		c.pause()
		c.readLoop()
	}
	w.nemesis()
	for w.now < w.duration {
		w.step()
	}
	w.heal()
	for end := w.now + healTime; !w.settled(); {
		if w.now > end {
			w.fail("no progress %v after the heal: %s", healTime, w.unsettled())
		}
		w.step()
	}
	w.checkEnd()
}

// violated is what fail throws, so that nothing happens after a violation.
type violated struct{}

func (w *world) fail(format string, args ...any) {
	w.violation = fmt.Sprintf(format, args...)
	panic(violated{})
}

// catch turns a panic of the code under test into a violation.
func (w *world) catch() {
	switch p := recover().(type) {
	case nil, violated:
	default:
		w.violation = fmt.Sprintf("panic: %v\n%s", p, debug.Stack())
	}
}

// after calls fn when d has passed.
func (w *world) after(d time.Duration, fn func()) {
	w.number++
	heap.Push(&w.events, event{w.now + d, w.number, fn})
}

func (w *world) step() {
	e := heap.Pop(&w.events).(event)
	w.now = e.at
	e.fn()
}

// chance is true n times in a hundred.
func (w *world) chance(n int) bool { return w.rng.IntN(100) < n }

// between draws a time from [from, to).
func (w *world) between(from, to time.Duration) time.Duration { return upTo(w.rng, from, to) }

type event struct {
	at     time.Duration
	number int
	fn     func()
}

// events is a heap by time.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].number < e[j].number
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

// trace keeps the last lines of a run, and a hash of all of them.
type trace struct {
	lines [48]line
	n     int
	hash  uint64
}

type line struct {
	at     time.Duration
	node   int
	group  uint64
	what   string
	values [2]uint64
}

// note adds a line: what happened on which node, to which group (0 = none).
func (w *world) note(node int, group uint64, what string, values ...uint64) {
	l := line{at: w.now, node: node, group: group, what: what}
	copy(l.values[:], values)
	t := &w.trace
	t.lines[t.n%len(t.lines)] = l
	t.n++
	for _, v := range [...]uint64{uint64(l.at), uint64(l.node), l.group, l.values[0], l.values[1]} {
		t.hash = (t.hash ^ v) * 1099511628211 // FNV-1a, a word at a time
	}
	for i := range len(what) {
		t.hash = (t.hash ^ uint64(what[i])) * 1099511628211
	}
}

// String renders the end of the trace.
func (t *trace) String() string {
	var b strings.Builder
	for i := max(0, t.n-len(t.lines)); i < t.n; i++ {
		l := t.lines[i%len(t.lines)]
		fmt.Fprintf(&b, "  %10.3fs node %d group %d %s %v\n", l.at.Seconds(), l.node, l.group, l.what, l.values)
	}
	return b.String()
}

// totals counts what runs did, so that a simulation that does nothing fails.
type totals struct {
	Writes, Reads, Repeated                    int
	Refused, Unknown, Overloaded               int
	Entries, Elections, Checkpoints, Cuts      int
	Crashes, TornWrites, DiskFaults, SlowDisks int
	Partitions, Lossy, Pauses, SkewedClocks    int
	Lost, Doubled, Late                        int
	Moves, Wipes, Joined, Gone                 int
	Joint, Swaps, Grown, Shrunk, Transfers     int
	Images, BrokenImages, StaleImages          int
	Forgotten                                  int
}

func (t *totals) add(o totals) {
	sum, v := reflect.ValueOf(t).Elem(), reflect.ValueOf(o)
	for i := range v.NumField() {
		sum.Field(i).SetInt(sum.Field(i).Int() + v.Field(i).Int())
	}
}

// requireAll fails for anything that never happened.
func (t totals) requireAll(tb testing.TB) {
	tb.Helper()
	v := reflect.ValueOf(t)
	for i := range v.NumField() {
		if v.Field(i).Int() == 0 {
			tb.Errorf("the simulation never saw: %s", v.Type().Field(i).Name)
		}
	}
}

func (t totals) String() string {
	type plain totals
	return strings.Trim(fmt.Sprintf("%+v", plain(t)), "{}")
}
