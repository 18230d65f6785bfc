package driver_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// errDisk is what a failing disk says. It ends the process.
var errDisk = errors.New("input/output error")

// node is one machine: a disk that outlives crashes, and a process with one
// node log for a replica of every group.
type node struct {
	w       *world
	id      int
	disk    *disk.Mem
	life    int // processes so far; an event of an earlier one does not happen
	up      bool
	paused  time.Duration    // until then the process does nothing
	slow    time.Duration    // until then the disk is slow
	tempo   int              // percent: how long a tick takes
	stored  []uint64         // per group, the applied index that its store is known to hold
	pending []nodelog.Append // being written when the process ended

	// of the process
	log     *nodelog.Log
	members []*member
	queue   []queued // waits for the flush that runs
	writing bool
}

// queued is an append and whose it is.
type queued struct {
	member *member
	append driver.Append
}

func newNode(w *world, id int) *node {
	return &node{w: w, id: id, disk: disk.NewMem(w.rng.Uint64()), stored: make([]uint64, w.groups), tempo: 100}
}

// leads reports whether the process believes to lead a group.
func (n *node) leads() bool {
	return slices.ContainsFunc(n.members, func(m *member) bool { return m.driver.Status().Role == driver.Leader })
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
	for _, m := range n.members {
		m.start()
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
	n.log, n.members, n.queue, n.writing = log, nil, nil, false
	if err := n.bear(); err != nil {
		return err
	}
	if err := n.w.mutant.recover(n); err != nil {
		return err
	}
	for _, h := range n.w.histories {
		m, err := openMember(n, d, h)
		if err != nil {
			return fmt.Errorf("group %d: %w", h.group, err)
		}
		n.members = append(n.members, m)
	}
	return nil
}

// bear writes the first record of the groups that the log does not know. The
// store of such a group is empty or newborn.
func (n *node) bear() error {
	known := n.log.Groups()
	var births []nodelog.Append
	for _, h := range n.w.histories {
		if !slices.Contains(known, h.group) {
			a, _ := driver.Newborn(h.group, uint64(n.id), n.w.voters())
			births = append(births, a)
		}
	}
	if len(births) == 0 {
		return nil
	}
	return n.log.Write(births)
}

func (w *world) voters() []uint64 {
	ids := make([]uint64, w.replicas)
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	return ids
}

// newbornMeta is what the store of a newborn replica begins with.
func (w *world) newbornMeta(group uint64) persistence.Meta {
	_, meta := driver.Newborn(group, 1, w.voters())
	return meta
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
	n.w.after(n.w.between(50*time.Millisecond, 3*time.Second), n.start)
}

// tick is the clock of all groups.
func (n *node) tick() {
	took := n.w.between(95*time.Millisecond, 105*time.Millisecond) * time.Duration(n.tempo) / 100
	n.after(took, func() {
		for _, m := range n.members {
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
			appends[i] = n.w.mutant.append(q.append.Append)
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
		q.member.driver.AppendDone(q.append)
	}
	for _, m := range n.members {
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
