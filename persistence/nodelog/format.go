package nodelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"go.etcd.io/raft/v3/raftpb"
)

const (
	pageBytes   = 4096 // batches begin and end at multiples of it
	headerMagic = uint32('W') | 'N'<<8 | 'L'<<16 | 'h'<<24
	trailMagic  = uint32('W') | 'N'<<8 | 'L'<<16 | 't'<<24
	version     = 2
	flagHead    = 1

	fixedBytes  = 48
	rowBytes    = 48
	latestBytes = 16
	recordBytes = 36 // before the data
	voteBytes   = 8
	startBytes  = 8
	groupBytes  = 80

	removedLast = math.MaxUint64 // last, of the row of a removal
	removedBit  = 1 << 63        // in the number of a latest

	dataBytesMax  = 1 << 30 // of one entry
	batchBytesMax = 1 << 40
)

const (
	kindEntry = iota + 1
	kindHard
	kindStart
	kindGroup
)

const (
	groupHasHard = 1 << iota
	groupLost
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

// frame is what a batch's header and trailer both say.
type frame struct {
	flags    uint16
	id       uint64 // of the log
	number   uint64
	bytes    uint64
	previous uint32 // CRC of the batch before
	since    uint64 // number of the first batch that latest is complete of
	rows     []row
	latest   []latest
}

func (f *frame) tables() tables { return tables{len(f.rows), len(f.latest)} }

// row says what a batch holds for one group.
type row struct {
	group       uint64
	first, last uint64 // 0, 0 = no entries; 0, removedLast = the group is removed
	previous    uint64 // number of the batch with the group's row before; 0 = none
	offset      uint64 // in the batch
	bytes       uint64
}

func (r *row) removes() bool { return r.first == 0 && r.last == removedLast }

// latest says which batch has the latest row of a group.
type latest struct {
	group, batch uint64
	removed      bool // by that row
}

// tables are the lengths of the two tables of a batch.
type tables struct{ rows, latest int }

func (t tables) bytes() int   { return t.rows*rowBytes + t.latest*latestBytes }
func (t tables) header() int  { return fixedBytes + t.bytes() + 4 }
func (t tables) trailer() int { return t.bytes() + fixedBytes + 8 }

// batch is the size of a batch with records of the given size.
func (t tables) batch(records int) int {
	n := t.header() + records + t.trailer()
	return (n + pageBytes - 1) / pageBytes * pageBytes
}

func appendFixed(b []byte, magic uint32, f *frame) []byte {
	b = le.AppendUint32(b, magic)
	b = le.AppendUint16(b, version)
	b = le.AppendUint16(b, f.flags)
	b = le.AppendUint64(b, f.id)
	b = le.AppendUint64(b, f.number)
	b = le.AppendUint64(b, f.bytes)
	b = le.AppendUint32(b, f.previous)
	b = le.AppendUint32(b, uint32(len(f.rows)))
	b = le.AppendUint32(b, uint32(len(f.latest)))
	return le.AppendUint32(b, uint32(f.number-f.since))
}

func appendTables(b []byte, f *frame) []byte {
	for i := range f.rows {
		r := &f.rows[i]
		for _, v := range [...]uint64{r.group, r.first, r.last, r.previous, r.offset, r.bytes} {
			b = le.AppendUint64(b, v)
		}
	}
	for _, v := range f.latest {
		batch := v.batch
		if v.removed {
			batch |= removedBit
		}
		b = le.AppendUint64(le.AppendUint64(b, v.group), batch)
	}
	return b
}

// appendHeader begins a batch in b, which is empty.
func appendHeader(b []byte, f *frame) []byte {
	b = appendTables(appendFixed(b, headerMagic, f), f)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// appendTrailer ends the batch b and returns it with its CRC. It needs b to
// have room for f.bytes.
func appendTrailer(b []byte, f *frame) ([]byte, uint32) {
	at := int(f.bytes) - f.tables().trailer()
	records := len(b)
	b = b[:at]
	clear(b[records:])
	body := crc32.Checksum(b, castagnoli)
	b = appendFixed(appendTables(b, f), trailMagic, f)
	b = le.AppendUint32(b, body)
	crc := crc32.Checksum(b[at:], castagnoli)
	return le.AppendUint32(b, crc), crc
}

// decodeFixed reads a frame's fixed part and the lengths of its tables. It
// checks no checksum.
func decodeFixed(b []byte, magic uint32) (f frame, t tables, ok bool) {
	if len(b) < fixedBytes || le.Uint32(b) != magic || le.Uint16(b[4:]) != version {
		return f, t, false
	}
	f.flags = le.Uint16(b[6:])
	f.id = le.Uint64(b[8:])
	f.number = le.Uint64(b[16:])
	f.bytes = le.Uint64(b[24:])
	f.previous = le.Uint32(b[32:])
	t = tables{int(le.Uint32(b[36:])), int(le.Uint32(b[40:]))}
	reach := uint64(le.Uint32(b[44:]))
	f.since = f.number - reach
	switch {
	case f.flags > flagHead, f.flags == flagHead && (t != tables{} || reach > 0), f.number <= reach, f.number >= removedBit,
		f.bytes%pageBytes != 0, f.bytes > batchBytesMax, f.bytes < uint64(t.batch(0)):
		return f, tables{}, false
	}
	return f, t, true
}

// decodeTrailer reads the trailer with which b ends, the CRC of what is before
// it, and its own.
func decodeTrailer(b []byte) (f frame, body, crc uint32, ok bool) {
	at := len(b) - fixedBytes - 8
	f, t, ok := decodeFixed(b[at:], trailMagic)
	begin := at - t.bytes()
	if !ok || begin < 0 {
		return f, 0, 0, false
	}
	body, crc = le.Uint32(b[len(b)-8:]), le.Uint32(b[len(b)-4:])
	f.decodeTables(b[begin:], t)
	return f, body, crc, crc == crc32.Checksum(b[begin:len(b)-4], castagnoli)
}

// decodeTables reads the tables at the beginning of b, which is long enough.
func (f *frame) decodeTables(b []byte, t tables) {
	f.rows, f.latest = make([]row, t.rows), make([]latest, t.latest)
	for i := range f.rows {
		v := b[i*rowBytes:]
		f.rows[i] = row{le.Uint64(v), le.Uint64(v[8:]), le.Uint64(v[16:]), le.Uint64(v[24:]), le.Uint64(v[32:]), le.Uint64(v[40:])}
	}
	for i := range f.latest {
		v := b[t.rows*rowBytes+i*latestBytes:]
		batch := le.Uint64(v[8:])
		f.latest[i] = latest{le.Uint64(v), batch &^ removedBit, batch&removedBit != 0}
	}
}

// record is one decoded record. Its data is part of what it was decoded from.
type record struct {
	kind      uint8
	entryType uint8
	group     uint64
	Position
	data []byte
}

func (r *record) size() int { return recordBytes + len(r.data) }

// appendRecord appends a record whose data is d.
func appendRecord(b []byte, r record) []byte {
	at := len(b)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(len(r.data)))
	b = append(b, r.kind, r.entryType, 0, 0)
	b = le.AppendUint64(b, r.group)
	b = le.AppendUint64(b, r.Index)
	b = le.AppendUint64(b, r.Term)
	b = append(b, r.data...)
	le.PutUint32(b[at:], crc32.Checksum(b[at+4:], castagnoli))
	return b
}

func appendEntry(b []byte, group uint64, e *raftpb.Entry) []byte {
	return appendRecord(b, record{kindEntry, uint8(e.GetType()), group, Position{e.GetIndex(), e.GetTerm()}, e.Data})
}

func appendHard(b []byte, group uint64, hs hardState) []byte {
	var vote [voteBytes]byte
	le.PutUint64(vote[:], hs.vote)
	return appendRecord(b, record{kindHard, 0, group, Position{hs.commit, hs.term}, vote[:]})
}

func appendStart(b []byte, group uint64, p Position, replica uint64) []byte {
	var data [startBytes]byte
	le.PutUint64(data[:], replica)
	return appendRecord(b, record{kindStart, 0, group, p, data[:]})
}

// standing is how a group stands at the head of a segment.
type standing struct {
	last, start Position
	origin      Position // of the last start record
	replica     uint64
	batch       uint64 // number of the batch with the group's latest row
	hard        hardState
	hasHard     bool
	lost        bool
}

func appendStanding(b []byte, group uint64, s standing) []byte {
	var flags uint64
	if s.hasHard {
		flags |= groupHasHard
	}
	if s.lost {
		flags |= groupLost
	}
	data := make([]byte, 0, groupBytes)
	for _, v := range [...]uint64{
		s.start.Index, s.start.Term, s.origin.Index, s.origin.Term, s.replica,
		s.batch, s.hard.term, s.hard.vote, s.hard.commit, flags,
	} {
		data = le.AppendUint64(data, v)
	}
	return appendRecord(b, record{kindGroup, 0, group, s.last, data})
}

func (r *record) standing() standing {
	v := func(i int) uint64 { return le.Uint64(r.data[8*i:]) }
	return standing{
		last: r.Position, start: Position{v(0), v(1)}, origin: Position{v(2), v(3)}, replica: v(4),
		batch: v(5), hard: hardState{v(6), v(7), v(8)},
		hasHard: v(9)&groupHasHard != 0, lost: v(9)&groupLost != 0,
	}
}

func (r *record) replica() uint64 { return le.Uint64(r.data) }

func (r *record) hard() hardState {
	return hardState{term: r.Term, vote: le.Uint64(r.data), commit: r.Index}
}

var errRecord = errors.New("record is damaged")

// decodeRecord reads the record at the beginning of b. No error means that it
// is whole and of a kind and shape that was written.
func decodeRecord(b []byte) (r record, err error) {
	if len(b) < recordBytes {
		return r, errRecord
	}
	size := le.Uint32(b[4:])
	if uint64(size) > uint64(len(b)-recordBytes) {
		return r, errRecord
	}
	b = b[:recordBytes+int(size)]
	if le.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return r, errRecord
	}
	r = record{b[8], b[9], le.Uint64(b[12:]), Position{le.Uint64(b[20:]), le.Uint64(b[28:])}, b[recordBytes:len(b):len(b)]}
	ok := false
	switch r.kind {
	case kindEntry:
		ok = true
	case kindHard:
		ok = size == voteBytes
	case kindStart:
		ok = size == startBytes
	case kindGroup:
		ok = size == groupBytes
	}
	if !ok {
		return r, fmt.Errorf("record of kind %d with %d bytes", r.kind, size)
	}
	return r, nil
}
