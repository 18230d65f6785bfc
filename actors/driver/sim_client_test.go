package driver_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// pointsOf is how many points a client has to do with.
const pointsOf = 5

// point is one point as its client knows it: the number of the operation that
// wrote its payload, 0 for no point, and the number of the change in the
// collection.
type point struct {
	value  int64
	change uint64
}

// client is a tenant of one group that does one thing at a time and repeats a
// write until it knows its outcome. Nobody else writes its points, so it
// always knows their value, or, while a write is under way, the two they have.
type client struct {
	w       *world
	history *history
	id      int
	tenant  tenant.ID

	collection uint64 // 0 = not created
	dropped    uint64 // a deleted collection to be purged
	points     [pointsOf]point
	leader     int   // guess
	number     int64 // of the last operation
	op         *operation
	read       *read // under way, beside the writes
	left       int   // operations still to do once the world is healed
	attempts   []*attempt
}

// operation is one write.
type operation struct {
	number   int64
	command  []byte
	key      string
	touched  []int // points written
	after    [pointsOf]point
	refusal  collection.Code // the answer it must get; OK = it takes effect
	effect   func(collection.Answer)
	attempts int
	seen     bool // a read has shown that it took effect
}

// attempt is one proposal of an operation.
type attempt struct {
	node  *node
	life  int
	calls int
}

func newClient(w *world, h *history, id int) *client {
	return &client{w: w, history: h, id: id, tenant: tenant.ID(fmt.Sprintf("tenant-%d", id)), leader: 1, left: 3}
}

// pause waits a little and goes on with the next thing.
func (c *client) pause() { c.w.after(c.w.between(time.Millisecond, 150*time.Millisecond), c.next) }

// busy reports whether the client still has something to do after the heal.
func (c *client) busy() bool { return c.op != nil || c.read != nil || c.left > 0 }

func (c *client) next() {
	if c.w.healed {
		if c.left == 0 {
			return
		}
		c.left--
	}
	c.begin()
	c.try()
}

// begin chooses the next write.
func (c *client) begin() {
	c.number++
	c.op = &operation{number: c.number, key: fmt.Sprintf("key-%d", c.number), after: c.points}
	limits := tenant.Limits{Vectors: tenant.Unlimited, Bytes: tenant.Unlimited, Collections: tenant.Unlimited}
	var op collection.Op
	switch roll := c.w.rng.IntN(100); {
	case c.collection == 0:
		op = c.create()
	case c.dropped != 0:
		op = collection.Purge{Max: 3}
		c.op.key = ""
		c.op.effect = func(a collection.Answer) {
			if !a.Existed {
				c.dropped = 0
			}
		}
	case roll < 50:
		op = c.upsert()
		if c.w.chance(15) { // what does not grow passes a limit of nothing
			limits.Vectors = 0
			if slices.ContainsFunc(c.op.touched, func(i int) bool { return c.points[i].value == 0 }) {
				c.op.refusal = collection.ResourceExhausted
			}
		}
	case roll < 70:
		op = c.setPayload()
	case roll < 95:
		op = c.deletePoints()
	default:
		op = c.deleteCollection()
	}
	c.op.command = c.encode(op, limits)
	if c.read != nil {
		c.read.begun(c.op)
	}
	c.history.proposed[string(c.op.command)] = true
}

func (c *client) encode(op collection.Op, limits tenant.Limits) []byte {
	command := collection.Command{
		Tenant: c.tenant, Collection: c.collection, Key: c.op.key,
		Limits: limits, Op: op,
		// Clocks of nodes differ.
		Time: 1_700_000_000_000 + c.w.now.Milliseconds() + int64(c.w.rng.IntN(20_000)-10_000),
	}
	if _, ok := op.(collection.Purge); ok {
		command.Collection = c.dropped
	}
	command.Hash = sha256.Sum256(fmt.Append(nil, c.id, c.op.number))
	data, err := collection.EncodeCommand(nil, command)
	if err != nil {
		c.w.fail("encode %T: %v", op, err)
	}
	return data
}

func (c *client) create() collection.Op {
	c.op.effect = func(a collection.Answer) { c.collection = a.Collection }
	return collection.CreateCollection{Name: "c", Config: collection.Config{
		Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Dot}},
	}}
}

func (c *client) deleteCollection() collection.Op {
	c.op.after = [pointsOf]point{}
	c.op.effect = func(collection.Answer) { c.dropped, c.collection = c.collection, 0 }
	return collection.DeleteCollection{Name: "c"}
}

// touch chooses points and what the operation makes of each.
func (c *client) touch(result func(before int64) int64) []collection.PointID {
	var ids []collection.PointID
	for _, i := range c.w.rng.Perm(pointsOf)[:1+c.w.rng.IntN(pointsOf)] {
		ids = append(ids, pointID(i))
		c.op.touched = append(c.op.touched, i)
		c.op.after[i] = point{value: result(c.points[i].value)} // took knows the change
	}
	return ids
}

func pointID(i int) collection.PointID { return collection.NumID(uint64(i + 1)) }

func (c *client) upsert() collection.Op {
	var records []collection.Record
	for _, id := range c.touch(func(int64) int64 { return c.op.number }) {
		raw, err := collection.EncodeRecord(nil, collection.Point{
			ID: id, Vector: []float32{float32(c.op.number), 1},
			Payload: collection.Payload{"n": c.op.number, "pad": string(make([]byte, c.w.rng.IntN(700)))},
		})
		if err != nil {
			c.w.fail("encode a record: %v", err)
		}
		r, err := collection.DecodeRecord(raw)
		if err != nil {
			c.w.fail("decode a record: %v", err)
		}
		records = append(records, r)
	}
	return collection.Upsert{Records: records}
}

