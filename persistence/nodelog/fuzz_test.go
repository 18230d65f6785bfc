package nodelog

import (
	"bytes"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/persistence/disk"
)

func fuzzOptions() Options {
	return Options{SegmentBytes: 32 << 10, CacheBytes: 1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// FuzzDecode decodes any bytes as each part of a batch.
func FuzzDecode(f *testing.F) {
	valid := validSegment(f)
	f.Add(valid[2*pageBytes:][:400])
	f.Add(valid[3*pageBytes-200 : 3*pageBytes])
	f.Add(appendStart(nil, 1, Position{2, 3}, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeFixed(b, headerMagic)
		if len(b) >= fixedBytes+8 {
			decodeTrailer(b)
		}
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		if again := appendRecord(nil, r); !bytes.Equal(again[8:10], b[8:10]) || !bytes.Equal(again[12:], b[12:r.size()]) {
			t.Fatalf("record %x, encoded again %x", b[:r.size()], again)
		}
		if r.kind == kindGroup {
			r.standing()
		}
	})
}

// FuzzOpen recovers a log after edits, of four bytes each: a page, a place near
// its beginning or end, a mask, and one to spare. With seal the checksums are
// made good, so that what they guard is reached.
func FuzzOpen(f *testing.F) {
	valid := validSegment(f)
	f.Add([]byte{}, false)
	f.Add([]byte{2, 20, 1, 0}, false)
	f.Add([]byte{2, 60, 1, 0, 3, 250, 7, 0}, true)
	f.Add([]byte{3, 110, 0x30, 0}, true) // a row that its table has in no batch before
	f.Add([]byte{4, 64, 1, 0}, true)     // a row that removes group 2 no more
	f.Fuzz(func(t *testing.T, edits []byte, seal bool) {
		data := bytes.Clone(valid)
		for ; len(edits) >= 4; edits = edits[4:] {
			page, at := int(edits[0])%(len(data)/pageBytes), int(int8(edits[1]))
			if at < 0 {
				at += pageBytes
			} else {
				at += int(edits[3]&3) * 128
			}
			data[page*pageBytes+at] ^= edits[2]
		}
		if seal {
			data = sealed(data)
		}
		m := disk.NewMem(1)
		ok(t, m.MkdirAll("log"))
		file, err := m.Create("log/" + segmentName(1))
		ok(t, err)
		_, err = file.WriteAt(data, 0)
		ok(t, err)
		l, err := Open(m, "log", fuzzOptions())
		if err != nil {
			return
		}
		before := readGroups(l)
		ok(t, l.Write([]Append{{Group: 1 << 40, HardState: &raftpb.HardState{}, Start: &Position{1, 1}}}))
		ok(t, l.Close())
		l, err = Open(m, "log", fuzzOptions())
		ok(t, err)
		after := readGroups(l)
		for id, entries := range before {
			if l.Group(id).Err() == nil && id != 1<<40 && after[id] != entries {
				t.Errorf("group %d had %d entries, and %d when opened again", id, entries, after[id])
			}
		}
		ok(t, l.Close())
	})
}

// The cache counts what the groups hold, and never more than its limit beside
// the newest append.
func TestCacheBytes(t *testing.T) {
	const limit = 8 << 10
	o := fuzzOptions()
	o.CacheBytes = limit
	l, err := Open(disk.NewMem(1), "log", o)
	ok(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		g := l.Group(rng.Uint64N(4))
		last, err := g.LastIndex()
		ok(t, err)
		a := Append{Group: g.id}
		if rng.IntN(20) == 0 {
			a.Start = &Position{last, 1}
		} else if first := last + 1 - min(last-g.mu.start.Index, rng.Uint64N(5)); first <= last+1 {
			for range 1 + rng.IntN(4) {
				a.Entries = append(a.Entries, &raftpb.Entry{Index: new(first), Term: new(uint64(1)), Data: make([]byte, rng.IntN(900))})
				first++
			}
		}
		ok(t, l.Write([]Append{a}))
		held := int64(0)
		for _, id := range l.Groups() {
			held += entriesBytes(l.Group(id).mu.recent)
		}
		if held != l.cache.bytes || held > limit || len(a.Entries) > 0 && len(g.mu.recent) < len(a.Entries) {
			t.Fatalf("%d bytes are held, %d counted", held, l.cache.bytes)
		}
	}
	if n := len(l.cache.queue); n > 200 {
		t.Fatalf("%d appends in the queue", n)
	}
}

// readGroups returns how many entries there are of each group.
func readGroups(l *Log) map[uint64]int {
	n := map[uint64]int{}
	for _, id := range l.Groups() {
		g := l.Group(id)
		first, _ := g.FirstIndex()
		last, _ := g.LastIndex()
		entries, _ := g.Entries(first, last+1, math.MaxUint64)
		n[id] = len(entries)
	}
	return n
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func validSegment(t testing.TB) []byte {
	m := disk.NewMem(1)
	l, err := Open(m, "log", fuzzOptions())
	ok(t, err)
	one, two, three := uint64(1), uint64(2), uint64(3)
	ok(t, l.Write([]Append{
		{Group: 1, HardState: &raftpb.HardState{Term: &one, Vote: &two}, Entries: []*raftpb.Entry{
			{Index: &one, Term: &one, Data: []byte("first")}, {Index: &two, Term: &one, Data: []byte("second")},
		}},
		{Group: 2, Start: &Position{2, 1}, Entries: []*raftpb.Entry{{Index: &three, Term: &two}}},
	}))
	ok(t, l.Write([]Append{{Group: 1, Entries: []*raftpb.Entry{{Index: &two, Term: &three}}}}))
	ok(t, l.Write([]Append{{Group: 2, Remove: true}, {Group: 3, Start: &Position{}, Replica: 5}}))
	ok(t, l.Write([]Append{{Group: 2, Start: &Position{7, 1}, Replica: 6}}))
	ok(t, l.Close())
	s := l.segments[0]
	s.file, err = m.Open(l.path(s))
	ok(t, err)
	b := make([]byte, l.end)
	_, err = s.file.ReadAt(b, 0)
	ok(t, err)
	return b
}

// sealed makes the checksums of every batch that has a header good, as far as
// its sizes allow.
func sealed(b []byte) []byte {
	for at := 0; at+pageBytes <= len(b); at += pageBytes {
		f, tables, found := decodeFixed(b[at:], headerMagic)
		n := tables.header()
		if !found || int64(f.bytes) > int64(len(b)-at) || n > len(b)-at {
			continue
		}
		batch := b[at:][:f.bytes]
		f.decodeTables(batch[fixedBytes:], tables)
		le.PutUint32(batch[n-4:], crc32.Checksum(batch[:n-4], castagnoli))
		for rest := batch[n:]; len(rest) > recordBytes; {
			size := recordBytes + int(le.Uint32(rest[4:]))
			if size > len(rest) || rest[8] == 0 {
				break
			}
			le.PutUint32(rest, crc32.Checksum(rest[4:size], castagnoli))
			rest = rest[size:]
		}
		trailer := len(batch) - tables.trailer()
		appendTrailer(batch[:trailer:len(batch)], &f)
	}
	return b
}
