package collection

import (
	"math/rand/v2"
	"testing"
)

// benchPoint is a point of 640 bytes: 128 components and a small payload.
func benchPoint(id uint64) Point {
	p := Point{ID: NumID(id), Vector: make([]float32, 128), Payload: Payload{"category": "boots", "price": int64(7999)}}
	for i := range p.Vector {
		p.Vector[i] = rand.Float32()
	}
	p.Payload["text"] = string(make([]byte, 640-12-512-36))
	return p
}

func BenchmarkEncodeRecord(b *testing.B) {
	p := benchPoint(1)
	var raw []byte
	for b.Loop() {
		raw, _ = EncodeRecord(raw[:0], p)
	}
	b.ReportMetric(float64(len(raw)), "bytes")
}

func BenchmarkCommandCodec(b *testing.B) {
	cmd := command(1, Upsert{Records: []Record{record(b, benchPoint(1))}})
	var data []byte
	b.ReportAllocs()
	for b.Loop() {
		data, _ = EncodeCommand(data[:0], cmd)
		if _, err := DecodeCommand(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyUpsert is one entry of one point, new or replacing, over maps.
func BenchmarkApplyUpsert(b *testing.B) {
	s := newMemStore()
	c := s.create(b, "x")
	entries := make([][]byte, 4096)
	for i := range entries {
		entries[i] = encode(b, command(c, Upsert{Records: []Record{record(b, benchPoint(uint64(i)))}}))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if out := s.apply(entries[i%len(entries)]); out.Err != nil {
			b.Fatal(out.Err)
		}
		i++
	}
}

func BenchmarkFinalize(b *testing.B) {
	info := infoOf(128, Cosine)
	points := make([]Point, 100)
	for i := range points {
		points[i] = benchPoint(uint64(i))
	}
	l := DefaultLimits()
	for b.Loop() {
		if _, err := Finalize(info, Write{Upsert: points}, l); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/point")
}
