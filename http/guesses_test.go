package httpedge

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func address(t *testing.T, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// pass lets time go by in a synctest bubble.
func pass(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the clock of the bubble

func testGuesses() *guesses {
	l := DefaultLimits()
	return newGuesses(&l)
}

// fail tells g of n wrong keys and returns the wait after the last one.
func (g *guesses) fail(a netip.Addr, n int) (wait time.Duration) {
	for range n {
		wait = g.failed(a)
	}
	return wait
}

func TestGuessesBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, a, b := testGuesses(), address(t, "192.0.2.7"), address(t, "192.0.2.8")
		if w := g.fail(a, 5); w != 0 {
			t.Fatalf("blocked for %v by the fifth failure itself", w)
		}
		if w := g.failed(a); w != 300*time.Second {
			t.Fatalf("after five failures: %v", w)
		}
		if !g.blocks(a) || g.blocks(b) {
			t.Errorf("blocked: %v, and another address: %v", g.blocks(a), g.blocks(b))
		}
		if w := g.failed(b); w != 0 {
			t.Fatalf("another address waits %v", w)
		}
		pass(299 * time.Second)
		if w := g.failed(a); w != time.Second {
			t.Errorf("a second before the end: %v", w)
		}
		// A block is not made longer by those who go on, and ends on the second.
		pass(time.Second)
		if g.blocks(a) || g.any.Load() != 0 {
			t.Errorf("still blocked after the end, %d are", g.any.Load())
		}
		if w := g.fail(a, 5); w != 0 {
			t.Errorf("after the end: %v", w)
		}
		if w := g.failed(a); w != 300*time.Second {
			t.Errorf("five more: %v", w)
		}
	})
}

// Five in any 60 seconds, not five in a minute of the clock.
func TestGuessesSlidingWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, a := testGuesses(), address(t, "192.0.2.7")
		g.fail(a, 1)
		pass(59 * time.Second)
		g.fail(a, 3)
		pass(time.Second) // the first is 60 s old
		if g.fail(a, 1); g.mu.known[a].in != &g.mu.trying {
			t.Fatal("four within 60 seconds block")
		}
		pass(58 * time.Second)
		if g.fail(a, 1); g.mu.known[a].in != &g.mu.blocked {
			t.Fatal("five within 60 seconds do not block")
		}
		// A slow guesser, one key in 15 s, is never blocked.
		b := address(t, "192.0.2.8")
		for range 100 {
			if w := g.failed(b); w != 0 {
				t.Fatalf("one key in 15 seconds: wait %v", w)
			}
			pass(15 * time.Second)
		}
		pass(time.Hour)
		g.failed(b)
		if n := len(g.mu.known); n != 1 {
			t.Errorf("%d sources remembered after an hour, want that of now", n)
		}
	})
}

func TestGuessesSources(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.6", false},
		{"192.0.2.7", "::ffff:192.0.2.7", true},
		{"::ffff:192.0.2.7", "::ffff:192.0.2.6", false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"::1", "127.0.0.1", false},
	} {
		g := testGuesses()
		g.fail(address(t, c.a), 5)
		if got := g.failed(address(t, c.b)) > 0; got != c.same {
			t.Errorf("after %s, %s is blocked: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

// Whatever the number of addresses, the table is bounded; when it is full,
// whoever would be forgotten soonest is, and who was blocked just now is not.
func TestGuessesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		g := testGuesses()
		source := func(i int) netip.Addr {
			var b [16]byte
			b[0], b[1] = 0x20, 0x01
			binary.BigEndian.PutUint32(b[4:], uint32(i))
			return netip.AddrFrom16(b)
		}
		g.fail(source(0), 5) // blocked, for longer than the next ones are remembered
		pass(time.Second)
		for i := 1; i <= 3*guessersMax; i++ {
			g.failed(source(i))
		}
		if n := len(g.mu.known); n != guessersMax {
			t.Fatalf("%d sources known", n)
		}
		if w := g.failed(source(0)); w == 0 {
			t.Error("a block was lost to addresses that failed once")
		}
		// The forgotten begin at one again, the remembered go on.
		if w := g.fail(source(1), 5); w != 0 {
			t.Errorf("the first one waits %v", w)
		}
		g.fail(source(3*guessersMax), 4)
		if w := g.failed(source(3 * guessersMax)); w == 0 {
			t.Error("the last one was forgotten")
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		t.Logf("%d sources: %.1f MB", len(g.mu.known), float64(after.HeapAlloc-before.HeapAlloc)/(1<<20))

		// Full of blocks: the oldest makes room, and new sources still count.
		pass(time.Hour)
		for i := range guessersMax + 10 {
			g.fail(source(i), 5)
		}
		if w := g.failed(source(guessersMax + 9)); w == 0 || len(g.mu.known) != guessersMax {
			t.Errorf("the last of too many blocks: %v, %d known", w, len(g.mu.known))
		}
		pass(time.Hour)
		g.failed(source(0))
		if n := len(g.mu.known); n != 1 || g.mu.trying.first != g.mu.trying.last || g.mu.blocked.first != nil {
			t.Errorf("%d known after an hour", n)
		}
	})
}
