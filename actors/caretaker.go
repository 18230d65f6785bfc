package actors

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/hubsvc"
)

// caretaker makes the replicas that this node should have, and removes those
// that nobody needs any more. It is one goroutine.
type caretaker struct {
	node   *Node
	source TopologySource
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// careInterval is how often replicas that are to go are looked at again: what
// they wait for happens on other nodes.
const careInterval = 500 * time.Millisecond

// careTimeout bounds the questions about one replica.
const careTimeout = 2 * time.Second

func startCaretaker(n *Node) *caretaker {
	c := &caretaker{node: n, source: n.options.Cluster.Topology}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	n.Handle(methodStatus, n.answerStatus)
	n.Handle(methodReports, n.answerReports)
	n.Handle(methodLeave, n.answerLeave)
	if c.source != nil {
		c.done.Go(c.run)
	}
	return c
}

func (c *caretaker) stop() {
	c.cancel()
	c.done.Wait()
}

func (c *caretaker) run() {
	every := time.NewTicker(careInterval)
	defer every.Stop()
	for {
		topology := c.source.Topology()
		c.care(topology)
		select {
		case <-topology.Changed():
		case <-every.C:
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *caretaker) care(t *hubsvc.Topology) {
	for _, p := range t.Placements() {
		if c.ctx.Err() != nil {
			return
		}
		c.careFor(c.node.replicas[p.Group], p)
	}
}

func (c *caretaker) careFor(r *Replica, p hubsvc.Placement) {
	want, mine := p.On(c.node.Number())
	h := r.here.Load()
	ctx, cancel := context.WithTimeout(c.ctx, careTimeout)
	defer cancel()
	var err error
	switch {
	case h == nil && mine && r.failure.Load() == nil && want.ID != hubsvc.FirstReplica:
		err = r.create(ctx, uint64(want.ID))
	case h != nil && (!mine || uint64(want.ID) != h.id) && c.dispensable(ctx, r, h.id, p):
		err = r.remove(ctx)
	}
	if err != nil && c.ctx.Err() == nil {
		c.node.log.Warn("a replica is not as it should be yet", "group", r.group, "err", err)
	}
}

// dispensable asks the group whether it can do without this replica.
func (c *caretaker) dispensable(ctx context.Context, r *Replica, id uint64, p hubsvc.Placement) bool {
	q := leave{Group: r.group, Replica: id}
	for _, other := range p.Replicas {
		if number := other.ID.Member(); number == c.node.Number() {
			if c.node.mayLeave(ctx, q) {
				return true
			}
		} else if request, err := msgpack.Marshal(q); err == nil {
			answer, err := c.node.Call(ctx, number, methodLeave, request)
			if err == nil && string(answer) == leaveGranted {
				return true
			}
		}
	}
	return false
}

// methodLeave asks the leader of a group whether a replica's data may go.
const (
	methodLeave  = "leave"
	leaveGranted = "yes"
)

type leave struct {
	Group   uint64 `msgpack:"g"`
	Replica uint64 `msgpack:"r"`
}

func (n *Node) answerLeave(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
	var q leave
	if err := msgpack.Unmarshal(request, &q); err != nil || q.Group >= uint64(len(n.replicas)) {
		return nil, errNotHere
	}
	if n.mayLeave(ctx, q) {
		return []byte(leaveGranted), nil
	}
	return nil, nil
}

// mayLeave reports whether nobody needs a replica any more: this node leads the
// group, in a configuration without it, and every voter will remember that
// after a restart. Until then a voter may count its vote, or its log be what an
// acknowledged entry is in. It is read like any other state, since a leader
// that is none any more knows nothing.
//
// A voter that is wanted no more and not heard from is not waited for: it may
// be dead, and the replica be in the way of the one that is to replace it.
func (n *Node) mayLeave(ctx context.Context, q leave) bool {
	r := n.replicas[q.Group]
	if !r.Leads() || r.ReadBarrier(ctx, "") != nil {
		return false
	}
	s := r.report.Load()
	if s == nil || s.Role != driver.Leader || s.Joint() || s.Term != r.Status().Term || s.MembersIndex != r.Status().MembersIndex {
		return false
	}
	p, ok := n.options.Cluster.Topology.Topology().Placement(q.Group)
	if !ok || slices.ContainsFunc(s.Members, func(m driver.Member) bool { return m.Replica == q.Replica }) {
		return false
	}
	want := present(p.Replicas, *s)
	for _, m := range s.Members {
		wanted := slices.ContainsFunc(want, func(w hubsvc.Replica) bool { return uint64(w.ID) == m.Replica })
		if m.Learner || !m.Active && !wanted && m.Replica != s.Replica {
			continue
		}
		if at, err := n.statusAt(ctx, memberOf(m.Replica), q.Group); err != nil || at.Replica != m.Replica || at.Durable < s.MembersIndex {
			return false
		}
	}
	return true
}

// methodStatus asks for the raft status of a group's replica.
const methodStatus = "status"

func (n *Node) answerStatus(_ context.Context, _ uint32, request []byte) ([]byte, error) {
	var group uint64
	if err := msgpack.Unmarshal(request, &group); err != nil || group >= uint64(len(n.replicas)) {
		return nil, errNotHere
	}
	return msgpack.Marshal(n.replicas[group].Status())
}

// methodReports asks a node for the reports of the groups that it leads.
const methodReports = "reports"

// ReportsOf returns what a node, this one or another, says of the groups that
// it leads: their status with all members, at most half a second old.
func (n *Node) ReportsOf(ctx context.Context, number uint32) ([]driver.Status, error) {
	if number == n.Number() {
		return n.reports(), nil
	}
	answer, err := n.Call(ctx, number, methodReports, nil)
	if err != nil {
		return nil, err
	}
	var all []driver.Status
	err = msgpack.Unmarshal(answer, &all)
	return all, err
}

func (n *Node) answerReports(context.Context, uint32, []byte) ([]byte, error) {
	return msgpack.Marshal(n.reports())
}

func (n *Node) reports() (all []driver.Status) {
	n.eachActor(func(r *Replica) {
		if s := r.report.Load(); s != nil && r.Leads() {
			all = append(all, *s)
		}
	})
	return all
}

// Connected reports whether another node can be reached now.
func (n *Node) Connected(number uint32) bool {
	return number == n.Number() || n.network.Connected(number)
}

// statusAt asks a node, this one or another, for the status of its replica.
func (n *Node) statusAt(ctx context.Context, number uint32, group uint64) (driver.Status, error) {
	if number == n.Number() {
		return n.replicas[group].Status(), nil
	}
	request, err := msgpack.Marshal(group)
	if err != nil {
		return driver.Status{}, err
	}
	answer, err := n.Call(ctx, number, methodStatus, request)
	if err != nil {
		return driver.Status{}, err
	}
	var s driver.Status
	err = msgpack.Unmarshal(answer, &s)
	return s, err
}

// HandOver gives up the leadership of every group that another node can take
// over, and waits until that is done or ctx ends. It is for a node that stops.
func (n *Node) HandOver(ctx context.Context) {
	n.leaving.Store(true)
	n.eachActor(func(r *Replica) { r.send(handOver{}) })
	for _, r := range n.replicas {
		for {
			number, next := r.Leader()
			if s := r.Status(); number != n.Number() || s.Alone() {
				break
			}
			select {
			case <-next:
				continue
			case <-ctx.Done():
				return
			}
		}
	}
}
