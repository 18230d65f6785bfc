package grains

import "testing"

// A partition that is asked for again while its purge runs is purged again,
// however full the queue is.
func TestPurgeQueueForgetsNothing(t *testing.T) {
	const partitions = 3
	q := newPurgeQueue(partitions)
	for range 2 { // the second time it is there already
		for p := range uint64(partitions) {
			q.add(p)
		}
	}
	for p := range uint64(partitions) {
		if got := <-q.next; got != p {
			t.Fatalf("partition %d comes before %d", got, p)
		}
		q.taken(p)
		q.add(p) // a collection is deleted during the purge
	}
	if n := len(q.next); n != partitions {
		t.Fatalf("%d partitions wait, want %d", n, partitions)
	}
}
