package actors

import (
	"sync/atomic"
	"time"
)

// TimeBounds are the upper bounds of what a Stopwatch tells apart.
var TimeBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 10 * time.Second, time.Minute,
}

// Stopwatch counts how long something took, from any goroutine and without
// waiting. The zero Stopwatch is ready for use.
type Stopwatch struct {
	counts [len(TimeBounds) + 1]atomic.Uint64 // each its own share, the last beyond all bounds
	sum    atomic.Int64
}

// Times are what a Stopwatch has counted.
type Times struct {
	Count uint64
	Sum   time.Duration
	UpTo  [len(TimeBounds)]uint64 // how many took TimeBounds[i] at most
}

// Add counts one that took d.
func (s *Stopwatch) Add(d time.Duration) {
	i := 0
	for i < len(TimeBounds) && d > TimeBounds[i] {
		i++
	}
	s.counts[i].Add(1)
	s.sum.Add(int64(d))
}

// Times reads the counts. What is added meanwhile may be in a part of them.
func (s *Stopwatch) Times() Times {
	t := Times{Sum: time.Duration(s.sum.Load())}
	for i := range s.counts {
		t.Count += s.counts[i].Load()
		if i < len(t.UpTo) {
			t.UpTo[i] = t.Count
		}
	}
	return t
}
