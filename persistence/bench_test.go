package persistence

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

func pointKey(coll, version uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), coll), version)
}

// benchEntries are entries that upsert one point of 640 bytes each into
// collection 1. The ids ascend with the index, or are spread out.
func benchEntries(tb testing.TB, after uint64, n int, spread bool) []CommittedEntry {
	entries := make([]CommittedEntry, n)
	for i := range entries {
		index := after + 1 + uint64(i)
		id := index
		if spread {
			id *= 0x9e3779b97f4a7c15
		}
		vector := make([]float32, 150)
		vector[0] = float32(index)
		raw := must(collection.EncodeRecord(nil, collection.Point{
			ID: collection.NumID(id), Vector: vector, Payload: collection.Payload{"category": "boots"},
		}))(tb)
		op := collection.Upsert{Records: []collection.Record{must(collection.DecodeRecord(raw))(tb)}}
		entries[i] = CommittedEntry{Index: index, Term: 1, Data: benchCommand(tb, 1, op)}
	}
	return entries
}

func benchCommand(tb testing.TB, coll uint64, op collection.Op) []byte {
	return must(collection.EncodeCommand(nil, collection.Command{
		Tenant:     "default",
		Collection: coll,
		Limits:     tenant.Limits{Vectors: tenant.Unlimited, Bytes: tenant.Unlimited, Collections: tenant.Unlimited},
		Time:       1,
		Op:         op,
	}))(tb)
}

func benchPartition(b *testing.B) *Partition {
	store, err := OpenBolt(filepath.Join(b.TempDir(), "p.db"))
	if err != nil {
		b.Fatal(err)
	}
	p, err := OpenPartition(store, collection.Machine{}, PartitionOptions{})
	if err != nil {
		b.Fatal(err)
	}
	config := collection.Config{Vectors: []collection.VectorParams{{Size: 150, Distance: collection.Dot}}}
	create := benchCommand(b, 0, collection.CreateCollection{Name: "bench", Config: config})
	benchApply(b, p, []CommittedEntry{{Index: 1, Term: 1, Data: create}})
	b.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	return p
}

func checkpoint(tb testing.TB, p *Partition) {
	tb.Helper()
	c, ok := p.BeginCheckpoint()
	if !ok {
		return
	}
	if err := c.Write(); err != nil {
		tb.Fatal(err)
	}
	c.Finish()
}

func benchApply(tb testing.TB, p *Partition, entries []CommittedEntry) {
	for _, out := range p.Apply(entries) {
		if out.Err != nil {
			tb.Fatal(out.Err)
		}
	}
}

// fill applies n points, with checkpoints.
func fill(tb testing.TB, p *Partition, n int, spread bool) {
	for range n / 256 {
		at, _ := p.Applied()
		benchApply(tb, p, benchEntries(tb, at, 256, spread))
		if p.DeltaBytes() > 16<<20 {
			checkpoint(tb, p)
		}
	}
}

// BenchmarkApply applies entries of one point in batches of 256 over a store
// of 200,000 points, with a checkpoint (outside the clock) every 16 MB.
func BenchmarkApply(b *testing.B) {
	for _, spread := range []bool{false, true} {
		b.Run(fmt.Sprintf("spread=%t", spread), func(b *testing.B) {
			p := benchPartition(b)
			fill(b, p, 200_000, spread)
			checkpoint(b, p)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				at, _ := p.Applied()
				entries := benchEntries(b, at, 256, spread)
				if p.DeltaBytes() > 16<<20 {
					checkpoint(b, p)
				}
				b.StartTimer()
				p.Apply(entries)
			}
			b.ReportMetric(float64(b.N)*256/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkCheckpoint writes checkpoints of 16 MB.
func BenchmarkCheckpoint(b *testing.B) {
	for _, spread := range []bool{false, true} {
		b.Run(fmt.Sprintf("spread=%t", spread), func(b *testing.B) {
			p := benchPartition(b)
			points := 0
			for b.Loop() {
				b.StopTimer()
				for p.DeltaBytes() < 16<<20 {
					at, _ := p.Applied()
					p.Apply(benchEntries(b, at, 256, spread))
					points += 256
				}
				b.StartTimer()
				checkpoint(b, p)
			}
			b.ReportMetric(float64(points)/b.Elapsed().Seconds(), "points/s")
		})
	}
}

func BenchmarkView(b *testing.B) {
	p := benchPartition(b)
	fill(b, p, 10_000, false)
	for b.Loop() {
		v, err := p.View()
		if err != nil {
			b.Fatal(err)
		}
		v.Close()
	}
}

func BenchmarkGet(b *testing.B) {
	p := benchPartition(b)
	fill(b, p, 10_000, false)
	run := func(b *testing.B) {
		v, err := p.View()
		if err != nil {
			b.Fatal(err)
		}
		defer v.Close()
		keys := make([][]byte, 1024)
		for i := range keys {
			keys[i] = pointKey(1, uint64(2+i*9)<<16)
		}
		i := 0
		for b.Loop() {
			if value, err := v.Get(collection.BucketPoints, keys[i%len(keys)]); err != nil || value == nil {
				b.Fatal(value, err)
			}
			i++
		}
	}
	b.Run("delta", run)
	checkpoint(b, p)
	b.Run("store", run)
}

func BenchmarkScan(b *testing.B) {
	p := benchPartition(b)
	fill(b, p, 20_000, false)
	checkpoint(b, p)
	fill(b, p, 1_000, false)
	n := 0
	for b.Loop() {
		v, err := p.View()
		if err != nil {
			b.Fatal(err)
		}
		err = v.Scan(collection.BucketPoints, nil, nil, func(_, _ []byte) bool { n++; return true })
		if err != nil {
			b.Fatal(err)
		}
		v.Close()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "points/s")
}
