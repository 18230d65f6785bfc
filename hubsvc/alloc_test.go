//go:build !race

// Under the race detector sync.Pool forgets at random, so nothing can be said
// about allocations.

package hubsvc

import (
	"strings"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

func TestValidateAllocatesNothing(t *testing.T) {
	hub, _, first := bornHub(t)
	for _, key := range []string{first.Tenant, first.Operator, mistyped(first.Tenant), "hh_live_" + strings.Repeat("a", 32), ""} {
		if n := testing.AllocsPerRun(1000, func() { _, _ = hub.Validate(key) }); n != 0 {
			t.Errorf("%q: %v allocations", tenant.ShownPrefix(key), n)
		}
	}
}
