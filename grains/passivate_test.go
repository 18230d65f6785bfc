package grains_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
)

// A search that comes while its grain is put aside wakes it again: it is never
// told of the other's end.
func TestSearchesWhileGrainsArePassivated(t *testing.T) {
	k := newKit(t, kitOptions{grains: grains.Options{IdleAfter: time.Nanosecond}})
	ctx := t.Context()
	k.create(t, "docs", 2)
	if err := k.upsert(ctx, "docs", point(1), point(2)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var sweeps sync.WaitGroup
	sweeps.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				k.client.Sweep()
			}
		}
	})
	var searches sync.WaitGroup
	for range 2 {
		searches.Go(func() {
			for range 300 {
				if got, err := k.nearest(ctx, "docs", 0, 2, nil); err != nil || got != "[1 2]" {
					t.Errorf("found %s, %v", got, err)
					return
				}
			}
		})
	}
	searches.Wait()
	close(done)
	sweeps.Wait()
}

// A search that gives up while its collection is loaded leaves no
// subscription behind: the next one finds the index, or loads it again.
func TestAnAbandonedLoadIsNotForgotten(t *testing.T) {
	k := newKit(t, kitOptions{grains: grains.Options{IdleAfter: time.Nanosecond}})
	ctx := t.Context()
	k.create(t, "docs", 2)
	var points []collection.Point
	for id := range uint64(10_000) {
		points = append(points, point(id+1))
	}
	if err := k.upsert(ctx, "docs", points...); err != nil {
		t.Fatal(err)
	}
	k.client.Sweep() // what the write activated
	impatient, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, err := k.nearest(impatient, "docs", 0, 1, nil)
	wantCode(t, err, collection.DeadlineExceeded)
	k.client.Sweep()
	if got, err := k.nearest(ctx, "docs", 0, 1, nil); err != nil || got != "[1]" {
		t.Fatalf("found %s, %v", got, err)
	}
}
