package hnsw

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// blockBytes is the size of a block; the last one of a section may be shorter.
const blockBytes = 1 << 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is that of a block.
func checksum(section, number uint32, block []byte) uint32 {
	var place [8]byte
	binary.LittleEndian.PutUint32(place[:], section)
	binary.LittleEndian.PutUint32(place[4:], number)
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, block)
}

// blockWriter writes words in sections of blocks. After an error it does
// nothing.
type blockWriter struct {
	w               io.Writer
	n               int64 // bytes written
	err             error
	section, number uint32
	block           []byte
}

// begin ends the section and begins another.
func (w *blockWriter) begin(section uint32) {
	w.end()
	w.section, w.number = section, 0
}

// end writes what is left of the section.
func (w *blockWriter) end() {
	if len(w.block) == 0 || w.err != nil {
		return
	}
	w.block = binary.LittleEndian.AppendUint32(w.block, checksum(w.section, w.number, w.block))
	n, err := w.w.Write(w.block)
	w.n, w.err = w.n+int64(n), err
	w.block, w.number = w.block[:0], w.number+1
}

func (w *blockWriter) word(v uint32) {
	w.block = binary.LittleEndian.AppendUint32(w.block, v)
	if len(w.block) == blockBytes {
		w.end()
	}
}

// bytes writes whole words as they lie.
func (w *blockWriter) bytes(p []byte) {
	for len(p) > 0 && w.err == nil {
		n := min(len(p), blockBytes-len(w.block))
		w.block = append(w.block, p[:n]...)
		p = p[n:]
		if len(w.block) == blockBytes {
			w.end()
		}
	}
}

// list writes a list, or of one that is not there its zeros.
func (w *blockWriter) list(list []uint32) {
	n := 0
	for slot := range links(list) {
		w.word(slot + 1)
		n++
	}
	for ; n < len(list); n++ {
		w.word(0)
	}
}

// blockReader reads what a blockWriter wrote.
type blockReader struct {
	r               io.Reader
	section, number uint32
	left            uint64 // bytes of the section not yet in a block
	block, rest     []byte
}

// begin begins a section of so many words.
func (r *blockReader) begin(section uint32, words uint64) {
	r.section, r.number, r.left, r.rest = section, 0, 4*words, nil
}

func (r *blockReader) word() (uint32, error) {
	if len(r.rest) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	v := binary.LittleEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return v, nil
}

// bytes reads whole words as they lie.
func (r *blockReader) bytes(p []byte) error {
	for len(p) > 0 {
		if len(r.rest) == 0 {
			if err := r.next(); err != nil {
				return err
			}
		}
		n := copy(p, r.rest)
		p, r.rest = p[n:], r.rest[n:]
	}
	return nil
}

func (r *blockReader) next() error {
	n := int(min(r.left, blockBytes))
	if cap(r.block) == 0 {
		r.block = make([]byte, blockBytes+4)
	}
	block := r.block[:n+4]
	if _, err := io.ReadFull(r.r, block); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCorrupt
	} else if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(block[n:]) != checksum(r.section, r.number, block[:n]) {
		return ErrCorrupt
	}
	r.rest, r.left, r.number = block[:n], r.left-uint64(n), r.number+1
	return nil
}
