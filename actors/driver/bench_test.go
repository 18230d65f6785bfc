package driver_test

import (
	"testing"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
)

// BenchmarkPropose is the driver's own cost of one 640-byte write in a group of
// one, with as many in a Ready as wait while one flush runs.
func BenchmarkPropose(b *testing.B) {
	for _, c := range []struct {
		name  string
		batch int
	}{{"alone", 1}, {"batch=64", 64}, {"batch=256", 256}} {
		b.Run(c.name, func(b *testing.B) {
			r := born(b, 1, 1).lead()
			data := make([]byte, 640)
			done := 0
			p := driver.Proposal{Data: data, Done: func(o collection.Outcome) {
				if o.Err != nil {
					b.Fatal(o.Err)
				}
				done++
			}}
			b.ReportAllocs()
			b.ResetTimer()
			for proposed := 0; proposed < b.N; proposed += c.batch {
				for range c.batch {
					r.Propose(p)
				}
				for w, ok := r.Ready(); ok; w, ok = r.Ready() {
					for _, a := range w.Appends {
						r.log.write(a.Append)
						r.AppendDone(a)
					}
					for _, a := range w.Applies {
						r.Applied(a, make([]collection.Outcome, len(a.Entries)))
						r.log.cut(a.Entries[len(a.Entries)-1].Index)
					}
				}
			}
			b.StopTimer()
			if done < b.N {
				b.Fatalf("%d of %d writes were answered", done, b.N)
			}
		})
	}
}
