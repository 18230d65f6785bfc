package nodelog

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/collection"
)

// runBytesMax bounds what has to be read to find one entry.
const runBytesMax = 64 << 10

var errUnknown = errors.New("the part of the node log that may have named the group is damaged")

// Group is the log of one raft group: the read half of raft.Storage. Its
// methods are safe beside Log.Write, which shows here once it is durable.
type Group struct {
	id uint64

	// planned is the group as it will be after the batch being written. Owned
	// by the writer.
	planned struct {
		start, last, batch, replica uint64
		lost                        bool
		writing                     bool // the batch has a row of it
		recent                      bool // it is among Log.recent.groups
	}

	// Changed by the writer only (cut and err excepted).
	mu struct {
		sync.RWMutex
		hard    hardState
		hasHard bool
		batch   uint64   // number of the batch with the group's latest row; 0 = none
		origin  Position // of the last start
		replica uint64   // whose the log is; 0 = nobody has said
		start   Position // the log begins after it
		last    Position
		runs    []run           // where the entries are, ascending without a hole
		sealed  bool            // the last run ends with entries that were overwritten
		recent  []*raftpb.Entry // the newest entries, up to last
		cut     uint64          // entries up to it are in the store
		lost    bool            // recovery did not find all of the log: only Start mends it
		err     error           // *collection.Error, when lost or when reading failed
	}
}

// run is where some entries of one term are, side by side. It ends where the
// next one begins.
type run struct {
	Position // of the first
	segment  *segment
	offset   int64
	bytes    int64
}

type hardState struct{ term, vote, commit uint64 }

func hardStateOf(hs *raftpb.HardState) hardState {
	return hardState{hs.GetTerm(), hs.GetVote(), hs.GetCommit()}
}

// Err returns the *collection.Error (DataLoss) with which the group is
// stopped, because a part of its log is corrupt, or nil.
func (g *Group) Err() error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.err
}

// HardState returns the newest hard state, or nil when there is none yet.
func (g *Group) HardState() *raftpb.HardState {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if !g.mu.hasHard {
		return nil
	}
	hs := g.mu.hard
	return &raftpb.HardState{Term: &hs.term, Vote: &hs.vote, Commit: &hs.commit}
}

// Replica returns whose log this is on this node: what the last Start said,
// whatever was cut since. It is 0 when no Start named one, and when recovery
// has met nothing that does. A stopped group keeps it.
func (g *Group) Replica() uint64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.replica
}

// Start returns the position of the last Start, whatever was cut since: the
// group's store began there. It is zero when there was none. A stopped group
// keeps it.
func (g *Group) Start() Position {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.origin
}

// FirstIndex returns the index of the first entry there is, one past
// LastIndex when there is none.
func (g *Group) FirstIndex() (uint64, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.start.Index + 1, g.mu.err
}

// LastIndex returns the index of the last entry, or of the start when there
// is none.
func (g *Group) LastIndex() (uint64, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.last.Index, g.mu.err
}

// Term returns the term of the entry at i, which is known from
// FirstIndex()-1 to LastIndex(). Otherwise it is raft.ErrCompacted or
// raft.ErrUnavailable.
func (g *Group) Term(i uint64) (uint64, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	switch {
	case g.mu.err != nil:
		return 0, g.mu.err
	case i < g.mu.start.Index:
		return 0, raft.ErrCompacted
	case i > g.mu.last.Index:
		return 0, raft.ErrUnavailable
	}
	return g.term(i), nil
}

// term returns the term at i, from start to last; 0 when recovery has not
// come across it.
func (g *Group) term(i uint64) uint64 {
	if i == g.mu.start.Index {
		return g.mu.start.Term
	}
	if k := g.runOf(i); k >= 0 {
		return g.mu.runs[k].Term
	}
	return 0
}

// runOf returns the place in runs of the one with the entry i, -1 when i is
// before them all.
func (g *Group) runOf(i uint64) int {
	return sort.Search(len(g.mu.runs), func(k int) bool { return g.mu.runs[k].Index > i }) - 1
}

// endOf returns the index of the last entry of the k-th run.
func (g *Group) endOf(k int) uint64 {
	if k+1 < len(g.mu.runs) {
		return g.mu.runs[k+1].Index - 1
	}
	return g.mu.last.Index
}

func (g *Group) oldestSegment() *segment {
	if len(g.mu.runs) == 0 {
		return nil
	}
	return g.mu.runs[0].segment
}

// admit checks that a follows on from what is planned, and plans it.
func (g *Group) admit(a *Append) {
	p := &g.planned
	if a.Remove && (a.Start != nil || a.HardState != nil || len(a.Entries) > 0) || a.Replica != 0 && a.Start == nil {
		panic(fmt.Sprintf("BUG: group %d: an append removes and adds, or has a replica and no start: %+v", g.id, a))
	}
	if a.Remove {
		p.start, p.last, p.replica, p.lost = 0, 0, 0, false
		return
	}
	if p.lost && (a.Start == nil || a.HardState == nil) {
		panic(fmt.Sprintf("BUG: group %d is lost, and the append does not begin it anew", g.id))
	}
	if a.Start != nil {
		p.start, p.last, p.lost = a.Start.Index, a.Start.Index, false
	}
	if a.Replica != 0 {
		p.replica = a.Replica
	}
	for i, e := range a.Entries {
		at := e.GetIndex()
		if at <= p.start || at > p.last+1 || i > 0 && at != p.last+1 || len(e.Data) > dataBytesMax {
			panic(fmt.Sprintf("BUG: group %d: entry %d (number %d of the append, %d bytes) does not follow (%d, %d]",
				g.id, at, i, len(e.Data), p.start, p.last))
		}
		p.last = at
	}
}

