//go:build figures

package httpedge

import (
	"cmp"
	flags "flag"
	"fmt"
	"slices"
	"testing"
	"time"
)

var twinRequests = flags.Int("twins", 5000, "requests of each of two, in each of three rounds")

// TestFiguresForeignNames: what another tenant has takes as long as what nobody
// has. The two are asked for in turns, in the order A B B A, so that whatever
// else the machine does meets both. Of a round counts the median of the
// differences of neighbours, which no change of the machine's speed in the
// middle of a round moves, and of three rounds the median. It may be 5 % of the
// median time, or the resolution of the clock.
func TestFiguresForeignNames(t *testing.T) {
	w := newWorld(t)
	w.settle()
	const resolution = 200 * time.Nanosecond
	worst := 0.0
	for _, c := range w.twins() {
		n := *twinRequests
		if c.creates {
			n /= 10 // two entries of a log, and two more to take it away
		}
		var offs, absents []time.Duration
		for range 3 {
			off, absent := w.race(c, n)
			offs, absents = append(offs, off), append(absents, absent)
		}
		off, absent := median(offs), median(absents)
		apart := float64(off) / float64(absent)
		fmt.Printf("figure %-90s %10v %+8v %+5.1f %%\n", c.what, absent, off, 100*apart)
		if size := max(off, -off); size > absent/20 && size > resolution {
			t.Errorf("%s: an absent name takes %v, a foreign one %v more", c.what, absent, off)
		}
		worst = max(worst, apart, -apart)
	}
	fmt.Printf("figure foreign and absent names differ by at most %.1f %%\n", 100*worst)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// race asks for both n times and returns the medians of the difference and of
// the time for the absent one.
func (w *world) race(c twin, n int) (off, absent time.Duration) {
	var offs, absents []time.Duration
	ask := func(path, body string) time.Duration {
		status, text, took := w.direct(c.method, path, body, c.key)
		if status >= 500 && status != 501 || status == 401 {
			w.t.Fatalf("%s: %d %s", c.what, status, text)
		}
		if c.creates {
			w.drop(c.asks, path)
		}
		return took
	}
	for i := range n {
		var f, a time.Duration
		if i%2 == 0 {
			f, a = ask(c.foreign, c.body), ask(c.absent, cmp.Or(c.other, c.body))
		} else {
			a, f = ask(c.absent, cmp.Or(c.other, c.body)), ask(c.foreign, c.body)
		}
		offs, absents = append(offs, f-a), append(absents, a)
	}
	return median(offs), median(absents)
}
