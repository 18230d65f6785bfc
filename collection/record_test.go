package collection

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func anyPoint() *rapid.Generator[Point] {
	return rapid.Custom(func(t *rapid.T) Point {
		p := Point{ID: anyID().Draw(t, "id")}
		p.Vector = rapid.SliceOfN(rapid.Float32(), 0, 40).Draw(t, "vector")
		if len(p.Vector) == 0 {
			p.Vector = nil
		}
		if rapid.Bool().Draw(t, "payload") {
			p.Payload = Payload{
				"s": rapid.String().Draw(t, "s"), "i": rapid.Int64().Draw(t, "i"),
				"l": []any{nil, true, 1.5, map[string]any{"x": int64(-1)}},
			}
		}
		return p
	})
}

func TestRecordGivesBackThePoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyPoint().Draw(t, "point")
		raw, err := EncodeRecord(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		// At every offset: the vector is read in place or copied.
		for offset := range 4 {
			moved := append(make([]byte, offset, offset+len(raw)), raw...)[offset:]
			r, err := DecodeRecord(moved)
			if err != nil {
				t.Fatal(err)
			}
			payload, err := r.Payload()
			if err != nil {
				t.Fatal(err)
			}
			got := Point{ID: r.ID(), Vector: r.Vector(), Payload: payload}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b PointID) bool { return a == b })); diff != "" {
				t.Fatalf("offset %d: %s", offset, diff)
			}
			if r.Dimension() != len(want.Vector) || !bytes.Equal(r.Bytes(), raw) {
				t.Fatalf("offset %d: dimension %d", offset, r.Dimension())
			}
		}
	})
}

func TestRecordKeepsBitsAndLength(t *testing.T) {
	odd := []float32{math.Float32frombits(0x7fc00001), float32(math.Inf(-1)), math.SmallestNonzeroFloat32, float32(math.Copysign(0, -1))}
	r := record(t, Point{ID: NumID(7), Vector: odd})
	same := slices.EqualFunc(odd, r.Vector(), func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
	if !same || len(r.Bytes()) != 12+4*4 {
		t.Fatalf("%v in %d bytes", r.Vector(), len(r.Bytes()))
	}
	if n := len(record(t, Point{ID: UUID([16]byte{9})}).Bytes()); n != 20 {
		t.Fatalf("a UUID without vector and payload takes %d bytes", n)
	}
	r = r.withPayload([]byte{0x80})
	if !bytes.Equal(r.PayloadBytes(), []byte{0x80}) || r.Dimension() != 4 {
		t.Fatalf("with another payload: %x", r.Bytes())
	}
}

func TestRecordLimits(t *testing.T) {
	if _, err := EncodeRecord(nil, Point{ID: NumID(1), Vector: make([]float32, math.MaxUint16)}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []Point{
		{ID: NumID(1), Vector: make([]float32, math.MaxUint16+1)},
		{},
		{ID: NumID(1), Payload: Payload{"x": struct{}{}}},
	} {
		if _, err := EncodeRecord(nil, p); err == nil {
			t.Errorf("%d components, id %q: encoded", len(p.Vector), p.ID)
		}
	}
}

func TestRecordRefusesWhatIsCutShort(t *testing.T) {
	for _, p := range []Point{point(1, nil), {ID: UUID([16]byte{1}), Vector: []float32{1, 2, 3}}} {
		raw := record(t, p).Bytes()
		for n := range raw {
			if _, err := DecodeRecord(raw[:n]); CodeOf(err) != DataLoss {
				t.Fatalf("the first %d of %d bytes: %v", n, len(raw), err)
			}
		}
		for _, at := range []int{0, 1} {
			bad := bytes.Clone(raw)
			bad[at] = 9
			if _, err := DecodeRecord(bad); CodeOf(err) != DataLoss {
				t.Fatalf("byte %d changed: %v", at, err)
			}
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, p := range []Point{point(1, Payload{"a": "b"}), {ID: UUID([16]byte{1})}} {
		raw, _ := EncodeRecord(nil, p)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			if CodeOf(err) != DataLoss {
				t.Fatal(err)
			}
			return
		}
		if len(r.Vector()) != r.Dimension() || r.ID().IsZero() {
			t.Fatalf("record %x", b)
		}
		payload, err := r.Payload()
		if err != nil {
			return
		}
		// What can be read can be written, and reads the same again.
		again, err := EncodeRecord(nil, Point{ID: r.ID(), Vector: r.Vector(), Payload: payload})
		if err != nil {
			return // a NaN in the payload, which only a forger writes
		}
		if back, err := DecodeRecord(again); err != nil || back.ID() != r.ID() || back.Dimension() != r.Dimension() {
			t.Fatalf("%x became %x: %v", b, again, err)
		}
	})
}