// plan makes what is planned equal to what is.
func (g *Group) plan() {
	g.planned.start, g.planned.last, g.planned.batch = g.mu.start.Index, g.mu.last.Index, g.mu.batch
	g.planned.replica, g.planned.lost = g.mu.replica, g.mu.lost
}

// begin drops the log, which then begins after p as replica's, and returns how
// many bytes of memory that freed. A lost group needs to have a new hard state
// for it.
func (g *Group) begin(p Position, replica uint64, newHard bool) int64 {
	freed := g.truncate(0)
	if replica != g.mu.replica && !newHard {
		g.mu.hard, g.mu.hasHard = hardState{}, false
	}
	g.mu.origin, g.mu.replica = p, replica
	g.mu.start, g.mu.last, g.mu.cut = p, p, p.Index
	if newHard || !g.mu.lost {
		g.mu.lost, g.mu.err = false, nil
	}
	return freed
}

// remove makes the group one that was never written, and returns how many
// bytes of memory that freed.
func (g *Group) remove() int64 {
	freed := g.truncate(0)
	g.mu.hard, g.mu.hasHard, g.mu.batch = hardState{}, false, 0
	g.mu.origin, g.mu.replica = Position{}, 0
	g.mu.start, g.mu.last, g.mu.cut = Position{}, Position{}, 0
	g.mu.lost, g.mu.err = false, nil
	return freed
}

// truncate drops the entries from index on, and returns how many bytes of
// memory that freed.
func (g *Group) truncate(index uint64) int64 {
	if index > g.mu.last.Index {
		return 0
	}
	keep := sort.Search(len(g.mu.runs), func(k int) bool { return g.mu.runs[k].Index >= index })
	if index > 0 {
		g.mu.last = Position{index - 1, g.term(index - 1)}
	}
	clear(g.mu.runs[keep:])
	g.mu.runs, g.mu.sealed = g.mu.runs[:keep], true
	recent := g.mu.recent
	k := sort.Search(len(recent), func(k int) bool { return recent[k].GetIndex() >= index })
	freed := entriesBytes(recent[k:])
	clear(recent[k:])
	g.mu.recent = recent[:k]
	return freed
}

// add appends the entry at p, whose record is at off.
func (g *Group) add(p Position, s *segment, off int64, bytes int) {
	g.mu.last = p
	if n := len(g.mu.runs); n > 0 && !g.mu.sealed {
		r := &g.mu.runs[n-1]
		if r.segment == s && r.Term == p.Term && r.offset+r.bytes == off && r.bytes < runBytesMax {
			r.bytes += int64(bytes)
			return
		}
	}
	g.mu.runs, g.mu.sealed = append(g.mu.runs, run{p, s, off, int64(bytes)}), false
}

// advance makes the log begin after p, when it began before.
func (g *Group) advance(p Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.Index <= g.mu.start.Index {
		return
	}
	g.mu.start = p
	drop := 0
	for drop < len(g.mu.runs) && g.endOf(drop) <= p.Index {
		drop++
	}
	g.mu.runs = slices.Delete(g.mu.runs, 0, drop)
}

// forget drops entries up to index from memory and returns how many bytes
// that freed.
func (g *Group) forget(index uint64) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	recent := g.mu.recent
	k := sort.Search(len(recent), func(k int) bool { return recent[k].GetIndex() > index })
	freed := entriesBytes(recent[:k])
	clear(recent[:k])
	g.mu.recent = recent[k:]
	return freed
}

// retained returns where the log begins when of the entries that are cut only
// those stay that are among the newest keepEntries or keepBytes, and not in
// segments before oldest.
func (g *Group) retained(keepEntries uint64, keepBytes int64, oldest uint64) Position {
	g.mu.RLock()
	defer g.mu.RUnlock()
	limit := min(g.mu.cut, g.mu.last.Index)
	bytes := int64(0)
	for k := len(g.mu.runs) - 1; k >= 0; k-- {
		r, end := &g.mu.runs[k], g.endOf(k)
		if g.mu.last.Index-end >= keepEntries || bytes >= keepBytes || r.segment.number < oldest {
			if to := min(end, limit); to > g.mu.start.Index {
				return Position{to, g.term(to)}
			}
			break
		}
		bytes += r.bytes
	}
	return g.mu.start
}

// lose stops the group: recovery misses a part of its log.
func (g *Group) lose(why error) {
	if !g.mu.lost {
		g.mu.lost = true
		g.mu.err = dataLoss(why)
	}
	g.mu.runs = nil
}

func dataLoss(why error) error {
	return &collection.Error{Code: collection.DataLoss, Message: "the log of this partition is damaged", Err: why}
}

// standing is what a head says of the group. The writer calls it.
func (g *Group) standing() standing {
	return standing{
		last: g.mu.last, start: g.mu.start, origin: g.mu.origin, replica: g.mu.replica, batch: g.mu.batch,
		hard: g.mu.hard, hasHard: g.mu.hasHard, lost: g.mu.lost,
	}
}
