package hnsw

import (
	"math/bits"

	"github.com/hivehub/waggle/index/distance"
)

// smallBytes is how far the first chunk is filled before it asks for large
// pages.
const smallBytes = 1 << 20

// slab is rows of one size in chunks that never move. It belongs to the
// writer; readers have copies of its Rows from before or after a chunk came.
type slab struct {
	distance.Rows
	extra int // bytes a row has behind all rows of its chunk
	arena *arena
}

func newSlab(a *arena, stride, extra int) slab {
	rows := max(chunkBytes/(stride+extra), 1)
	return slab{
		Rows:  distance.Rows{Shift: uint(bits.Len(uint(rows)) - 1), Stride: stride},
		extra: extra, arena: a,
	}
}

// room makes the next row exist. Rows are asked for in order.
func (s *slab) room(number uint32) error {
	bytes := (s.Stride+s.extra)<<s.Shift + distance.CodeBlock
	if int(number>>s.Shift) == len(s.Chunks) {
		p, err := s.arena.chunk(bytes)
		if err != nil {
			return err
		}
		s.Chunks = append(s.Chunks, p)
		if len(s.Chunks) > 1 {
			wantHuge(p, bytes)
		}
	}
	if int(number) == smallBytes/s.Stride && number>>s.Shift == 0 {
		wantHuge(s.Chunks[0], bytes)
	}
	return nil
}

// rows is the number of rows that readers of these chunks may address.
func (s *slab) rows() uint64 { return uint64(len(s.Chunks)) << s.Shift }
