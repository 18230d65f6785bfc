package sparse

import (
	"fmt"
	"slices"
	"sort"
)

const (
	blockSize = 128 // postings of a leaf
	fanout    = 32  // kids of an inner node
)

// posting says that a document has the list's term.
type posting struct {
	slot  uint32
	value float32
}

// ref refers to a node and says what is below it. The zero ref is an empty
// list.
type ref struct {
	node  *node
	last  uint32 // slot of the last posting
	count uint32 // postings
	extent
}

// node is part of a posting list, a B+tree by slot: a leaf with 1 to blockSize
// postings or an inner node with 1 to fanout kids, all of one height. Once
// published it never changes, but for one thing: the room behind a leaf's
// postings is filled by later versions, which alone are long enough to see it.
type node struct {
	owner    uint64 // sequence number of the Publish it was made for
	shared   bool   // of a leaf: published nodes use the same array
	postings []posting
	kids     []ref
}

// editor changes lists for the Publish owner. It copies what is not its own.
type editor struct {
	owner  uint64
	extent func(posting) extent
}

// insert adds a posting for a slot that the list does not have.
func (e *editor) insert(list *ref, p posting) {
	if list.node == nil {
		*list = e.leaf([]posting{p})
		return
	}
	if right, split := e.insertAt(list, p); split {
		left := *list
		*list = e.summary(&node{owner: e.owner, kids: []ref{left, right}})
	}
}

// insertAt adds a posting below r. When r had to be split it returns the right
// part.
func (e *editor) insertAt(r *ref, p posting) (right ref, split bool) {
	n := e.own(r)
	if n.kids == nil && len(n.postings) == blockSize {
		return e.splitLeaf(r, p), true
	}
	if n.kids == nil {
		e.addToLeaf(n, p)
	} else {
		i := n.kidFor(p.slot)
		if below, split := e.insertAt(&n.kids[i], p); split {
			n.kids = slices.Insert(n.kids, i+1, below)
		}
		if len(n.kids) > fanout {
			return e.splitInner(r, i+2 == len(n.kids)), true
		}
	}
	r.count++
	r.last = max(r.last, p.slot)
	r.extent = r.with(e.extent(p))
	return ref{}, false
}

// addToLeaf adds a posting to a leaf that has room.
func (e *editor) addToLeaf(n *node, p posting) {
	i := n.find(p.slot)
	if i == len(n.postings) {
		n.postings = append(n.postings, p)
		return
	}
	if n.postings[i].slot == p.slot {
		panic(fmt.Sprintf("BUG: sparse: second posting for slot %d", p.slot))
	}
	n.unshare()
	n.postings = slices.Insert(n.postings, i, p)
}

// splitLeaf adds a posting to a full leaf and returns its right part. Slots
// mostly ascend: then the left part stays full.
func (e *editor) splitLeaf(r *ref, p posting) ref {
	n := r.node
	if p.slot > r.last {
		return e.leaf([]posting{p})
	}
	half := len(n.postings) / 2
	right := &node{owner: e.owner, postings: slices.Clone(n.postings[half:])}
	n.postings = n.postings[:half:half]
	if p.slot > n.postings[half-1].slot {
		e.addToLeaf(right, p)
	} else {
		e.addToLeaf(n, p)
	}
	*r = e.summary(n)
	return e.summary(right)
}

// splitInner halves an inner node with a kid too many, or cuts off its last
// kid, and returns the right part.
func (e *editor) splitInner(r *ref, atEnd bool) ref {
	n := r.node
	at := len(n.kids) / 2
	if atEnd {
		at = len(n.kids) - 1
	}
	right := &node{owner: e.owner, kids: slices.Clone(n.kids[at:])}
	clear(n.kids[at:])
	n.kids = n.kids[:at]
	*r = e.summary(n)
	return e.summary(right)
}

