package tally

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/hivehub/waggle/tenant"
)

const (
	magic       = "WGTALLY1"
	headerBytes = 4096
	areasBegin  = 2 * headerBytes
	slotBytes   = 128
	slotsMin    = 64
	slotsMax    = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errHeader = errors.New("no header of a tally is intact")

// header is what a copy of it holds, see the package comment.
type header struct {
	generation, sequence, birth  uint64
	start, frozenStart, frozenTo int64
	slots                        uint32
	active                       uint8
	frozen                       bool
	reports, done                uint32
	sum                          uint64
}

const headerSum = 80

func (h *header) encode(dst []byte) {
	le := binary.LittleEndian
	copy(dst, magic)
	for i, v := range []uint64{h.generation, h.sequence, h.birth, uint64(h.start), uint64(h.frozenStart), uint64(h.frozenTo)} {
		le.PutUint64(dst[8+8*i:], v)
	}
	le.PutUint32(dst[56:], h.slots)
	dst[60], dst[61], dst[62], dst[63] = h.active, 0, 0, 0
	if h.frozen {
		dst[61] = 1
	}
	le.PutUint32(dst[64:], h.reports)
	le.PutUint32(dst[68:], h.done)
	le.PutUint64(dst[72:], h.sum)
	le.PutUint32(dst[headerSum:], crc32.Checksum(dst[:headerSum], castagnoli))
}

func decodeHeader(src []byte) (h header, ok bool) {
	le := binary.LittleEndian
	if string(src[:8]) != magic || le.Uint32(src[headerSum:]) != crc32.Checksum(src[:headerSum], castagnoli) {
		return h, false
	}
	h = header{
		generation: le.Uint64(src[8:]), sequence: le.Uint64(src[16:]), birth: le.Uint64(src[24:]),
		start: int64(le.Uint64(src[32:])), frozenStart: int64(le.Uint64(src[40:])), frozenTo: int64(le.Uint64(src[48:])),
		slots: le.Uint32(src[56:]), active: src[60], frozen: src[61] == 1,
		reports: le.Uint32(src[64:]), done: le.Uint32(src[68:]), sum: le.Uint64(src[72:]),
	}
	valid := h.slots >= slotsMin && h.slots <= slotsMax && h.slots&(h.slots-1) == 0 && h.active < 2 && src[61] < 2 &&
		h.sequence > 0 && h.done <= h.reports && h.reports <= h.slots
	return h, valid
}

// readHeader returns the newer of the intact copies.
func readHeader(file []byte) (header, error) {
	var newest header
	found := false
	for at := 0; at < areasBegin && at+headerBytes <= len(file); at += headerBytes {
		if h, ok := decodeHeader(file[at:]); ok && (!found || h.generation > newest.generation) {
			newest, found = h, true
		}
	}
	if !found || len(file) != fileBytes(newest.slots) {
		return header{}, errHeader
	}
	return newest, nil
}

func fileBytes(slots uint32) int { return areasBegin + 2*int(slots)*slotBytes }

// slot is one tenant and collection, where it lies in the file.
type slot struct {
	key        uint64 // atomic
	collection uint64
	counts     [counters]uint64 // atomic
	length     uint8
	tenant     [tenant.IDBytesMax]byte
	spare      [16]byte
}

// counters is how many counters a slot has: the fields of Counts.
const counters = 4

// It fails to compile when a slot is not as long as the format says.
var _ [slotBytes]byte = [unsafe.Sizeof(slot{})]byte{}

func (t *Tally) areaBytes(number uint8) []byte {
	size := int(t.header.slots) * slotBytes
	return t.mem[areasBegin+int(number)*size:][:size]
}

func slotsOf(mem []byte, number int, slots uint32) []slot {
	at := areasBegin + number*int(slots)*slotBytes
	return unsafe.Slice((*slot)(unsafe.Pointer(&mem[at])), slots)
}

// keyOf is never 0, nor the key of many others.
func keyOf(id tenant.ID, collection uint64) uint64 {
	k := xxhash.Sum64String(string(id)) ^ collection*0x9E3779B97F4A7C15
	k ^= k >> 32
	k *= 0xD6E8FEB86659FD93
	k ^= k >> 32
	return k | 1
}

func (s *slot) is(id tenant.ID, collection uint64) bool {
	return s.collection == collection && string(s.tenant[:min(int(s.length), len(s.tenant))]) == string(id)
}

func (s *slot) set(key uint64, id tenant.ID, collection uint64) {
	s.collection, s.length = collection, uint8(len(id))
	copy(s.tenant[:], id)
	atomic.StoreUint64(&s.key, key)
}

const countMax = 1<<48 - 1

// pack is a counter's word. Changing any one bit of it breaks it.
func pack(count, salt uint64) uint64 {
	return count | ((count^salt)*0x9E3779B97F4A7C15)>>48<<48
}

// add adds to one counter. A count that reaches 2^48 stays there.
func (s *slot) add(key uint64, counter int, n uint64) {
	word, salt := &s.counts[counter], key+uint64(counter)
	for {
		old := atomic.LoadUint64(word)
		if atomic.CompareAndSwapUint64(word, old, pack(min(old&countMax+min(n, countMax), countMax), salt)) {
			return
		}
	}
}

// read returns what a slot counts. A free slot counts for nobody; ok is false
// for one that no Add has left behind.
func (s *slot) read() (id tenant.ID, n Counts, ok bool) {
	var counts [counters]uint64
	key := atomic.LoadUint64(&s.key)
	for i := range counts {
		word := atomic.LoadUint64(&s.counts[i])
		counts[i] = word & countMax
		ok = word == 0 || key != 0 && word == pack(counts[i], key+uint64(i))
		if !ok {
			return "", Counts{}, false
		}
	}
	if key == 0 {
		return "", Counts{}, true
	}
	id, err := tenant.ParseID(string(s.tenant[:min(int(s.length), len(s.tenant))]))
	if err != nil || key != keyOf(id, s.collection) {
		return "", Counts{}, false
	}
	return id, Counts{counts[0], counts[1], counts[2], counts[3]}, true
}
