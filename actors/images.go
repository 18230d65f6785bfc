package actors

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
)

// imagesMax is how many images a node sends at a time: they share its disk and
// its network with everything else.
const imagesMax = 4

// imageTimeout ends a transfer that gets nowhere; raft asks for another one.
const imageTimeout = 30 * time.Minute

// imageDesk sends images to other nodes, each on a goroutine of its own that
// stop waits for.
type imageDesk struct {
	node    *Node
	ctx     context.Context
	cancel  context.CancelFunc
	places  chan struct{}
	sending sync.WaitGroup
}

func (d *imageDesk) init(n *Node) {
	d.node, d.places = n, make(chan struct{}, imagesMax)
	d.ctx, d.cancel = context.WithCancel(context.Background())
}

func (d *imageDesk) stop() {
	d.cancel()
	d.sending.Wait()
}

// imageOffer is what the receiver of an image is told before its bytes.
type imageOffer struct {
	Group uint64           `msgpack:"g"`
	From  uint64           `msgpack:"f"` // the leader's replica
	To    uint64           `msgpack:"t"`
	Term  uint64           `msgpack:"m"` // the leader's
	Meta  persistence.Meta `msgpack:"s"`
}

// send transfers the image of a partition's store and tells the actor the end.
func (d *imageDesk) send(r *Replica, h *running, o driver.ImageOrder) {
	d.sending.Go(func() {
		err := d.transfer(r, h, o)
		d.count(err)
		if err != nil && d.ctx.Err() == nil {
			d.node.log.Info("an image was not taken over; it will be sent again if need be", "group", r.group, "to", memberOf(o.To), "err", err)
		}
		r.send(imageSent{to: o.To, ok: err == nil})
	})
}

func (d *imageDesk) count(err error) {
	if err != nil {
		d.node.counters.imagesFailed.Add(1)
		return
	}
	d.node.counters.imagesSent.Add(1)
}

func (d *imageDesk) transfer(r *Replica, h *running, o driver.ImageOrder) error {
	select {
	case d.places <- struct{}{}:
		d.node.counters.imagesSending.Add(1)
		defer func() { d.node.counters.imagesSending.Add(-1); <-d.places }()
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
	image, err := h.partition.Image()
	if err != nil {
		return err
	}
	defer image.Close()
	offer, err := msgpack.Marshal(imageOffer{Group: r.group, From: h.id, To: o.To, Term: o.Term, Meta: image.Meta()})
	if err != nil {
		return fmt.Errorf("encode the offer: %w", err)
	}
	ctx, cancel := context.WithTimeout(d.ctx, imageTimeout)
	defer cancel()
	_, err = d.node.Transfer(ctx, memberOf(o.To), transferImage, offer, image.Size(), image)
	return err
}

// transferImage is the kind of transfer that images are.
const transferImage = 'i'

// receiveImage takes the image of a group's store for the replica here. It is a
// TransferHandler.
func (n *Node) receiveImage(from uint32, offer []byte, _ int64) (Sink, error) {
	var o imageOffer
	if err := msgpack.Unmarshal(offer, &o); err != nil || memberOf(o.From) != from || o.Group >= uint64(len(n.replicas)) {
		return nil, collection.Errorf(collection.InvalidArgument, "not an image of a partition")
	}
	r := n.replicas[o.Group]
	h := r.here.Load()
	if h == nil || h.id != o.To {
		return nil, collection.Errorf(collection.NotFound, "the replica is not here")
	}
	i := &incomingImage{replica: r, offer: o}
	if o.Meta.Applied <= r.Status().Commit {
		// The refusal tells the leader where this replica is.
		return nil, i.install(context.Background(), o.Meta, "")
	}
	var err error
	if i.writer, err = persistence.CreateImage(n.partitionsDir(), o.Group); err != nil {
		return nil, err
	}
	return i, nil
}

// incomingImage writes an image to this node's disk and, when all of it is
// there and sound, makes it the state of the replica.
type incomingImage struct {
	replica *Replica
	offer   imageOffer
	writer  *persistence.ImageWriter
}

// WriteAt stores a piece.
func (i *incomingImage) WriteAt(p []byte, off int64) (int, error) { return i.writer.WriteAt(p, off) }

// Commit verifies the whole and switches to it.
func (i *incomingImage) Commit(ctx context.Context) ([]byte, error) {
	meta, err := i.writer.Finish()
	if err != nil {
		return nil, fmt.Errorf("verify the image: %w", err)
	}
	path := filepath.Join(i.replica.node.partitionsDir(), persistence.StoreFile(i.offer.Group, meta.Applied))
	err = i.install(ctx, meta, path)
	if err == nil {
		i.replica.node.counters.imagesReceived.Add(1)
	}
	return nil, err
}

// Abort removes what was written.
func (i *incomingImage) Abort() { i.writer.Abort() }

func (i *incomingImage) install(ctx context.Context, meta persistence.Meta, path string) error {
	done := make(chan error, 1)
	i.replica.send(&install{meta: meta, path: path, from: i.offer.From, term: i.offer.Term, done: done})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(installTimeout): // the replica stopped meanwhile
		return collection.Errorf(collection.Unavailable, "the replica does not answer")
	}
}

