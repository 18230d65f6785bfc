package grains

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence/tally"
	"github.com/hivehub/waggle/tenant"
)

// Options are what a Client works with.
type Options struct {
	Node      *actors.Node
	Quotas    *actors.Quotas
	Placement func(tenant.ID) (partition uint64, ok bool) // exceptions to the hash; may be nil
	Hub       Hub
	Topology  actors.TopologySource // who has which partition; nil: this node has them all
	Limits    collection.Limits
	Logger    *slog.Logger
	Tally     *tally.Tally // counts what is read; nil: nothing does
	Usage     UsageSink    // the embedded hub, for ReportUsage of other nodes; may be nil

	IdleAfter     time.Duration // a collection unused for so long is passivated; default 10 min
	IndexBytesMax int64         // of all active collections; default 4 GB
	Run           RunLimits     // of the work on answers
	LoadsMax      int           // activations at a time; default 2
	TailBytesMax  int           // of a collection's vectors that wait for the graph, at a byte a value; default 128 MB
	Builders      int           // goroutines that build graphs; default one per CPU
	IndexDir      string        // where graphs are kept while they are not in memory; none: they are built again
}

// Hub is told of collections, and tells of tenants whose data is to go.
// *hubsvc.Embedded and *remote.Hub are such.
type Hub interface {
	// RecordCollection takes up to hubsvc.CollectionsInOneMax records, again and
	// in any order.
	RecordCollection(ctx context.Context, records ...hubsvc.CollectionRecord) error
	// DeleteTenant ends a tenant, whose data is dropped then.
	DeleteTenant(ctx context.Context, id tenant.ID) (hubsvc.Tenant, error)
	// Deleting are the tenants whose data this node has to have dropped; Erases
	// reports whether that of one is to go, and TenantPurged says that it has.
	Deleting() []tenant.ID
	Erases(ctx context.Context, id tenant.ID) bool
	TenantPurged(ctx context.Context, id tenant.ID, e hubsvc.Erased) error
}

// Client is the way to tenants' collections. Its methods may be called from
// any goroutine, return only *collection.Error or the context's error made
// into one, and refuse an invalid tenant.Context.
type Client struct {
	options   Options
	node      *actors.Node
	log       *slog.Logger
	directory *directory
	names     nameCache
	builders  *builders
	files     *indexFiles
	queue     *runQueue // of the work on answers; activations and building have budgets of their own
	loads     chan struct{}
	loaded    actors.Stopwatch // activations, the waiting for their turn included

	background context.Context // ends at Stop; bounds loads and purges
	cancel     context.CancelFunc
	wg         sync.WaitGroup
	purge      purgeQueue
	outbox     purgeQueue    // partitions with records for the hub
	dropping   sync.Map      // tenants whose data is being dropped
	turn       atomic.Uint32 // see neighbour
	started    time.Time
	led        sync.Map // groups, since when this node has led them
}

// New returns a running Client; Stop ends it.
func New(o Options) *Client {
	o.ensureDefaults()
	c := &Client{
		options: o, node: o.Node, log: o.Logger, started: time.Now(),
		queue: newRunQueue(o.Run), loads: make(chan struct{}, o.LoadsMax),
		purge: newPurgeQueue(o.Node.Partitions()), outbox: newPurgeQueue(o.Node.Partitions()),
	}
	c.builders = startBuilders(o.Builders, func() bool { return c.queue.runs.Load() > 0 })
	c.background, c.cancel = context.WithCancel(context.Background())
	c.files = c.newIndexFiles(o.IndexDir)
	c.directory = &directory{spawn: c.spawn, stop: c.stopGrain, now: time.Now, grains: map[grainKey]*handle{}}
	c.wg.Go(c.sweep)
	c.wg.Go(c.purgeLoop)
	c.wg.Go(c.outboxLoop)
	c.wg.Go(c.saveLoop)
	c.node.Handle(methodDrop, c.answerDrop)
	c.node.Handle(methodUsage, c.answerUsage)
	c.node.Handle(methodRecord, c.answerRecord)
	c.node.Handle(methodReport, c.answerReport)
	c.node.HandleTransfers(transferIndex, c.receiveFile)
	c.node.OnLead(c.nowLeads)
	return c
}

// Stop passivates every grain and waits for what runs in the background. No
// call may be under way.
func (c *Client) Stop() {
	c.cancel()
	c.wg.Wait()
	c.builders.stop()
	ctx, cancel := context.WithTimeout(context.Background(), saveAtStopMax)
	defer cancel()
	for _, h := range c.directory.passivate(everyGrain) {
		c.saveRetired(ctx, h)
	}
}

// Active is how many collections are active on this node.
func (c *Client) Active() int { return c.directory.active() }

// Activations are how long collections took to come into memory, the waiting for
// their turn included, failures too.
func (c *Client) Activations() actors.Times { return c.loaded.Times() }

// Loading is how many collections come into memory now.
func (c *Client) Loading() int { return len(c.loads) }

// Building is how many goroutines build graphs now.
func (c *Client) Building() int { return c.builders.busy() }

