package driver_test

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/persistence"
)

// outgoing is an image on its way, as its sender sees it.
type outgoing struct {
	from  *member
	order driver.ImageOrder
	meta  persistence.Meta
	data  []byte
	ended bool
}

// sendImages starts the transfers that were ordered and whose store is far
// enough, and takes a checkpoint for the others.
func (m *member) sendImages() {
	waiting := m.orders
	m.orders = nil
	for _, o := range waiting {
		if m.store.Meta().Applied >= o.Index {
			m.sendImage(o)
			continue
		}
		m.orders = append(m.orders, o)
		m.checkpoint()
	}
}

// sendImage copies the store as it is now, and offers the copy.
func (m *member) sendImage(o driver.ImageOrder) {
	w := m.node.w
	data, err := m.node.read(m.file)
	if err != nil {
		w.fail("node %d group %d: read the store: %v", m.node.id, m.history.group, err)
	}
	out := &outgoing{from: m, order: o, meta: m.store.Meta(), data: data}
	w.note(m.node.id, m.history.group, "sends image to", o.To, out.meta.Applied)
	m.node.after(w.between(time.Second, 4*time.Second), func() { out.end(false) })
	if to := w.home(o.To); to != nil {
		w.network.call(m.node, to, func() {
			if r := to.members[m.history.group-1]; r != nil && r.replica == o.To {
				r.offered(out)
			} else {
				out.answer(to, false)
			}
		})
	}
}

func (n *node) read(name string) ([]byte, error) {
	f, err := n.disk.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	_, err = f.ReadAt(data, 0)
	return data, errors.Join(err, f.Close())
}

// answer brings the end of the transfer to the sender.
func (o *outgoing) answer(by *node, ok bool) {
	o.from.node.w.network.call(by, o.from.node, func() {
		if o.from.node.members[o.from.history.group-1] == o.from {
			o.end(ok)
		}
	})
}

func (o *outgoing) end(ok bool) {
	if o.ended || o.from.gone {
		return
	}
	o.ended = true
	if !ok {
		o.from.node.w.totals.BrokenImages++
	}
	o.from.driver.ImageSent(o.order.To, ok)
	o.from.pump()
}

// incoming is an image on its way, as its receiver sees it.
type incoming struct {
	m     *member
	out   *outgoing
	temp  string
	steps []func() error // still to do, each at a time of its own
}

// offered decides whether an image is taken.
func (m *member) offered(o *outgoing) {
	if m.receiving != nil {
		o.answer(m.node, false)
		return
	}
	if m.refuses(o) {
		o.answer(m.node, false)
		return
	}
	in := &incoming{m: m, out: o, temp: fmt.Sprintf("store/%04d-%016x.part", m.history.group, m.replica)}
	in.steps = []func() error{in.write, in.publish, in.sync, in.install}
	m.receiving = in
	in.next()
}

// refuses tells raft of an image that is not needed.
func (m *member) refuses(o *outgoing) bool {
	if o.meta.Applied > m.driver.Status().Commit {
		return false
	}
	m.node.w.totals.StaleImages++
	if m.driver.Install(o.meta, o.from.replica, o.order.Term) {
		m.node.w.fail("node %d group %d: an image at %d was accepted: %+v", m.node.id, m.history.group, o.meta.Applied, m.driver.Status())
	}
	m.pump()
	return true
}

// next does the next step after a while, in this process.
func (in *incoming) next() {
	w := in.m.node.w
	took := w.between(100*time.Microsecond, 50*time.Millisecond)
	if w.chance(10) {
		took *= 20
	}
	in.m.node.after(took, func() {
		if in.m.gone {
			return
		}
		step := in.steps[0]
		in.steps = in.steps[1:]
		if err := step(); errors.Is(err, errStale) {
			in.refuse()
		} else if err != nil {
			in.m.node.die(err)
		} else if len(in.steps) > 0 {
			in.next()
		}
	})
}

// errStale: the replica has what the image has.
var errStale = errors.New("stale")

// write brings the bytes to the disk.
func (in *incoming) write() error {
	f, err := in.m.node.disk.Create(in.temp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(in.out.data, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// publish gives the file its name. That must not be the present store's: an
// image at the index where this store began would replace it.
func (in *incoming) publish() error {
	if in.m.refuses(in.out) {
		return errStale
	}
	return in.m.node.disk.Rename(in.temp, in.file())
}

func (in *incoming) file() string {
	return in.m.node.storeFile(in.m.history.group, in.out.meta.Applied)
}

func (in *incoming) sync() error { return in.m.node.disk.SyncDir("store") }

func (in *incoming) install() error {
	m := in.m
	if !m.driver.Install(in.out.meta, in.out.from.replica, in.out.order.Term) {
		m.pump()
		return errStale
	}
	m.node.w.note(m.node.id, m.history.group, "installs image at", in.out.meta.Applied)
	m.pump()
	return nil
}

// refuse ends the transfer.
func (in *incoming) refuse() {
	m := in.m
	m.receiving = nil
	in.out.answer(m.node, false)
	for _, name := range []string{in.temp, in.file()} {
		if name == m.file {
			continue
		}
		if err := m.node.disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.node.die(err)
			return
		}
	}
}

// switchStore makes the image the store: its record is in the log.
func (m *member) switchStore(start uint64) {
	w := m.node.w
	in, old := m.receiving, m.file
	m.receiving = nil
	w.totals.Images++
	if err := m.partition.Close(); err != nil {
		w.fail("node %d group %d: close the store before the image: %v", m.node.id, m.history.group, err)
	}
	if err := m.openStore(start, persistence.Meta{}); err != nil {
		w.fail("node %d group %d: open the image: %v", m.node.id, m.history.group, err)
	}
	w.note(m.node.id, m.history.group, "switched to image at", start)
	if at, _ := m.partition.Applied(); at != start {
		w.fail("node %d group %d: the image at %d is at %d", m.node.id, m.history.group, start, at)
	}
	m.applies = nil
	m.wakeReaders()
	in.out.answer(m.node, true)
	if old == m.file {
		return
	}
	if err := m.node.disk.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.node.die(err)
	}
}
