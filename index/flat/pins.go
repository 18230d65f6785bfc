package flat

import (
	"cmp"
	"fmt"
	"slices"
)

// pins counts the views there are at each sequence number, oldest first.
type pins []pin

type pin struct {
	seq   uint64
	views int
}

// add pins seq, which is not older than any pinned one.
func (p *pins) add(seq uint64) {
	if n := len(*p); n > 0 && (*p)[n-1].seq == seq {
		(*p)[n-1].views++
		return
	}
	*p = append(*p, pin{seq, 1})
}

func (p *pins) remove(seq uint64) {
	i, found := slices.BinarySearchFunc(*p, seq, func(a pin, seq uint64) int { return cmp.Compare(a.seq, seq) })
	if !found {
		panic(fmt.Sprintf("BUG: flat: release of sequence number %d, which is not pinned", seq))
	}
	(*p)[i].views--
	if (*p)[i].views == 0 {
		*p = slices.Delete(*p, i, i+1)
	}
}
