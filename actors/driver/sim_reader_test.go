package driver_test

import (
	"slices"
	"time"

	"github.com/hivehub/waggle/collection"
)

// read is one linearizable read of one point, beside its client's writes. It
// may show what was known to be there when it began, or what a write under way
// then or since makes of it.
type read struct {
	client  *client
	index   int // of the point
	allowed []int64
}

// readLoop reads now and then, as often from any node as from the one that is
// believed to lead.
func (c *client) readLoop() {
	c.w.after(c.w.between(10*time.Millisecond, 400*time.Millisecond), func() {
		n := c.w.nodes[c.leader-1]
		if c.w.chance(50) {
			n = c.anyNode()
		}
		if !c.w.healed && n.up && n.paused <= c.w.now {
			c.startRead(n)
		}
		if !c.w.healed {
			c.readLoop()
		}
	})
}

func (c *client) startRead(n *node) {
	m := n.members[c.history.group-1]
	if c.read != nil || m == nil {
		return
	}
	r := &read{client: c, index: c.w.rng.IntN(pointsOf)}
	c.read = r
	if c.op == nil || !c.op.seen {
		r.allowed = append(r.allowed, c.points[r.index].value)
	}
	if c.op != nil {
		r.begun(c.op)
	}
	end := func() {
		if c.read == r {
			c.read = nil
		}
	}
	c.w.after(c.w.between(300*time.Millisecond, 2*time.Second), end)
	m.read(func() {
		if c.read == r {
			end()
			r.check(m)
		}
	}, func(err error) {
		c.hint(err)
		end()
	})
}

// begun allows what a write will make of the point.
func (r *read) begun(op *operation) {
	if op.refusal == collection.OK {
		r.allowed = append(r.allowed, op.after[r.index].value)
	}
}

func (r *read) check(m *member) {
	c := r.client
	view, err := m.partition.View()
	if err != nil {
		c.w.fail("node %d group %d: view: %v", m.node.id, c.history.group, err)
	}
	defer view.Close()
	got := c.get(view, r.index).value
	c.w.totals.Reads++
	c.w.note(m.node.id, c.history.group, "read", uint64(r.index), uint64(got))
	if !slices.Contains(r.allowed, got) {
		c.w.fail("node %d group %d tenant %s: a read of point %d at %d shows %d, want one of %v", m.node.id, c.history.group, c.tenant, r.index, view.AppliedIndex(), got, r.allowed)
	}
	if op := c.op; op != nil && got == op.number {
		op.seen = true
	}
}

// get returns a point as the client would know it.
func (c *client) get(r collection.Reader, i int) point {
	info, ok, err := collection.LookupCollection(r, c.tenant, "c")
	if err != nil {
		c.w.fail("group %d tenant %s: look up the collection: %v", c.history.group, c.tenant, err)
	}
	if !ok {
		return point{}
	}
	rec, version, ok, err := collection.GetPoint(r, info.ID, pointID(i))
	if err != nil {
		c.w.fail("group %d tenant %s: get point %d: %v", c.history.group, c.tenant, i, err)
	}
	if !ok {
		return point{}
	}
	payload, err := rec.Payload()
	if err != nil {
		c.w.fail("group %d tenant %s: payload of point %d: %v", c.history.group, c.tenant, i, err)
	}
	return point{value: payload["n"].(int64), change: version >> 16}
}

// checkAll compares all points of a client that has no write under way.
func (c *client) checkAll(n *node, r collection.Reader) {
	for i, want := range c.points {
		if got := c.get(r, i); got != want {
			c.w.fail("node %d group %d tenant %s: point %d is %+v, want %+v", n.id, c.history.group, c.tenant, i, got, want)
		}
	}
}
