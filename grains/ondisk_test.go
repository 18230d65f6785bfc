//go:build linux

package grains_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// scratchFiles are the open files without a name in a directory, as paths that
// lead to them.
func scratchFiles(t *testing.T, dir string) (paths []string) {
	t.Helper()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir) && strings.HasSuffix(to, " (deleted)") {
			paths = append(paths, fd)
		}
	}
	return paths
}

// Vectors that are to be on disk are there, after a restart too, and what is
// found is what is found in memory. A disk that loses them costs the answers of
// that collection, with data_loss, and nothing else.
func TestVectorsOnDisk(t *testing.T) {
	const points = 1500
	onDisk := true
	dir := t.TempDir()
	k := kitOn(t, dir)
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() []float32 { return clustered(rng, rng.IntN(40), graphDim) }
	k.create(t, "inside", graphDim)
	err := k.client.CreateCollection(t.Context(), k.tenant, "outside", collection.Config{
		Vectors: []collection.VectorParams{{Size: graphDim, Distance: collection.Euclid, OnDisk: &onDisk}},
	}, collection.ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	vectors := make([][]float32, points)
	for i := range vectors {
		vectors[i] = draw()
	}
	q := collection.Query{Nearest: &collection.Input{Dense: draw()}, Limit: 10, WithVector: collection.VectorSelector{All: true}}
	queries := [][]float32{draw(), draw(), draw(), draw(), draw()}
	check := func() {
		t.Helper()
		for _, exact := range []bool{true, false} {
			q.Params.Exact = exact
			want, err := k.client.Query(t.Context(), k.tenant, "inside", q)
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.client.Query(t.Context(), k.tenant, "outside", q)
			if err != nil || len(got) != len(want) || got[0].Score != want[0].Score || got[0].Vector[1] != want[0].Vector[1] {
				t.Fatalf("exact %v: %d hits, error %v", exact, len(got), err)
			}
		}
		if recall := k.recall(t, "outside", queries); recall < 0.9 {
			t.Errorf("recall %.3f", recall)
		}
		if n := len(scratchFiles(t, dir)); n != 1 {
			t.Errorf("%d scratch files", n)
		}
	}
	for _, name := range []string{"inside", "outside"} {
		i := 0
		k.fill(t, name, 0, points, func() []float32 { i++; return vectors[i-1] })
		k.built(t, name, q)
	}
	check()
	k.stopClient()
	k.Stop()
	if names := indexFileNames(t, dir); len(names) != 2 {
		t.Fatalf("index files: %v", names)
	}

	k = newStillKit(t, dir)
	k.ids(t, "outside", q)
	if n := k.client.Waiting(); n != 0 {
		t.Errorf("%d vectors wait for the graph after a restart", n)
	}
	if files := scratchFiles(t, dir); len(files) > 2 { // the one before may not be collected yet
		t.Errorf("scratch files: %v", files)
	}
	for _, path := range scratchFiles(t, dir) {
		if err := os.Truncate(path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) { // collected by now
			t.Fatal(err)
		}
	}
	for _, exact := range []bool{true, false} {
		q.Params.Exact = exact
		_, err := k.client.Query(t.Context(), k.tenant, "outside", q)
		wantCode(t, err, collection.DataLoss)
		k.ids(t, "inside", q)
	}
}
