package persistence

import (
	"encoding/binary"
	"slices"
)

// Meta is what a commit records beside the changes.
type Meta struct {
	Applied   uint64   // index of the last entry in the store
	Term      uint64   // its term
	ConfState []byte   // marshalled raftpb.ConfState as of Applied
	Digest    [16]byte // of the state as of Applied
}

const (
	metaVersion = 1
	metaFixed   = 1 + 8 + 8 + 16 + 4 // bytes before the conf state
)

// encodeMeta encodes m. The format is drawn in the package comment.
func encodeMeta(m Meta) []byte {
	dst := make([]byte, 0, metaFixed+len(m.ConfState))
	dst = append(dst, metaVersion)
	dst = binary.LittleEndian.AppendUint64(dst, m.Applied)
	dst = binary.LittleEndian.AppendUint64(dst, m.Term)
	dst = append(dst, m.Digest[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(m.ConfState)))
	return append(dst, m.ConfState...)
}

// decodeMeta is the inverse of encodeMeta. It keeps nothing of b.
func decodeMeta(b []byte) (Meta, error) {
	if len(b) < metaFixed {
		return Meta{}, corrupt("meta record of %d bytes", len(b))
	}
	if b[0] != metaVersion {
		return Meta{}, corrupt("meta record of version %d, this binary reads %d", b[0], metaVersion)
	}
	m := Meta{
		Applied: binary.LittleEndian.Uint64(b[1:]),
		Term:    binary.LittleEndian.Uint64(b[9:]),
		Digest:  [16]byte(b[17:33]),
	}
	n := uint64(binary.LittleEndian.Uint32(b[33:]))
	if rest := b[metaFixed:]; n != uint64(len(rest)) {
		return Meta{}, corrupt("meta record says %d bytes of conf state, has %d", n, len(rest))
	}
	if n > 0 {
		m.ConfState = slices.Clone(b[metaFixed:])
	}
	return m, nil
}