// installTimeout bounds the wait for the log's record and the switch.
const installTimeout = time.Minute

// The messages about images.
type (
	imageSent struct {
		to uint64
		ok bool
	}
	// switched tells that the partition goes on with the image, or cannot.
	switched struct{ err error }
	// install offers an image that is verified and on this disk at path; "" is
	// only told so that it is refused. done has room for one.
	install struct {
		meta       persistence.Meta
		path       string
		from, term uint64
		done       chan<- error
	}
)

// imaging is what a replica actor has to do with images.
type imaging struct {
	orders     []driver.ImageOrder // not yet on their way
	out        int                 // on its way: one at a time, as the store has one reader
	installing *install            // accepted; its record is on its way to the log
	switching  bool                // the record is durable; running tasks must end before the switch
	held       []driver.Append     // durable after it: told to the driver when the switch is done
}

// sendImages lets the next order go, after a checkpoint when the store does
// not hold what the image must.
func (a *replicaActor) sendImages() {
	if a.stopped || a.imaging.out > 0 || len(a.imaging.orders) == 0 || a.Err() != nil {
		return
	}
	o := a.imaging.orders[0]
	if a.partition.Stored().Applied < o.Index {
		if !a.checkpointing && !a.applying {
			a.beginCheckpoint()
		}
		return
	}
	a.imaging.orders = a.imaging.orders[1:]
	a.imaging.out++
	a.node.images.send(a.Replica, a.running, o)
}

func (a *replicaActor) finishImage(m imageSent) {
	a.imaging.out--
	a.driver.ImageSent(m.to, m.ok)
}

// install asks raft whether the image is to be taken over. When it is, the next
// append of the driver is the switch.
func (a *replicaActor) install(m *install) {
	if a.Err() != nil && collection.CodeOf(a.Err()) != collection.DataLoss {
		m.done <- a.Err()
		return
	}
	if !a.driver.Install(m.meta, m.from, m.term) {
		a.removeImage(m)
		m.done <- collection.Errorf(collection.FailedPrecondition, "the image is of no use to this replica any more")
		return
	}
	a.imaging.installing = m
}

func (a *replicaActor) removeImage(m *install) {
	if m.path == "" {
		return
	}
	if err := persistence.RemoveStore(a.node.partitionsDir(), a.group, m.meta.Applied); err != nil {
		a.node.log.Warn("an image that is not needed stays until the next start", "group", a.group, "err", err)
	}
}

// appendDone tells the driver that an append is durable. One that switches to
// an image waits until no task works on the old store, and those after it wait
// with it.
func (a *replicaActor) appendDone(ap driver.Append) {
	a.appending--
	if !ap.Image && !a.imaging.switching {
		a.driver.AppendDone(ap)
		return
	}
	a.imaging.held = append(a.imaging.held, ap)
	a.imaging.switching = true
	a.maybeSwitch()
}

func (a *replicaActor) maybeSwitch() {
	if !a.imaging.switching || a.applying || a.checkpointing {
		return
	}
	m := a.imaging.installing
	if m == nil {
		panic("BUG: a switch to an image that nobody offered")
	}
	a.applying = true // nobody else may work on the partition
	a.node.appliers.submit(func() {
		a.send(&switched{a.partition.SwitchStore(func() (persistence.Store, error) { return persistence.OpenBolt(m.path) })})
	})
}

// finishSwitch goes on with the image's state.
func (a *replicaActor) finishSwitch(err error) {
	m := a.imaging.installing
	a.applying = false
	if err != nil {
		m.done <- err
		a.stopFor(err)
		return
	}
	a.node.log.Info("took over an image", "group", a.group, "index", m.meta.Applied)
	a.applies, a.handed = nil, m.meta.Applied
	clear(a.lastOf)
	a.imaging.installing, a.imaging.switching = nil, false
	held := a.imaging.held
	a.imaging.held = nil
	a.noteImage()
	for _, ap := range held {
		a.driver.AppendDone(ap)
	}
	a.wakeReaders()
	a.noteDelta()
	m.done <- nil
}

// noteImage shows the new state to who keeps copies of it.
func (a *replicaActor) noteImage() {
	fn := a.node.options.Cluster.OnImage
	if fn == nil {
		return
	}
	view, err := a.partition.View()
	if err != nil {
		a.fail(err)
		return
	}
	defer view.Close()
	fn(a.group, view)
}
