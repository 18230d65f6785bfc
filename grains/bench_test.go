package grains_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
)

// BenchmarkDurableWrites is 256 writers, each with one 640-byte record at a
// time, in process through the grain; a write is counted when it is fsynced
// and applied.
func BenchmarkDurableWrites(b *testing.B) {
	k := newKit(b, kitOptions{})
	k.create(b, "w", 148) // 12 bytes of header and id, 592 of vector, 36 of payload
	for b.Loop() {
		began := time.Now()
		times := writeFrom(b, k, 256, 100_000)
		took := time.Since(began)
		b.ReportMetric(float64(len(times))/took.Seconds(), "writes/s")
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
	}
}

// writeFrom makes n single-point writes from some goroutines and returns how
// long each took, sorted.
func writeFrom(b *testing.B, k *kit, writers, n int) []time.Duration {
	b.Helper()
	times := make([]time.Duration, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				began := time.Now()
				_, err := k.client.Write(context.Background(), k.tenant, "w",
					collection.Write{Upsert: []collection.Point{benchPoint(uint64(i))}}, collection.WriteOptions{Wait: true})
				if err != nil {
					b.Error(err)
					return
				}
				times[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	slices.Sort(times)
	return times
}

func benchPoint(id uint64) collection.Point {
	p := collection.Point{
		ID: collection.NumID(id), Vector: make([]float32, 148),
		Payload: collection.Payload{"text": fmt.Sprintf("%028d", id)},
	}
	for i := range p.Vector {
		p.Vector[i] = float32(id%97) + float32(i)
	}
	return p
}
