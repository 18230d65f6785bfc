package persistence

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// pointMachine writes what an upsert of one point writes: the record, the id,
// and two counters. An entry is: id u64, record.
type pointMachine struct{}

func (pointMachine) Apply(tx collection.Txn, e collection.Entry) collection.Outcome {
	id := binary.BigEndian.AppendUint64(make([]byte, 0, 17), 7)
	id = append(append(id, 1), e.Data[:8]...)
	old, err := tx.Get(collection.BucketIDs, id)
	if err != nil {
		return collection.Outcome{Err: err}
	}
	version := e.Index << 16
	if old != nil {
		if err := tx.Delete(collection.BucketPoints, pointKey(7, binary.BigEndian.Uint64(old))); err != nil {
			return collection.Outcome{Err: err}
		}
	}
	if err := tx.Put(collection.BucketPoints, pointKey(7, version), e.Data[8:]); err != nil {
		return collection.Outcome{Err: err}
	}
	if err := tx.Put(collection.BucketIDs, id, binary.BigEndian.AppendUint64(make([]byte, 0, 12), version)); err != nil {
		return collection.Outcome{Err: err}
	}
	for _, counter := range []string{"tenant/default/points+bytes", "collection/7/points+bytes"} {
		key := []byte(counter)
		old, err := tx.Get(collection.BucketCounters, key)
		if err != nil {
			return collection.Outcome{Err: err}
		}
		value := make([]byte, 16)
		copy(value, old)
		binary.BigEndian.PutUint64(value, binary.BigEndian.Uint64(value)+1)
		if err := tx.Put(collection.BucketCounters, key, value); err != nil {
			return collection.Outcome{Err: err}
		}
	}
	return collection.Outcome{Events: []collection.Event{{Collection: 7, Kind: collection.EventUpsert, Version: version}}}
}

func pointKey(coll, version uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), coll), version)
}

// pointEntries are n entries of 640 bytes after index, whose ids are spread out.
func pointEntries(after uint64, n int) []CommittedEntry {
	entries := make([]CommittedEntry, n)
	for i := range entries {
		index := after + 1 + uint64(i)
		data := make([]byte, 8+640)
		binary.BigEndian.PutUint64(data, index*0x9e3779b97f4a7c15)
		entries[i] = CommittedEntry{Index: index, Term: 1, Data: data}
	}
	return entries
}

func benchPartition(b *testing.B) *Partition {
	store, err := OpenBolt(filepath.Join(b.TempDir(), "p.db"))
	if err != nil {
		b.Fatal(err)
	}
	p, err := OpenPartition(store, pointMachine{}, PartitionOptions{})
	if err != nil {
		b.Fatal(err)
	}
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

// BenchmarkApply applies entries of one point in batches of 256 over a store
// of 200,000 points, with a checkpoint (outside the clock) every 16 MB.
func BenchmarkApply(b *testing.B) {
	p := benchPartition(b)
	const batch = 256
	for range 200_000 / batch {
		at, _ := p.Applied()
		p.Apply(pointEntries(at, batch))
		if p.DeltaBytes() > 16<<20 {
			checkpoint(b, p)
		}
	}
	checkpoint(b, p)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		at, _ := p.Applied()
		entries := pointEntries(at, batch)
		if p.DeltaBytes() > 16<<20 {
			checkpoint(b, p)
		}
		b.StartTimer()
		p.Apply(entries)
	}
	b.ReportMetric(float64(b.N)*batch/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkCheckpoint writes checkpoints of 16 MB.
func BenchmarkCheckpoint(b *testing.B) {
	p := benchPartition(b)
	points := 0
	for b.Loop() {
		b.StopTimer()
		for p.DeltaBytes() < 16<<20 {
			at, _ := p.Applied()
			p.Apply(pointEntries(at, 1024))
			points += 1024
		}
		b.StartTimer()
		checkpoint(b, p)
	}
	b.ReportMetric(float64(points)/b.Elapsed().Seconds(), "points/s")
}

func BenchmarkView(b *testing.B) {
	p := benchPartition(b)
	p.Apply(pointEntries(0, 10_000))
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
	p.Apply(pointEntries(0, 10_000))
	run := func(b *testing.B) {
		v, err := p.View()
		if err != nil {
			b.Fatal(err)
		}
		defer v.Close()
		keys := make([][]byte, 1024)
		for i := range keys {
			keys[i] = pointKey(7, uint64(1+i*9)<<16)
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
	p.Apply(pointEntries(0, 20_000))
	checkpoint(b, p)
	p.Apply(pointEntries(20_000, 1_000))
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
