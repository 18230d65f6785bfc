package driver_test

import (
	"bytes"
	"reflect"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/disk"
)

// history is what one group decided, as seen from outside: the first replica
// that applies an index writes it down, and every other application of that
// index, by whichever replica, before or after whichever crash, must agree.
// Checked are, all along,
//   - one leader per term, and never the same one twice
//   - an entry, once applied anywhere, is the entry at its index for ever
//   - an entry is what somebody proposed, byte for byte
//   - every replica's outcomes and digest at an index are those of a twin that
//     applied the same entries elsewhere, one by one
//   - what a store holds when a process starts has the digest of its index
//   - an idempotency key takes effect once, and is answered alike for ever
//
// and at the end, when everything is healed,
//   - every group is where it is desired to be, and nowhere else
//   - every client was answered and every replica applied everything
//   - the digest kept by apply is the digest counted anew, and so are counters
//   - every point has the value that its client was told
type history struct {
	w       *world
	group   uint64
	entries []past // entries[i] is at index i+2: groups begin after 1
	twin    *persistence.Partition
	leaders map[uint64]leadership

	birth    []uint64 // the first voters
	newborn  persistence.Meta
	desired  desired
	confs    []decidedConf
	inFlight []*changeInFlight

	proposed map[string]bool
	effects  map[string]uint64            // command -> the first entry that took effect with it
	keys     map[string]collection.Answer // idempotency keys that took effect
}

// past is one decided entry.
type past struct {
	term       uint64
	data, conf []byte
	outcome    collection.Outcome
	digest     [16]byte // after it
}

// decidedConf is who votes from an index on: in a joint configuration two sets.
type decidedConf struct {
	index  uint64
	halves [][]uint64
}

type leadership struct{ node, life int }

func newHistory(w *world, group uint64) *history {
	h := &history{
		w: w, group: group,
		leaders: map[uint64]leadership{}, proposed: map[string]bool{}, effects: map[string]uint64{}, keys: map[string]collection.Answer{},
	}
	for _, n := range w.nodes[:w.births] {
		h.birth = append(h.birth, w.newReplica(n))
	}
	_, h.newborn = driver.Newborn(group, h.birth[0], h.birth)
	h.desired = desired{replicas: h.birth}
	h.confs = []decidedConf{{1, [][]uint64{h.birth}}}
	store, err := persistence.OpenMem(disk.NewMem(0), "twin")
	if err != nil {
		panic(err)
	}
	if h.twin, err = persistence.OpenPartition(store, w.mutant.machine(0), persistence.PartitionOptions{Start: h.newborn}); err != nil {
		panic(err)
	}
	return h
}

// conf is who votes as of an index.
func (h *history) conf(index uint64) [][]uint64 {
	i := len(h.confs) - 1
	for ; i > 0 && h.confs[i].index > index; i-- {
	}
	return h.confs[i].halves
}

// last is the index of the last entry that was applied anywhere.
func (h *history) last() uint64 { return uint64(len(h.entries)) + 1 }

// at is the entry of an index; the newborn state before the first has none.
func (h *history) at(index uint64) *past { return &h.entries[index-2] }

// leads notes a leader.
func (h *history) leads(n *node, term uint64) {
	now := leadership{n.id, n.life}
	if before, ok := h.leaders[term]; ok && before != now {
		h.w.fail("group %d: node %d (process %d) leads term %d, which node %d (process %d) has led", h.group, n.id, n.life, term, before.node, before.life)
	}
	h.leaders[term] = now
	h.w.totals.Elections++
	h.w.note(n.id, h.group, "leads term", term)
}

// opened checks what a store holds when a process starts.
func (h *history) opened(n *node, p *persistence.Partition) {
	index, _ := p.Applied()
	h.w.note(n.id, h.group, "opened at", index)
	if index > h.last() {
		h.w.fail("node %d group %d: the store is at %d, nobody applied more than %d", n.id, h.group, index, h.last())
	}
	h.checkDigest(n, p)
}

func (h *history) checkDigest(n *node, p *persistence.Partition) {
	if index, _ := p.Applied(); index > 1 && p.Digest() != h.at(index).digest {
		h.w.fail("node %d group %d: digest %x at index %d, the twin's is %x", n.id, h.group, p.Digest(), index, h.at(index).digest)
	}
}

// apply applies entries to a replica and compares with the history.
func (h *history) apply(n *node, p *persistence.Partition, entries []persistence.CommittedEntry) []collection.Outcome {
	for _, e := range entries {
		h.decide(n, e)
	}
	outcomes := p.Apply(entries)
	last := entries[len(entries)-1].Index
	h.w.note(n.id, h.group, "applied", entries[0].Index, last)
	if err := p.Err(); err != nil {
		h.w.fail("node %d group %d: apply %d to %d: %v", n.id, h.group, entries[0].Index, last, err)
	}
	if at, _ := p.Applied(); at != last {
		h.w.fail("node %d group %d: applied up to %d and is at %d", n.id, h.group, last, at)
	}
	for i, o := range outcomes {
		twin := h.at(entries[i].Index).outcome
		if !reflect.DeepEqual(o.Answer, twin.Answer) || collection.CodeOf(o.Err) != collection.CodeOf(twin.Err) || !reflect.DeepEqual(o.Events, twin.Events) {
			h.w.fail("node %d group %d: entry %d gave %v %v, the twin %v %v", n.id, h.group, entries[i].Index, o.Answer, o.Err, twin.Answer, twin.Err)
		}
	}
	h.checkDigest(n, p)
	return outcomes
}

