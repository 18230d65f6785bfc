package httpedge

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoncesAreUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNonces()
		use := func(service, nonce string, want bool) {
			t.Helper()
			if fresh, full := n.use(service, nonce); fresh != want || full {
				t.Errorf("%s %s: fresh %v, full %v, want %v", service, nonce, fresh, full, want)
			}
		}
		use("hub", "a", true)
		use("hub", "a", false)
		use("hub", "b", true)
		use("gate", "a", true) // another service's
		pass(nonceTime)
		use("hub", "a", false) // a request signed for the last second of its time
		pass(time.Second)
		use("hub", "a", true)
		if len(n.mu.seen) != 1 || len(n.mu.queue)-n.mu.head != 1 {
			t.Errorf("%d seen, %d queued from %d", len(n.mu.seen), len(n.mu.queue), n.mu.head)
		}
	})
}

// A full table forgets nothing early: it refuses.
func TestNoncesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNonces()
		for i := range noncesMax {
			if fresh, full := n.use("hub", fmt.Sprint(i)); !fresh || full {
				t.Fatalf("nonce %d: fresh %v, full %v", i, fresh, full)
			}
		}
		if fresh, full := n.use("hub", "one more"); fresh || !full {
			t.Fatalf("one more: fresh %v, full %v", fresh, full)
		}
		if fresh, full := n.use("hub", "0"); fresh || full {
			t.Errorf("the first again: fresh %v, full %v", fresh, full)
		}
		pass(nonceTime + 1)
		if fresh, full := n.use("hub", "one more"); !fresh || full {
			t.Errorf("after their time: fresh %v, full %v", fresh, full)
		}
	})
}
