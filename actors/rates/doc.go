// Package rates decides whether a request is within the rates of its tenant and
// of its key.
//
// There is a token bucket for each window (minute, hour, day) that is limited,
// of each tenant and of each key. A bucket holds at most the window's limit and
// fills evenly, by one limit in one window. A request takes one token of every
// bucket, or, when one of them has none, is refused and takes none at all: what
// a key may not do does not count against its tenant. So whoever has asked for
// nothing may ask for a whole window's requests at once, and in any time T at
// most for limit * (1 + T/window).
//
// The decision is exact for the whole cluster because one node makes it: the
// one that leads the tenant's partition. Nothing is written down. When another
// node begins to lead it does not know what was taken: its buckets of an hour
// and of a day begin with a tenth of their limits, and what has flowed in since
// it leads; those of a minute are full. The same holds after a start, and for
// rows that had to go because there were too many: nobody gets more by being
// forgotten than by a fail-over.
//
// A limit that is changed holds from the next request on: what was taken stays
// taken.
//
// The package is pure: it has no clock, no goroutine and no timer. A Limiter is
// safe for concurrent use; a decision holds one lock for about 100 ns and
// allocates nothing but the row of somebody new.
package rates