// remove takes out the posting of a slot that the list has.
func (e *editor) remove(list *ref, slot uint32) {
	if list.node == nil {
		panic(fmt.Sprintf("BUG: sparse: no list for slot %d", slot))
	}
	e.removeAt(list, slot)
	for len(list.node.kids) == 1 {
		*list = list.node.kids[0]
	}
}

func (e *editor) removeAt(r *ref, slot uint32) {
	n := e.own(r)
	if n.kids == nil {
		i := n.find(slot)
		if i == len(n.postings) || n.postings[i].slot != slot {
			panic(fmt.Sprintf("BUG: sparse: no posting for slot %d", slot))
		}
		n.unshare()
		n.postings = slices.Delete(n.postings, i, i+1)
	} else {
		i := n.kidFor(slot)
		e.removeAt(&n.kids[i], slot)
		e.tidy(n, i)
	}
	*r = e.summary(n)
}

// tidy drops the kid i when it is empty and joins it with a neighbour when
// both together leave a quarter of the room.
func (e *editor) tidy(n *node, i int) {
	if n.kids[i].count == 0 {
		n.kids = slices.Delete(n.kids, i, i+1)
		return
	}
	if i > 0 && e.join(n, i-1) {
		return
	}
	if i+1 < len(n.kids) {
		e.join(n, i)
	}
}

// join moves what is in the kid after i to the kid i, if it fits.
func (e *editor) join(n *node, i int) bool {
	left, right := n.kids[i].node, n.kids[i+1].node
	if len(left.postings)+len(right.postings) > blockSize*3/4 || len(left.kids)+len(right.kids) > fanout*3/4 {
		return false
	}
	left = e.own(&n.kids[i])
	left.unshare()
	left.postings = append(left.postings, right.postings...)
	left.kids = append(left.kids, right.kids...)
	n.kids[i] = e.summary(left)
	n.kids = slices.Delete(n.kids, i+1, i+2)
	return true
}

// own makes r's node one that may be changed.
func (e *editor) own(r *ref) *node {
	if n := r.node; n.owner != e.owner {
		r.node = &node{owner: e.owner, shared: true, postings: n.postings}
		if n.kids != nil {
			r.node.kids = append(make([]ref, 0, len(n.kids)+1), n.kids...)
		}
	}
	return r.node
}

func (e *editor) leaf(postings []posting) ref {
	return e.summary(&node{owner: e.owner, postings: postings})
}

// summary returns a reference to n from what is in it.
func (e *editor) summary(n *node) ref {
	r := ref{node: n}
	for i, p := range n.postings {
		x := e.extent(p)
		if i == 0 {
			r.extent = x
		}
		r.last, r.extent = p.slot, r.with(x)
	}
	for i := range n.kids {
		kid := &n.kids[i]
		if i == 0 {
			r.extent = kid.extent
		}
		r.last, r.extent = kid.last, r.with(kid.extent)
		r.count += kid.count
	}
	r.count += uint32(len(n.postings))
	return r
}

// unshare gives a leaf an array of its own: only then may postings in it be
// moved.
func (n *node) unshare() {
	if n.shared {
		n.postings, n.shared = slices.Clone(n.postings), false
	}
}

// find is the place of the first posting at slot or after it.
func (n *node) find(slot uint32) int {
	if len(n.postings) > 0 && n.postings[len(n.postings)-1].slot < slot {
		return len(n.postings)
	}
	return sort.Search(len(n.postings), func(i int) bool { return n.postings[i].slot >= slot })
}

// kidFor is the kid that has the slot, or would.
func (n *node) kidFor(slot uint32) int {
	i := sort.Search(len(n.kids), func(i int) bool { return n.kids[i].last >= slot })
	return min(i, len(n.kids)-1)
}

// appendBlocks appends references to the leaves of a list, in order.
func (r *ref) appendBlocks(dst []ref) []ref {
	if r.node.kids == nil {
		return append(dst, *r)
	}
	if r.node.kids[0].node.kids == nil {
		return append(dst, r.node.kids...)
	}
	for i := range r.node.kids {
		dst = r.node.kids[i].appendBlocks(dst)
	}
	return dst
}
