package hnsw

import (
	"math"
	"math/bits"
)

// way is how a search is done.
type way uint8

const (
	byScan way = iota // compare all that may be in the answer
	byWalk            // walk over everything, keep what may be in the answer
	byHops            // walk over what may be, in steps of one link or two
)

// What things cost, in comparisons of codes. A step is the expansion of one
// candidate; a search takes about as many as it is wide.
const (
	walkStep = 16
	hopStep  = 80
	// A comparison on a walk takes as long as so many in a scan, which reads rows
	// one after the other and keeps few candidates.
	walkFactor = 2
	hopLinks   = 8 // matches that two links should lead to, for the walk not to get lost
)

// choose is the plan: the cheapest way to search matches among live vectors
// with a width of ef in a graph of m links a vertex. A walk over everything
// takes the more steps the fewer of those it passes match; in hops it takes no
// more, but each leads over the neighbours of neighbours (ACORN, arXiv
// 2403.04871).
func choose(m, live, matches, ef int) way {
	if matches == 0 {
		return byScan
	}
	scan := matches
	walk := ef * walkStep * live / matches
	hops := ef * hopStep
	switch {
	case scan <= walkFactor*min(walk, hops):
		return byScan
	case walk <= hops || matches*4*m*m < hopLinks*live:
		if walkFactor*walk < scan {
			return byWalk
		}
		return byScan
	default:
		return byHops
	}
}

// budget is how many comparisons a walk may take. One under a filter that takes
// several times what was planned is where few of the neighbours match, although
// many of all do, and has to go on for longer than a scan.
func budget(w way, live, matches, ef int) int {
	if matches >= live {
		return live
	}
	planned := ef * hopStep
	if w == byWalk {
		planned = ef * walkStep * live / max(matches, 1)
	}
	return min(matches/walkFactor, 4*planned)
}

// patience is how many candidates a walk may keep before it has found as many
// matches as it is wide. It keeps all it meets until then, in order, which takes
// the square of their number; here it comes to less than a scan. Where matches
// are as common as everywhere they are found among half as many at most.
func patience(live, matches, ef int) int {
	return max(2*ef*live/max(matches, 1), int(8*math.Sqrt(float64(matches))))
}

// ones is the number of slots in a bitmap.
func ones(bitmap []uint64) int {
	n := 0
	for _, w := range bitmap {
		n += bits.OnesCount64(w)
	}
	return n
}

// word is the part of a bitmap for the 64 slots from first on. No bitmap has
// all slots in it.
func word(bitmap []uint64, first uint32) uint64 {
	switch i := int(first / 64); {
	case bitmap == nil:
		return ^uint64(0)
	case i < len(bitmap):
		return bitmap[i]
	default:
		return 0
	}
}
