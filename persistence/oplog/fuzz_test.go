package oplog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

// FuzzWalk: no bytes make the reader panic or run on, and what it calls a record
// says the same when it is written again.
func FuzzWalk(f *testing.F) {
	var b []byte
	for i := range 4 {
		o := row("t_a", i)
		t := textsOf(&o)
		r := make([]byte, sizeOf(&t))
		putRecord(r, 7, &o, &t)
		b = append(b, r...)
	}
	f.Add(b)
	f.Add(append(bytes.Clone(b[:100]), b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		last := 0
		_, end := walk(b, 7, 0, func(at int, r record) bool {
			if at < last || at+len(r) > len(b) {
				t.Fatalf("a record at %d of %d bytes, after %d, in %d", at, len(r), last, len(b))
			}
			last = at + len(r)
			o := r.row()
			texts := textsOf(&o)
			again := make([]byte, sizeOf(&texts))
			putRecord(again, 7, &o, &texts)
			if back, ok := recordAt(again, 7); !ok || back.row() != o {
				t.Fatalf("%+v came back as %+v", o, back.row())
			}
			return true
		})
		if end != last {
			t.Fatalf("ends at %d, the last record at %d", end, last)
		}
	})
}

// FuzzPosition: a damaged file of the position is none, or the one before.
func FuzzPosition(f *testing.F) {
	f.Add(0, byte(1), false)
	f.Add(slotApart+20, byte(255), true)
	f.Fuzz(func(t *testing.T, at int, flip byte, cut bool) {
		path := filepath.Join(t.TempDir(), "position")
		var p positionFile
		if _, _, _, err := p.open(path, 7); err != nil {
			t.Fatal(err)
		}
		for i := range uint64(3) {
			if err := p.put(Position{i + 1, i}, i); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at = int(uint(at) % uint(len(b)))
		b[at] ^= flip
		if cut {
			b = b[:at]
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var again positionFile
		got, dropped, known, err := again.open(path, 7)
		if err != nil {
			t.Fatal(err)
		}
		if known != (got != Position{}) {
			t.Fatalf("%+v is known: %v", got, known)
		}
		if (got != Position{} || dropped != 0) && (got != Position{dropped + 1, dropped} || dropped < 1) {
			t.Fatalf("%+v, %d", got, dropped)
		}
		if err := again.close(); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l := open(b, Options{Dir: b.TempDir(), BytesMax: 64 << 20, segmentBytes: segmentBytesMax})
	o := row("t_a", 1)
	b.ReportAllocs()
	for b.Loop() {
		l.Append(&o)
	}
	b.ReportMetric(float64(l.Stats().Dropped), "dropped")
}

func BenchmarkAppendParallel(b *testing.B) {
	l := open(b, Options{Dir: b.TempDir(), BytesMax: 64 << 20, segmentBytes: segmentBytesMax})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		o := row("t_a", 1)
		for pb.Next() {
			l.Append(&o)
		}
	})
	b.ReportMetric(float64(l.Stats().Dropped), "dropped")
}

func BenchmarkQuery(b *testing.B) {
	l := open(b, Options{Dir: b.TempDir(), BytesMax: 64 << 20, segmentBytes: segmentBytesMax})
	for i := range 200_000 {
		o := row("t_a", i)
		l.Append(&o)
		if i%5000 == 0 {
			_ = l.Flush(b.Context())
		}
	}
	for b.Loop() {
		if _, _, err := l.Query(b.Context(), tenant.LogQuery{Tenant: "t_a", From: 1_100_000, Limit: 1000}); err != nil {
			b.Fatal(err)
		}
	}
}
