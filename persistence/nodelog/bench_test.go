package nodelog_test

import (
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

const (
	benchGroups  = 64
	benchEntries = 4 // of each group in a batch: 256
)

// BenchmarkWrite writes batches of 256 entries of 640 B, of 64 groups, as 256
// waiting writers make them.
func BenchmarkWrite(b *testing.B) {
	b.Run("os", func(b *testing.B) {
		d, err := disk.OS(b.TempDir())
		must(b, err)
		benchmarkWrite(b, d)
	})
	b.Run("mem", func(b *testing.B) { benchmarkWrite(b, disk.NewMem(1)) })
}

func benchmarkWrite(b *testing.B, d disk.Disk) {
	l := open(b, d, nodelog.Options{KeepEntries: 1})
	batch := make([]nodelog.Append, benchGroups)
	next := uint64(1)
	b.SetBytes(benchGroups * benchEntries * 640)
	b.ReportAllocs()
	for b.Loop() {
		for i := range batch {
			batch[i] = benchAppend(uint64(i), next)
			must(b, l.Cut(uint64(i), next-1))
		}
		must(b, l.Write(batch))
		next += benchEntries
	}
	b.ReportMetric(float64(b.N)*benchGroups*benchEntries/b.Elapsed().Seconds(), "records/s")
	must(b, l.Close())
}

var benchData = []byte(strings.Repeat("d", 640))

// benchAppend makes what raft would hand over: six allocations per append.
func benchAppend(group, first uint64) nodelog.Append {
	entries := make([]raftpb.Entry, benchEntries)
	index := make([]uint64, benchEntries+3)
	a := nodelog.Append{Group: group, Entries: make([]*raftpb.Entry, benchEntries)}
	term := &index[benchEntries]
	for i := range entries {
		index[i] = first + uint64(i)
		entries[i].Index, entries[i].Term, entries[i].Data = &index[i], term, benchData
		a.Entries[i] = &entries[i]
	}
	vote, commit := &index[benchEntries+1], &index[benchEntries+2]
	*term, *vote, *commit = 1, 1, first
	a.HardState = &raftpb.HardState{Term: term, Vote: vote, Commit: commit}
	return a
}

// BenchmarkOpen recovers a log of 256 MB, and reports what its index holds of
// memory.
func BenchmarkOpen(b *testing.B) {
	d, err := disk.OS(b.TempDir())
	must(b, err)
	l := open(b, d, nodelog.Options{})
	for next := uint64(1); l.Segments() < 5; next += benchEntries {
		batch := make([]nodelog.Append, benchGroups)
		for i := range batch {
			batch[i] = benchAppend(uint64(i), next)
		}
		must(b, l.Write(batch))
	}
	must(b, l.Close())
	for b.Loop() {
		l = open(b, d, nodelog.Options{})
		must(b, l.Close())
	}
	var with, without runtime.MemStats
	l = open(b, d, nodelog.Options{})
	last, err := l.Group(0).LastIndex()
	must(b, err)
	runtime.GC()
	runtime.ReadMemStats(&with)
	must(b, l.Close())
	l = nil //nolint:wastedassign // what it held is to be collected
	runtime.GC()
	runtime.ReadMemStats(&without)
	b.ReportMetric(float64(with.HeapAlloc-without.HeapAlloc)/float64(last*benchGroups), "index-B/entry")
}