func (c *client) setPayload() collection.Op {
	ids := c.touch(func(before int64) int64 {
		if before == 0 {
			return 0
		}
		return c.op.number
	})
	payload, err := collection.AppendPayload(nil, collection.Payload{"n": c.op.number})
	if err != nil {
		c.w.fail("encode a payload: %v", err)
	}
	return collection.SetPayload{IDs: ids, Payload: payload}
}

func (c *client) deletePoints() collection.Op {
	return collection.DeletePoints{IDs: c.touch(func(int64) int64 { return 0 })}
}

// try proposes the operation, to the node it believes to lead or to any.
func (c *client) try() {
	op := c.op
	op.attempts++
	try := op.attempts
	again := func() {
		if c.op == op && op.attempts == try {
			c.try()
		}
	}
	c.w.after(c.w.between(200*time.Millisecond, 2*time.Second), func() {
		if c.op == op && op.attempts == try {
			c.leader = c.anyNode().id // no answer: it may be cut off
			c.try()
		}
	})
	n := c.choose()
	if !n.up || n.paused > c.w.now {
		return
	}
	m := n.members[c.history.group-1]
	if m == nil {
		c.leader = c.anyNode().id
		c.w.after(c.w.between(5*time.Millisecond, 100*time.Millisecond), again)
		return
	}
	a := &attempt{node: n, life: n.life}
	c.attempts = append(c.attempts, a)
	m.driver.Propose(driver.Proposal{Data: op.command, Done: func(o collection.Outcome) {
		if a.calls++; a.calls > 1 {
			c.w.fail("group %d tenant %s: operation %d was answered twice", c.history.group, c.tenant, op.number)
		}
		if c.answered(op, o) {
			c.w.after(c.w.between(5*time.Millisecond, 100*time.Millisecond), again)
		}
	}})
	n.after(0, m.pump)
}

// choose returns the node that is believed to lead, or now and then another.
func (c *client) choose() *node {
	if c.w.chance(10) {
		return c.anyNode()
	}
	return c.w.nodes[c.leader-1]
}

func (c *client) anyNode() *node { return c.w.nodes[c.w.rng.IntN(len(c.w.nodes))] }

// answered takes the outcome of one attempt and reports whether the operation
// has to be tried again.
func (c *client) answered(op *operation, o collection.Outcome) (again bool) {
	code := collection.CodeOf(o.Err)
	if code == collection.Unavailable {
		c.hint(o.Err)
		return true
	}
	c.w.note(0, c.history.group, "answered", uint64(op.number), uint64(code))
	if code != op.refusal {
		c.w.fail("group %d tenant %s: operation %d was answered %v %v, want %v", c.history.group, c.tenant, op.number, o.Answer, o.Err, op.refusal)
	}
	if code == collection.OK {
		if c.history.effects[string(op.command)] == 0 {
			c.w.fail("group %d tenant %s: operation %d was answered and is nowhere", c.history.group, c.tenant, op.number)
		}
		if c.op == op {
			c.took(op, o.Answer.(collection.Answer))
		}
	} else if op.seen {
		c.w.fail("group %d tenant %s: operation %d was refused after a read had seen it", c.history.group, c.tenant, op.number)
	}
	if c.op == op {
		c.finish()
	}
	return false
}

// hint learns from a refusal.
func (c *client) hint(err error) {
	e, _ := errors.AsType[*collection.Error](err)
	leader, _ := e.Details["leader"].(uint64)
	if n := c.w.home(leader); n != nil {
		c.leader = n.id
	} else if e.Reason != collection.ReasonOverload {
		c.leader = c.anyNode().id
	}
	if e.Details["outcome"] == "unknown" {
		c.w.totals.Unknown++
	}
	if e.Reason == collection.ReasonOverload {
		c.w.totals.Overloaded++
	}
}

func (c *client) took(op *operation, a collection.Answer) {
	c.w.totals.Writes++
	for _, i := range op.touched {
		if op.after[i].value != 0 {
			op.after[i].change = a.Operation
		}
	}
	c.points = op.after
	if op.effect != nil {
		op.effect(a)
	}
	if op.key != "" && c.w.chance(5) {
		c.repeat(op)
	}
}

func (c *client) finish() {
	if c.op.refusal != collection.OK {
		c.w.totals.Refused++
	}
	c.op = nil
	c.pause()
}

// repeat sends an operation again that was answered: the answer must be the
// same, and nothing may happen.
func (c *client) repeat(op *operation) {
	c.w.after(c.w.between(0, 5*time.Second), func() {
		n := c.choose()
		if !n.up || c.w.healed {
			return
		}
		if m := n.members[c.history.group-1]; m != nil {
			m.driver.Propose(driver.Proposal{Data: op.command, Done: func(o collection.Outcome) { c.answered(op, o) }})
			n.after(0, m.pump)
		}
	})
}

// checkAnswered holds that every proposal to a process that still runs was
// answered.
func (c *client) checkAnswered() {
	for _, a := range c.attempts {
		if a.node.life == a.life && a.calls != 1 {
			c.w.fail("group %d tenant %s: a proposal to node %d was answered %d times", c.history.group, c.tenant, a.node.id, a.calls)
		}
	}
}
