package cluster

import (
	"testing"
	"time"
)

// TestLinear holds that the checker finds what a database may do wrong, and
// nothing where there is nothing.
func TestLinear(t *testing.T) {
	reg := register{0, 1}
	type ops []record
	w := func(client int, value int64, call, ret time.Duration) record {
		return record{reg, client, true, value, call, ret}
	}
	r := func(client int, value int64, call, ret time.Duration) record {
		return record{reg, client, false, value, call, ret}
	}
	for name, tc := range map[string]struct {
		ops   ops
		wrong bool
	}{
		"one after the other":                {ops{w(1, 10, 0, 1), r(2, 10, 2, 3), w(1, 11, 4, 5), r(2, 11, 6, 7)}, false},
		"a lost write":                       {ops{w(1, 10, 0, 1), w(1, 11, 2, 3), r(2, 10, 4, 5)}, true},
		"a lost first write":                 {ops{w(1, 10, 0, 1), r(2, 0, 2, 3)}, true},
		"a stale read":                       {ops{w(1, 10, 0, 1), w(1, 11, 2, 5), r(2, 11, 3, 4), r(3, 10, 6, 7)}, true},
		"two reads go back during a write":   {ops{w(1, 10, 0, 1), w(1, 11, 2, 9), r(2, 11, 3, 4), r(2, 10, 5, 6)}, true},
		"reads on either side of it":         {ops{w(1, 10, 0, 1), w(1, 11, 2, 9), r(2, 10, 3, 4), r(2, 11, 5, 6)}, false},
		"a request applied twice":            {ops{w(1, 10, 0, 1), w(1, 11, 2, 3), r(2, 11, 4, 5), r(2, 10, 6, 7)}, true},
		"a deletion undone":                  {ops{w(1, 10, 0, 1), w(1, 0, 2, 3), r(2, 10, 4, 5)}, true},
		"a deletion":                         {ops{w(1, 10, 0, 1), w(1, 0, 2, 3), r(2, 0, 4, 5)}, false},
		"unknown, and never seen":            {ops{w(1, 10, 0, 1), w(2, 11, 2, never), r(1, 10, 3, 4), r(1, 10, 90, 91)}, false},
		"unknown, and seen late":             {ops{w(1, 10, 0, 1), w(2, 11, 2, never), r(1, 10, 3, 4), r(1, 11, 90, 91)}, false},
		"unknown, seen and gone":             {ops{w(1, 10, 0, 1), w(2, 11, 2, never), r(1, 11, 3, 4), r(1, 10, 90, 91)}, true},
		"unknown, seen, overwritten, back":   {ops{w(2, 11, 2, never), r(1, 11, 3, 4), w(1, 12, 5, 6), r(1, 11, 7, 8)}, true},
		"unknown deletion, seen late":        {ops{w(1, 10, 0, 1), w(2, 0, 2, never), r(1, 10, 3, 4), r(1, 0, 90, 91)}, false},
		"unknown deletion, seen and undone":  {ops{w(1, 10, 0, 1), w(2, 0, 2, never), r(1, 0, 3, 4), r(1, 10, 90, 91)}, true},
		"read before it was sent":            {ops{w(1, 10, 5, 6), r(2, 10, 1, 2)}, true},
		"read and never sent by anybody":     {ops{w(1, 10, 0, 1), r(2, 77, 2, 3)}, true},
		"unknown, seen before it was called": {ops{w(1, 10, 5, never), r(2, 10, 1, 2)}, true},
	} {
		h := newHistory()
		for _, o := range tc.ops {
			if o.write && o.value != 0 {
				h.sent[o.value] = o.call
			}
			h.add(o)
		}
		found := newFindings()
		found.quiet = true
		h.linear(found, time.Minute)
		if _, n := found.all(); (n > 0) != tc.wrong {
			t.Errorf("%s: %d violations, wrong = %t", name, n, tc.wrong)
		}
	}
}
