//go:build linux && !race

package hnsw

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/scratch"
)

// BenchmarkResident is what an index takes of the system's memory, in bytes a
// vertex: each in a process of its own, whose memory before is taken off. anon is
// the process's for good, the Go heap with its garbage included; file is pages of
// scratch space that searches looked at, which the system takes back when it wants
// to. A vector is made when it is added, so that none is there twice.
//
// Run it with -benchtime 1x.
func BenchmarkResident(b *testing.B) {
	for _, size := range []struct{ rows, dim int }{{60_000, 784}, {100_000, 128}} {
		for _, mode := range []string{"memory", "floats", "disk"} {
			b.Run(fmt.Sprintf("%dx%d/%s", size.rows, size.dim, mode), func(b *testing.B) {
				for b.Loop() {
					measureResident(b, fmt.Sprint(size.rows), fmt.Sprint(size.dim), mode, b.TempDir())
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

const residentEnv = "WAGGLE_TEST_RESIDENT"

func measureResident(b *testing.B, args ...string) {
	b.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "ResidentChild$", "-test.benchtime", "1x")
	child.Env = append(os.Environ(), residentEnv+"="+strings.Join(args, " "))
	out, err := child.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		var what string
		var bytes float64
		if n, _ := fmt.Sscanf(line, "resident %s %f", &what, &bytes); n == 2 {
			b.ReportMetric(bytes, what)
		}
	}
}

// BenchmarkResidentChild is one of BenchmarkResident's processes, and measures
// nothing in any other.
func BenchmarkResidentChild(b *testing.B) {
	var rows, dim int
	var mode, dir string
	if n, _ := fmt.Sscan(os.Getenv(residentEnv), &rows, &dim, &mode, &dir); n != 4 {
		return
	}
	o := Options{Floats: mode == "floats"}
	if mode == "disk" {
		o.Scratch = func() (index.Scratch, error) { return scratch.Open(dir) }
	}
	next := subspace(dim)
	anon, file := resident(b)
	show := func(when string) {
		a, f := resident(b)
		fmt.Printf("resident anon-%s/vertex %.1f\n", when, float64(a-anon)/float64(rows))
		fmt.Printf("resident file-%s/vertex %.1f\n", when, float64(f-file)/float64(rows))
	}
	x := New(dim, index.L2, o)
	for i := range rows {
		if _, err := x.Add(uint64(i), next()); err != nil {
			b.Fatal(err)
		}
		if i%100 == 99 || i == rows-1 {
			x.Publish()
		}
	}
	buildAll(x, 2)
	show("built")
	v := x.View()
	defer v.Release()
	var hits []index.Hit
	for range 2000 {
		var err error
		if hits, err = v.Search(context.Background(), &index.Query{Vector: next(), K: 10, Ef: 64}, hits); err != nil {
			b.Fatal(err)
		}
	}
	show("searched")
	fmt.Printf("resident counted/vertex %.1f\n", float64(x.Bytes())/float64(rows))
}

// resident is the process's memory in bytes: its own, and of files.
func resident(tb testing.TB) (anon, file int64) {
	tb.Helper()
	status, err := os.Open("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = status.Close() }() // it was only read
	for lines := bufio.NewScanner(status); lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "RssAnon: %d kB", &anon) // other lines
		_, _ = fmt.Sscanf(lines.Text(), "RssFile: %d kB", &file)
	}
	return anon << 10, file << 10
}

// subspace makes vectors around 100 centres in 32 of the dimensions, as
// embeddings are. What it returns is valid until the next.
func subspace(dim int) func() []float32 {
	const inner, centres = 32, 100
	r := rand.New(rand.NewPCG(1, 2))
	normal := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	axes, middles, row := normal(inner*dim), normal(centres*inner), make([]float32, dim)
	return func() []float32 {
		clear(row)
		middle := middles[r.IntN(centres)*inner:][:inner]
		for a := range inner {
			at := middle[a] + 0.5*float32(r.NormFloat64())
			for j, v := range axes[a*dim:][:dim] {
				row[j] += at * v
			}
		}
		return row
	}
}
