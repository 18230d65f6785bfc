package hnsw

import (
	"math/bits"

	"github.com/hivehub/waggle/index/arena"
	"github.com/hivehub/waggle/index/distance"
)

// slab is rows of one size in chunks that never move. It belongs to the
// writer; readers have copies of its Rows from before or after a chunk came.
type slab struct {
	distance.Rows
	extra int // bytes a row has behind all rows of its chunk
	arena *arena.Arena
}

func newSlab(a *arena.Arena, stride, extra int) slab {
	rows := max(arena.ChunkBytes/(stride+extra), 1)
	return slab{
		Rows:  distance.Rows{Shift: uint(bits.Len(uint(rows)) - 1), Stride: stride},
		extra: extra, arena: a,
	}
}

// room makes the next row exist. Rows are asked for in order.
func (s *slab) room(number uint32) error {
	bytes := (s.Stride+s.extra)<<s.Shift + distance.CodeBlock
	if int(number>>s.Shift) == len(s.Chunks) {
		p, err := s.arena.Chunk(bytes)
		if err != nil {
			return err
		}
		s.Chunks = append(s.Chunks, p)
		if last := len(s.Chunks) - 2; last >= 0 {
			arena.WantHuge(s.Chunks[last], 0, bytes)
		}
	}
	// Large pages come once they are full: those that are not would take as much.
	from := int(number&(1<<s.Shift-1)) * s.Stride
	if page := from / arena.HugePage; page > 0 && from-page*arena.HugePage < s.Stride {
		arena.WantHuge(s.Chunks[number>>s.Shift], (page-1)*arena.HugePage, page*arena.HugePage)
	}
	return nil
}

// rows is the number of rows that readers of these chunks may address.
func (s *slab) rows() uint64 { return uint64(len(s.Chunks)) << s.Shift }
