package driver_test

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// network carries raft's messages, as bytes. Messages overtake each other, and
// while it is lossy they are also lost, doubled and late.
type network struct {
	w     *world
	cut   map[[2]int]bool // from, to: nothing passes
	lossy time.Duration   // until then
}

func (n *network) send(from *node, group uint64, m *raftpb.Message) {
	w := n.w
	data, err := proto.Marshal(m)
	if err != nil {
		w.fail("marshal %v: %v", m, err)
	}
	to := w.home(m.GetTo())
	if to == nil {
		w.totals.Lost++
		return
	}
	copies := 1
	if n.lossy > w.now {
		switch {
		case w.chance(20):
			copies = 0
			w.totals.Lost++
		case w.chance(10):
			copies = 2
			w.totals.Doubled++
		}
	}
	for range copies {
		w.after(n.delay(), func() { n.deliver(from, to, group, data) })
	}
}

func (n *network) delay() time.Duration {
	if n.lossy > n.w.now && n.w.chance(5) {
		n.w.totals.Late++
		return n.w.between(100*time.Millisecond, 3*time.Second)
	}
	return n.w.between(100*time.Microsecond, 5*time.Millisecond)
}

func (n *network) deliver(from, to *node, group uint64, data []byte) {
	if !to.up || n.cut[[2]int{from.id, to.id}] {
		n.w.totals.Lost++
		n.noticeLoss(from, to, group)
		return
	}
	to.awake(func() {
		m := &raftpb.Message{}
		if err := proto.Unmarshal(data, m); err != nil {
			n.w.fail("unmarshal a message: %v", err)
		}
		if !to.up {
			return
		}
		if member := to.members[group-1]; member != nil {
			member.driver.Step(m)
			member.pump()
		}
	})
}

// noticeLoss tells the sender now and then that nobody is there.
func (n *network) noticeLoss(from, to *node, group uint64) {
	if !from.up || from.paused > n.w.now || !n.w.chance(10) {
		return
	}
	if m, p := from.members[group-1], to.places[group-1]; m != nil && p.replica != 0 {
		m.driver.Unreachable(p.replica)
		m.pump()
	}
}

// reset is the loss of a node's connections, by its end or for nothing: who
// followed it forgets it, and one or the other campaigns.
func reset(lost *node) {
	w := lost.w
	for _, n := range w.nodes {
		for m := range n.present() {
			if s := m.driver.Status(); n == lost || s.Leader>>32 != lost.number || w.chance(20) {
				continue
			}
			n.after(w.between(0, 50*time.Millisecond), func() {
				if m.gone {
					return
				}
				w.totals.Forgotten++
				m.driver.ForgetLeader()
				m.pump()
				n.after(w.between(0, 300*time.Millisecond), func() {
					if !m.gone && m.driver.Status().Leader == 0 {
						m.driver.Campaign()
						m.pump()
					}
				})
			})
		}
	}
}

// home is the node that a replica was made for, nil when its disk was wiped.
func (w *world) home(replica uint64) *node {
	for _, n := range w.nodes {
		if n.number == replica>>32 {
			return n
		}
	}
	return nil
}

// call carries something else than raft's messages; it is lost when it cannot
// be delivered.
func (n *network) call(from, to *node, fn func()) {
	if n.lossy > n.w.now && n.w.chance(20) {
		return
	}
	n.w.after(n.delay(), func() {
		if to.up && !n.cut[[2]int{from.id, to.id}] {
			to.awake(func() {
				if to.up {
					fn()
				}
			})
		}
	})
}