func (c *Client) spawn(h *handle) *actor.PID {
	h.replica = c.replicaOf(h.key.tenant)
	g := &collectionGrain{handle: h, client: c}
	return c.node.System().Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return g }))
}

func (c *Client) stopGrain(h *handle) { c.node.System().Root.Poison(h.pid) }

// replicaOf is the replica of a tenant's partition.
func (c *Client) replicaOf(id tenant.ID) *actors.Replica {
	if c.options.Placement != nil {
		if p, ok := c.options.Placement(id); ok && p < uint64(c.node.Partitions()) {
			return c.node.Partition(p)
		}
	}
	return c.node.Partition(c.node.PartitionOf(id))
}

// load fills a live index beside the mailbox, publishes it and tells the
// grain. It keeps h pinned until then, also when nobody waits for it any more:
// the subscription it takes must have an owner that ends it.
func (c *Client) load(self *actor.PID, h *handle, info collection.Info) {
	c.wg.Go(func() {
		defer c.directory.release(h)
		begun := time.Now()
		live, m := newLiveIndex(info, c.files.dir, c.builders.offer), &loaded{}
		select {
		case c.loads <- struct{}{}:
			m.err = c.guardedLoad(live, h.replica)
			<-c.loads
		case <-c.background.Done():
			m.err = collection.Errorf(collection.Unavailable, "the node is stopping")
		}
		c.loaded.Add(time.Since(begun))
		if m.err == nil {
			h.live.Store(live)
		}
		c.node.System().Root.Send(self, m)
	})
}

func (c *Client) guardedLoad(l *liveIndex, r *actors.Replica) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic while loading a collection", "collection", l.info.ID, "panic", p, "stack", string(debug.Stack()))
			err = collection.Errorf(collection.Internal, "internal error")
		}
	}()
	return l.load(c.background, r, c.files)
}

// enter is the first line of every operation: the context must be a tenant's.
func (c *Client) enter(tc tenant.Context) (*actors.Replica, error) {
	if !tc.Valid() {
		return nil, collection.Errorf(collection.Unauthenticated, "no tenant")
	}
	return c.replicaOf(tc.TenantID), nil
}

// read confirms leadership and returns the state that every write acknowledged
// before the call is in. The view must be closed.
func (c *Client) read(ctx context.Context, tc tenant.Context) (collection.View, error) {
	r, err := c.enter(tc)
	if err != nil {
		return nil, err
	}
	if err := r.ReadBarrier(ctx, tc.TenantID); err != nil {
		return nil, err
	}
	return r.View()
}

// openInTurn is open in a turn, which must be left behind the view. Neither a
// leader nor a turn is waited for with a view or a turn in hand.
func (c *Client) openInTurn(ctx context.Context, tc tenant.Context, name string, cost time.Duration) (*turn, collection.View, collection.Info, error) {
	r, err := c.enter(tc)
	if err != nil {
		return nil, nil, collection.Info{}, err
	}
	if err := r.ReadBarrier(ctx, tc.TenantID); err != nil {
		return nil, nil, collection.Info{}, err
	}
	t, err := c.queue.enter(ctx, tc.TenantID, cost)
	if err != nil {
		return nil, nil, collection.Info{}, err
	}
	view, info, err := lookupIn(r, tc, name)
	if err != nil {
		t.leave()
		return nil, nil, collection.Info{}, err
	}
	return t, view, info, nil
}

func lookupIn(r *actors.Replica, tc tenant.Context, name string) (collection.View, collection.Info, error) {
	view, err := r.View()
	if err != nil {
		return nil, collection.Info{}, err
	}
	info, err := lookup(view, tc, name)
	if err != nil {
		view.Close()
	}
	return view, info, err
}

// open is read and the collection's record.
func (c *Client) open(ctx context.Context, tc tenant.Context, name string) (collection.View, collection.Info, error) {
	view, err := c.read(ctx, tc)
	if err != nil {
		return nil, collection.Info{}, err
	}
	info, err := lookup(view, tc, name)
	if err != nil {
		view.Close()
		return nil, collection.Info{}, err
	}
	return view, info, nil
}

// lookup resolves a name or an alias inside the tenant. A key that is narrowed
// has to be for the name and for the collection: what it is not for it cannot
// tell from what is not there.
func lookup(r collection.Reader, tc tenant.Context, name string) (collection.Info, error) {
	if !tc.MayCollection(name) {
		return collection.Info{}, notFound(name)
	}
	info, ok, err := collection.Resolve(r, tc.TenantID, name)
	if err == nil && (!ok || info.Name != name && !tc.MayCollection(info.Name)) {
		err = notFound(name)
	}
	return info, err
}

func notFound(name string) error {
	return collection.Errorf(collection.NotFound, "Collection `%s` doesn't exist!", name)
}

// asError makes every error one of the domain's.
func asError(err error) error {
	if err == nil {
		return nil
	}
	return domainError(err)
}

func domainError(err error) error {
	var e *collection.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &collection.Error{Code: collection.DeadlineExceeded, Message: "the request took longer than its deadline", Err: err}
	}
	return &collection.Error{Code: collection.Internal, Message: "internal error", Err: err}
}
