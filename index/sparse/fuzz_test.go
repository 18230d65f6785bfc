package sparse

import (
	"context"
	"encoding/binary"
	"math"
	"testing"
)

// Any terms and values are refused or indexed, and what is indexed equals the
// model.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("\x01\x02\x03\x04\x05"), uint8(1), float32(1.2), float32(0.75))
	f.Add(binary.LittleEndian.AppendUint32([]byte{0x13, 1}, math.Float32bits(1)), uint8(3), float32(0), float32(1))
	f.Fuzz(func(t *testing.T, script []byte, kind uint8, k1, b float32) {
		scoring := Scoring{Kind: Kind(kind), K1: float64(k1), B: float64(b)}
		if scoring.Validate() != nil {
			return
		}
		x, m := New(scoring), &model{scoring, map[uint32]labelled{}}
		var last Vector
		for label := uint64(0); len(script) > 0; label++ {
			last, script = vectorOf(script)
			d := Document{last, uint32(len(script))}
			if slot, err := x.Add(label, d); err == nil {
				m.docs[slot] = labelled{label, d}
			}
			if label%3 == 2 {
				x.Publish()
			}
			if _, ok := m.docs[0]; ok && label%5 == 4 {
				x.Remove(0)
				delete(m.docs, 0)
			}
		}
		x.Publish()
		v := x.View()
		defer v.Release()
		q := &Query{Vector: last, K: 1 + int(kind)}
		if last.validate(QueryTermsMax) != nil {
			if _, err := v.Search(context.Background(), q, nil); err == nil {
				t.Fatalf("%v was searched", last)
			}
			return
		}
		if !moderate(m, last) {
			_, _ = v.Search(context.Background(), q, nil)
			return
		}
		if err := m.check(v, q); err != nil {
			t.Fatal(err)
		}
	})
}

// vectorOf reads a vector of up to 7 terms: steps between terms, which may be
// none or negative, and values.
func vectorOf(script []byte) (Vector, []byte) {
	var v Vector
	n := int(script[0] % 8)
	extra := script[0] == 0xff
	script = script[1:]
	term := uint64(0)
	for i := 0; i < n && len(script) >= 5; i++ {
		term += uint64(int64(int8(script[0])))
		v.Terms = append(v.Terms, term)
		v.Values = append(v.Values, math.Float32frombits(binary.LittleEndian.Uint32(script[1:])))
		script = script[5:]
	}
	if extra {
		v.Terms = append(v.Terms, term+1)
	}
	return v, script
}

// moderate says whether scores stay where float64 sums in any order agree to
// what is compared.
func moderate(m *model, q Vector) bool {
	fits := func(values []float32) bool {
		for _, value := range values {
			if a := math.Abs(float64(value)); a > 1e4 || a != 0 && a < 1e-4 {
				return false
			}
		}
		return true
	}
	for _, d := range m.docs {
		if !fits(d.Values) {
			return false
		}
	}
	return fits(q.Values)
}
