package driver_test

import (
	"fmt"
	"time"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/disk"
)

// member is one group's replica in one process: what the replica actor is in
// the product.
type member struct {
	node      *node
	history   *history
	store     persistence.Store
	partition *persistence.Partition
	driver    *driver.Driver
	applies   []driver.Apply
	applying  bool
	readers   []reader
	led       uint64 // the last term it was seen to lead
}

// reader waits until index is applied.
type reader struct {
	index uint64
	done  func()
}

func openMember(n *node, d disk.Disk, h *history) (*member, error) {
	store, err := persistence.OpenMem(d, fmt.Sprintf("store/%d", h.group))
	if err != nil {
		return nil, err
	}
	store = n.w.mutant.store(store)
	meta := n.w.newbornMeta(h.group)
	p, err := persistence.OpenPartition(store, n.w.mutant.machine(n.id), persistence.PartitionOptions{Start: meta})
	if err != nil {
		return nil, err
	}
	index, _ := p.Applied()
	h.opened(n, p)
	drv, err := driver.New(driver.Config{
		Group: h.group, Replica: uint64(n.id), Log: n.log.Group(h.group),
		Stored:              store.Meta(),
		MaxUncommittedBytes: n.w.uncommittedBytes,
	})
	if err != nil {
		return nil, err
	}
	n.stored[h.group-1] = index
	return &member{node: n, history: h, store: store, partition: p, driver: drv}, nil
}

func (m *member) start() {
	if m.node.w.replicas == 1 {
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
			m.node.queue = append(m.node.queue, queued{m, a})
		}
		m.applies = append(m.applies, w.Applies...)
		for _, msg := range w.Messages {
			m.node.w.network.send(m.node, m.history.group, msg)
		}
	}
	if err := m.driver.Err(); err != nil {
		m.node.w.fail("node %d group %d: %v", m.node.id, m.history.group, err)
	}
	if s := m.driver.Status(); s.Role == driver.Leader && s.Term != m.led {
		m.led = s.Term
		m.history.leads(m.node, s.Term)
	}
	m.node.kick()
	m.applyNext()
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
	m.node.after(took, func() {
		m.applying = false
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
		c, ok := m.partition.BeginCheckpoint()
		if !ok {
			m.awaitCheckpoint()
			return
		}
		m.node.after(w.between(time.Millisecond, 100*time.Millisecond), func() {
			if err := c.Write(); err != nil {
				m.node.die(err)
				return
			}
			m.checkpointed(c.Finish())
			m.awaitCheckpoint()
		})
	})
}

func (m *member) checkpointed(applied uint64) {
	w, g := m.node.w, m.history.group
	w.totals.Checkpoints++
	w.note(m.node.id, g, "checkpoint", applied)
	m.node.stored[g-1] = m.store.Meta().Applied
	if index := m.cutTo(); index > 1 && w.chance(80) {
		m.cut(index)
	}
}

// cutTo is how far the log may go: to where every replica's store is, and on a
// leader to what it knows of them. A replica that needs more would need an
// image.
func (m *member) cutTo() uint64 {
	g := m.history.group
	index := m.node.stored[g-1]
	for _, n := range m.node.w.nodes {
		index = min(index, n.stored[g-1])
		if m.driver.Status().Role == driver.Leader {
			index = min(index, m.driver.Matched(uint64(n.id)))
		}
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
