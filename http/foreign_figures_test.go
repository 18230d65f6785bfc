//go:build figures

package httpedge

import (
	flags "flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var twinRequests = flags.Int("twins", 5000, "requests of each of two, in each of three rounds")

// TestFiguresForeignNames: what another tenant has takes as long as what nobody
// has. The two are asked for in turns, in the order A B B A, so that whatever
// else the machine does meets both; the medians of three rounds may differ by
// 5 %, or by the resolution of the clock.
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
		var foreign, absent []time.Duration
		for range 3 {
			f, a := w.race(c, n)
			foreign, absent = append(foreign, f), append(absent, a)
		}
		slices.Sort(foreign)
		slices.Sort(absent)
		f, a := foreign[1], absent[1]
		apart := float64(f-a) / float64(a)
		fmt.Printf("figure %-90s %10v %10v %+5.1f %%\n", c.what, f, a, 100*apart)
		if off := max(f-a, a-f); off > a/20 && off > resolution {
			t.Errorf("%s: %v of a foreign name, %v of an absent one", c.what, f, a)
		}
		worst = max(worst, apart, -apart)
	}
	fmt.Printf("figure foreign and absent names differ by at most %.1f %%\n", 100*worst)
}

// race asks for both n times and returns the medians.
func (w *world) race(c twin, n int) (foreign, absent time.Duration) {
	times := [2][]time.Duration{}
	paths := [2]string{c.foreign, c.absent}
	for i := range 2 * n {
		which := (i + i/2) % 2 // 0 1 1 0
		status, text, took := w.direct(c.method, paths[which], c.body, c.key)
		if status >= 500 && status != 501 || status == 401 {
			w.t.Fatalf("%s: %d %s", c.what, status, text)
		}
		if c.creates {
			w.drop(c.asks, strings.SplitN(paths[which], "?", 2)[0])
		}
		times[which] = append(times[which], took)
	}
	median := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2] }
	return median(times[0]), median(times[1])
}
