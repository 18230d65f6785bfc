package driver_test

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// errDisk is what a failing disk says. It ends the process.
var errDisk = errors.New("input/output error")

// node is one machine: a disk that outlives crashes, and a process with one
// node log for the replicas that live there.
type node struct {
	w       *world
	id      int    // its place
	number  uint64 // of the disk; never used again when that is wiped
	disk    *disk.Mem
	life    int // processes so far; an event of an earlier one does not happen
	up      bool
	paused  time.Duration    // until then the process does nothing
	slow    time.Duration    // until then the disk is slow
	tempo   int              // percent: how long a tick takes
	places  []place          // per group
	pending []nodelog.Append // being written when the process ended

	// of the process
	log     *nodelog.Log
	members []*member // by group; nil = none here
	queue   []queued  // waits for the flush that runs
	writing bool
}

// place is what is known of a group on a disk, also while no process runs.
type place struct {
	replica uint64 // 0 = none
	stored  uint64 // applied index that its store holds
	durable uint64 // driver.Status.Durable
	desired desired
	busy    bool // a replica is being made or removed by this process
}

// queued is an append and what follows when it is durable.
type queued struct {
	append nodelog.Append
	done   func()
}

func newNode(w *world, id int) *node {
	n := &node{w: w, id: id, disk: disk.NewMem(w.rng.Uint64()), tempo: 100}
	n.join()
	return n
}

// join gives the node a number, once for each disk.
func (n *node) join() {
	n.w.numbers++
	n.number, n.places = n.w.numbers, make([]place, n.w.groups)
}

// present are the replicas of the process.
func (n *node) present() iter.Seq[*member] {
	return func(yield func(*member) bool) {
		for _, m := range n.members {
			if m != nil && !yield(m) {
				return
			}
		}
	}
}

// leads reports whether the process believes to lead a group.
func (n *node) leads() bool {
	for m := range n.present() {
		if m.driver.Status().Role == driver.Leader {
			return true
		}
	}
	return false
}

// after calls fn in this process when d has passed.
func (n *node) after(d time.Duration, fn func()) {
	life := n.life
	n.w.after(d, func() {
		if n.life == life {
			n.awake(fn)
		}
	})
}

// awake calls fn now, or when the process goes on if that is paused.
func (n *node) awake(fn func()) {
	if n.paused > n.w.now {
		n.after(n.paused-n.w.now, fn)
		return
	}
	fn()
}

// start begins a process on what the disk holds.
func (n *node) start() {
	n.life++
	n.up = true
	n.w.note(n.id, 0, "start", uint64(n.life))
	if err := n.open(); err != nil {
		n.die(err)
		return
	}
	n.tick()
	for m := range n.present() {
		m.start()
	}
	if n.w.moving {
		n.govern()
	}
}

func (n *node) open() error {
	d := n.w.mutant.disk(n.disk)
	for _, dir := range []string{"log", "store"} {
		if err := d.MkdirAll(dir); err != nil {
			return err
		}
	}
	log, err := nodelog.Open(d, "log", nodelog.Options{SegmentBytes: n.w.segmentBytes, KeepBytes: 1, KeepEntries: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	n.log, n.members, n.queue, n.writing = log, make([]*member, n.w.groups), nil, false
	if n.life == 1 {
		if err := n.bear(); err != nil {
			return err
		}
	}
	if err := n.w.mutant.recover(n); err != nil {
		return err
	}
	if err := n.sweep(); err != nil {
		return err
	}
	for i, h := range n.w.histories {
		n.places[i].busy, n.places[i].replica, n.places[i].desired = false, 0, h.desired
		if !slices.Contains(n.log.Groups(), h.group) {
			continue
		}
		if n.members[i], err = openMember(n, h); err != nil {
			return fmt.Errorf("group %d: %w", h.group, err)
		}
	}
	return nil
}

// bear writes the first record of the groups that are born here.
func (n *node) bear() error {
	var births []nodelog.Append
	for _, h := range n.w.histories {
		for _, replica := range h.birth {
			if replica>>32 == n.number {
				a, _ := driver.Newborn(h.group, replica, h.birth)
				births = append(births, a)
			}
		}
	}
	return n.log.Write(births)
}

// storeFile is where the store of a group is whose log began at an index.
func (n *node) storeFile(group, start uint64) string {
	if n.w.mutant == storeBeforeSwitch {
		start = 0
	}
	return fmt.Sprintf("store/%04d-%016d.db", group, start)
}

// sweep removes the files that the log does not name, at a start.
func (n *node) sweep() error {
	keep := map[string]bool{}
	for _, group := range n.log.Groups() {
		keep[n.storeFile(group, n.log.Group(group).Start().Index)] = true
	}
	names, err := n.disk.List("store")
	if err != nil {
		return err
	}
	for _, name := range names {
		if name = "store/" + name; !keep[name] {
			if err := n.disk.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// die ends the process over an error of the disk, which is final. Any other
// error is one of the code's.
func (n *node) die(err error) {
	if !errors.Is(err, errDisk) {
		n.w.fail("node %d: %v", n.id, err)
	}
	n.w.totals.DiskFaults++
	n.crash()
}

// crash ends the process and takes from the disk what was not synced.
func (n *node) crash() {
	if !n.up {
		return
	}
	n.w.note(n.id, 0, "crash", uint64(n.life))
	n.w.totals.Crashes++
	n.up = false
	n.life++
	n.paused = 0
	n.disk.Crash()
	n.log, n.members, n.queue = nil, nil, nil
	if n.w.chance(50) {
		reset(n)
	}
	n.w.after(n.w.between(50*time.Millisecond, 3*time.Second), n.start)
}

// tick is the clock of all groups.
func (n *node) tick() {
	took := n.w.between(95*time.Millisecond, 105*time.Millisecond) * time.Duration(n.tempo) / 100
	n.after(took, func() {
		for m := range n.present() {
			m.driver.Tick()
			m.pump()
		}
		n.tick()
	})
}

// kick starts a flush of everything that waits, unless one runs. The flush
// takes time before and after the moment at which it is durable.
func (n *node) kick() {
	if n.writing || len(n.queue) == 0 {
		return
	}
	n.writing = true
	batch := n.queue
	n.queue = nil
	n.after(n.flushTime(), func() {
		appends := make([]nodelog.Append, len(batch))
		for i, q := range batch {
			appends[i] = n.w.mutant.append(q.append)
		}
		n.pending = appends
		if err := n.log.Write(appends); err != nil {
			n.w.totals.TornWrites++
			n.die(err)
			return
		}
		n.pending = nil
		n.w.note(n.id, 0, "flush", uint64(len(batch)))
		n.after(n.flushTime(), func() { n.flushed(batch) })
	})
}

func (n *node) flushed(batch []queued) {
	n.writing = false
	for _, q := range batch {
		q.done()
	}
	for m := range n.present() {
		m.pump()
	}
	n.kick()
}

func (n *node) flushTime() time.Duration {
	if n.slow > n.w.now {
		return n.w.between(20*time.Millisecond, 500*time.Millisecond)
	}
	return n.w.between(50*time.Microsecond, 2*time.Millisecond)
}
