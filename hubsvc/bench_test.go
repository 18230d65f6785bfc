package hubsvc

import (
	"fmt"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

const (
	benchTenants = 10_000
	benchKeys    = 100_000
)

// filled returns a directory with many tenants, and their keys, and the change
// that fills one.
func filled(b *testing.B) (*Directory, []string, Change) {
	d := NewDirectory(NewKeyHasher(testSecret), time.Now)
	c := Change{Index: 2, Cluster: &Cluster{Partitions: 64, Index: 1, SecretSum: d.hasher.SecretSum()}, Plans: tenant.Plans()}
	scope, err := tenant.ParseScope([]string{"docs-*"}, []string{"10.0.0.0/8"})
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchTenants {
		id := tenant.ID(fmt.Sprintf("t_%012d", i))
		c.Tenants = append(c.Tenants, Tenant{ID: id, Name: "Tenant", Plan: tenant.PlanPro, Status: Active, Partition: id.Partition(64), Index: 2, PlanIndex: 2})
	}
	plains := make([]string, benchKeys)
	for i := range plains {
		plains[i] = tenant.NewKey()
		k := Key{
			ID: tenant.KeyID(fmt.Sprintf("k_%016d", i)), Tenant: c.Tenants[i%benchTenants].ID, Hash: d.hasher.Hash(plains[i]), Permission: tenant.ReadWrite,
			Prefix: tenant.ShownPrefix(plains[i]), Index: 2,
		}
		if i%2 == 1 {
			k.Scope, k.Expires = scope, time.Now().Add(time.Hour).UnixMilli()
		}
		c.Keys = append(c.Keys, k)
	}
	d.Observe(c)
	return d, plains, c
}

// Each key in turn: what is looked up is not in the processor's cache.
func BenchmarkValidate(b *testing.B) {
	d, plains, _ := filled(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := d.Validate(plains[i]); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(plains) {
			i = 0
		}
	}
}

func BenchmarkValidateOne(b *testing.B) {
	d, plains, _ := filled(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Validate(plains[1]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidateParallel(b *testing.B) {
	d, plains, _ := filled(b)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := d.Validate(plains[i%len(plains)]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkRenew(b *testing.B) {
	d, plains, _ := filled(b)
	tc, err := d.Validate(plains[1])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Renew(tc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHash is the part of Validate that nothing can be saved of.
func BenchmarkHash(b *testing.B) {
	h, key := NewKeyHasher(testSecret), tenant.NewKey()
	for b.Loop() {
		h.Hash(key)
	}
}

// BenchmarkObserveAll is what a start or an image costs beside reading the store.
func BenchmarkObserveAll(b *testing.B) {
	_, _, c := filled(b)
	for b.Loop() {
		d := NewDirectory(NewKeyHasher(testSecret), time.Now)
		d.Observe(c)
	}
}