// decide compares an entry with the one that was decided at its index, or
// writes it down as decided.
func (h *history) decide(n *node, e persistence.CommittedEntry) {
	switch {
	case e.Index > h.last()+1:
		h.w.fail("node %d group %d: entry %d follows %d", n.id, h.group, e.Index, h.last())
	case e.Index == h.last()+1:
		h.write(e)
	default:
		was := h.at(e.Index)
		if was.term != e.Term || !bytes.Equal(was.data, e.Data) || !bytes.Equal(was.conf, e.ConfState) {
			h.w.fail("node %d group %d: entry %d is of term %d (%d bytes) and was applied as of term %d (%d bytes)", n.id, h.group, e.Index, e.Term, len(e.Data), was.term, len(was.data))
		}
	}
}

func (h *history) write(e persistence.CommittedEntry) {
	if len(e.Data) > 0 && !h.proposed[string(e.Data)] {
		h.w.fail("group %d: entry %d of %d bytes was never proposed", h.group, e.Index, len(e.Data))
	}
	h.w.totals.Entries++
	outcome := h.twin.Apply([]persistence.CommittedEntry{e})[0]
	if err := h.twin.Err(); err != nil {
		h.w.fail("group %d: the twin cannot apply entry %d: %v", h.group, e.Index, err)
	}
	h.inFlight = slices.DeleteFunc(h.inFlight, func(c *changeInFlight) bool { return c.term < e.Term })
	if e.ConfState != nil {
		h.decideConf(e)
	}
	h.entries = append(h.entries, past{term: e.Term, data: e.Data, conf: e.ConfState, outcome: outcome, digest: h.twin.Digest()})
	if len(e.Data) > 0 && outcome.Err == nil {
		if h.effects[string(e.Data)] == 0 {
			h.effects[string(e.Data)] = e.Index
		}
		h.checkOnce(e, outcome)
	}
}

func (h *history) decideConf(e persistence.CommittedEntry) {
	conf := &raftpb.ConfState{}
	if err := proto.Unmarshal(e.ConfState, conf); err != nil {
		h.w.fail("group %d: entry %d: %v", h.group, e.Index, err)
	}
	halves := [][]uint64{conf.GetVoters()}
	if len(conf.GetVotersOutgoing()) > 0 {
		halves = append(halves, conf.GetVotersOutgoing())
		h.w.totals.Joint++
	}
	h.w.note(0, h.group, "members changed", e.Index, uint64(len(conf.GetVoters())))
	h.confs = append(h.confs, decidedConf{e.Index, halves})
}

// checkOnce holds that a key takes effect once.
func (h *history) checkOnce(e persistence.CommittedEntry, o collection.Outcome) {
	c, err := collection.DecodeCommand(e.Data)
	if err != nil {
		h.w.fail("group %d: entry %d: %v", h.group, e.Index, err)
	}
	if c.Key == "" {
		return
	}
	answer := o.Answer.(collection.Answer)
	key := string(c.Tenant) + "/" + c.Key
	first, known := h.keys[key]
	switch {
	case !known:
		h.keys[key] = answer
	case !reflect.DeepEqual(first, answer) || len(o.Events) > 0:
		h.w.fail("group %d: entry %d repeats key %s, answered %+v with %d events; the first answer was %+v", h.group, e.Index, key, answer, len(o.Events), first)
	default:
		h.w.totals.Repeated++
	}
}

// checkEnd is what must hold when everything is healed and quiet.
func (w *world) checkEnd() {
	for _, n := range w.nodes {
		for m := range n.present() {
			m.checkCounts()
			view, err := m.partition.View()
			if err != nil {
				w.fail("node %d group %d: view: %v", n.id, m.history.group, err)
			}
			for _, c := range w.clients {
				if c.history == m.history {
					c.checkAll(n, view)
				}
			}
			view.Close()
		}
	}
	for _, c := range w.clients {
		c.checkAnswered()
	}
}

// checkCounts compares what apply keeps with what a full scan finds.
func (m *member) checkCounts() {
	w := m.node.w
	if _, err := m.partition.Recount(); err != nil {
		w.fail("node %d group %d: recount: %v", m.node.id, m.history.group, err)
	}
	view, err := m.partition.View()
	if err != nil {
		w.fail("node %d group %d: view: %v", m.node.id, m.history.group, err)
	}
	defer view.Close()
	for _, c := range w.clients {
		if c.history != m.history {
			continue
		}
		kept, err := collection.Usage(view, c.tenant)
		counted, err2 := collection.Recount(view, c.tenant)
		if err != nil || err2 != nil || kept != counted {
			w.fail("node %d group %d tenant %s: counters %+v (%v), recounted %+v (%v)", m.node.id, m.history.group, c.tenant, kept, err, counted, err2)
		}
	}
}
