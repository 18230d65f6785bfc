package httpedge

import (
	"math"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Each collection of garbage adds its pauses, and half a millisecond lies
// between two bounds that are not far apart.
func TestPauses(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newPauses())
	count := func() uint64 {
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || families[0].GetName() != "waggle_gc_pauses_seconds" {
			t.Fatalf("%v, error %v", families, err)
		}
		h := families[0].GetMetric()[0].GetHistogram()
		below, above := 0.0, math.Inf(1)
		for _, b := range h.GetBucket() {
			if bound := b.GetUpperBound(); bound <= 0.0005 {
				below = max(below, bound)
			} else {
				above = min(above, bound)
			}
		}
		if below < 0.0004 || above > 0.0006 {
			t.Errorf("bounds next to half a millisecond: %g and %g", below, above)
		}
		return h.GetSampleCount()
	}
	before := count()
	runtime.GC()
	if after := count(); after < before+2 {
		t.Errorf("%d pauses before a collection, %d after it", before, after)
	}
}
