package driver_test

import (
	"time"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/persistence"
)

// member is one group's replica in one process: what the replica actor is in
// the product.
type member struct {
	node      *node
	history   *history
	replica   uint64
	file      string // of the store
	store     persistence.Store
	partition *persistence.Partition
	driver    *driver.Driver
	applies   []driver.Apply
	applying  bool
	storing   bool // a checkpoint is being written
	readers   []reader
	led       uint64 // the last term it was seen to lead

	orders    []driver.ImageOrder // wait for a checkpoint
	receiving *incoming
	changing  bool              // a change of members that it proposed is under way
	reports   map[uint64]uint64 // voter -> its Durable, as it told this leader
	gone      bool              // removed from the node
}

// reader waits until index is applied.
type reader struct {
	index uint64
	done  func()
}

func openMember(n *node, h *history) (*member, error) {
	log := n.log.Group(h.group)
	m := &member{node: n, history: h, replica: log.Replica(), reports: map[uint64]uint64{}}
	start := persistence.Meta{}
	if log.Start().Index == 1 {
		start = h.newborn
	}
	if err := m.openStore(log.Start().Index, start); err != nil {
		return nil, err
	}
	var err error
	m.driver, err = driver.New(driver.Config{
		Group: h.group, Replica: m.replica, Log: log, Stored: m.store.Meta(),
		MaxUncommittedBytes: n.w.uncommittedBytes,
	})
	m.place().replica = m.replica
	return m, err
}

func (m *member) place() *place { return &m.node.places[m.history.group-1] }

// openStore opens the store of a log that began at an index.
func (m *member) openStore(start uint64, newborn persistence.Meta) error {
	m.file = m.node.storeFile(m.history.group, start)
	store, err := persistence.OpenMem(m.node.w.mutant.disk(m.node.disk), m.file)
	if err != nil {
		return err
	}
	m.store = m.node.w.mutant.store(store)
	m.partition, err = persistence.OpenPartition(m.store, m.node.w.mutant.machine(m.node.id), persistence.PartitionOptions{Start: newborn})
	if err != nil {
		return err
	}
	m.history.opened(m.node, m.partition)
	m.place().stored = m.store.Meta().Applied
	return nil
}

func (m *member) start() {
	if m.node.w.plan.nodes == 1 {
		m.driver.Campaign()
	}
	m.pump()
	m.awaitCheckpoint()
}

// pump takes what the driver has ready and passes it on.
func (m *member) pump() {
	for {
		w, ok := m.driver.Ready()
		if !ok {
			break
		}
		for _, a := range w.Appends {
			m.node.queue = append(m.node.queue, queued{a.Append, func() { m.appended(a) }})
		}
		m.orders = append(m.orders, w.Images...)
		m.applies = append(m.applies, w.Applies...)
		for _, msg := range w.Messages {
			m.node.w.network.send(m.node, m.history.group, msg)
		}
	}
	if err := m.driver.Err(); err != nil {
		m.node.w.fail("node %d group %d: %v", m.node.id, m.history.group, err)
	}
	s := m.driver.Status()
	if s.Role == driver.Leader && s.Term != m.led {
		m.led = s.Term
		clear(m.reports)
		m.history.leads(m.node, s.Term)
	}
	m.place().durable = s.Durable
	m.node.kick()
	m.applyNext()
	m.sendImages()
}

func (m *member) appended(a driver.Append) {
	if m.gone {
		return
	}
	if a.Image {
		m.switchStore(a.Start.Index)
	}
	if m.node.up { // the disk may have failed
		m.driver.AppendDone(a)
	}
}

// applyNext applies the next run of entries, one run at a time.
func (m *member) applyNext() {
	if m.applying || len(m.applies) == 0 {
		return
	}
	m.applying = true
	a := m.applies[0]
	m.applies = m.applies[1:]
	took := m.node.w.between(10*time.Microsecond, 3*time.Millisecond)
	if m.node.w.chance(1) {
		took *= 1000
	}
	p := m.partition
	m.node.after(took, func() {
		if m.applying = false; m.gone {
			return
		}
		if m.partition != p { // it is of the state before an image
			m.applyNext()
			return
		}
		outcomes := m.history.apply(m.node, m.partition, a.Entries)
		m.node.w.mutant.applied(m)
		m.driver.Applied(a, outcomes)
		m.wakeReaders()
		m.pump()
	})
}

// read calls done with the state as of a linearizable read, or never when
// this replica stops leading first.
func (m *member) read(done func(), refused func(error)) {
	if index, ok := m.node.w.mutant.readIndex(m.driver.Status()); ok {
		m.readers = append(m.readers, reader{index, done})
		m.wakeReaders()
		return
	}
	m.driver.Read(driver.Read{Done: func(index uint64, err error) {
		if err != nil {
			refused(err)
			return
		}
		m.readers = append(m.readers, reader{index, done})
	}})
	m.pump()
	m.wakeReaders()
}

func (m *member) wakeReaders() {
	at, _ := m.partition.Applied()
	waiting := m.readers
	m.readers = nil
	for _, r := range waiting {
		if r.index <= at {
			r.done()
		} else {
			m.readers = append(m.readers, r)
		}
	}
}

// awaitCheckpoint takes a checkpoint now and then; it is written while entries
// are applied.
func (m *member) awaitCheckpoint() {
	w := m.node.w
	m.node.after(w.between(w.checkpointEvery/2, w.checkpointEvery*3/2), func() {
		if m.gone {
			return
		}
		m.checkpoint()
		m.awaitCheckpoint()
	})
}

func (m *member) checkpoint() {
	if m.storing {
		return
	}
	p := m.partition
	c, ok := p.BeginCheckpoint()
	if !ok {
		return
	}
	m.storing = true
	m.node.after(m.node.w.between(time.Millisecond, 100*time.Millisecond), func() {
		if m.storing = false; m.gone || m.partition != p {
			return
		}
		if err := c.Write(); err != nil {
			m.node.die(err)
			return
		}
		m.checkpointed(c.Finish())
	})
}

func (m *member) checkpointed(applied uint64) {
	w, g := m.node.w, m.history.group
	w.totals.Checkpoints++
	w.note(m.node.id, g, "checkpoint", applied)
	m.place().stored = m.store.Meta().Applied
	m.driver.Stored(m.store.Meta())
	if index := m.cutTo(); index > 1 && w.chance(80) {
		m.cut(index)
	}
	m.pump()
}

// cutTo is how far the log may go: to where the store is, or, for who is behind
// to be served from the log, to where every replica's store is, and on a leader
// to what it knows of them.
func (m *member) cutTo() uint64 {
	index := m.place().stored
	if m.node.w.cutEarly {
		return index
	}
	for _, n := range m.node.w.nodes {
		if p := n.places[m.history.group-1]; p.replica != 0 {
			index = min(index, p.stored)
		}
	}
	for _, member := range m.driver.Status().Members {
		index = min(index, member.Match)
	}
	return index
}

func (m *member) cut(index uint64) {
	m.node.w.totals.Cuts++
	m.node.w.note(m.node.id, m.history.group, "cut", index)
	if err := m.node.log.Cut(m.history.group, index); err != nil {
		m.node.die(err)
	}
}
