package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// matrix is vectors one after the other.
type matrix struct {
	n, dim int
	values []float32
}

func (m matrix) row(i int) []float32 { return m.values[i*m.dim : (i+1)*m.dim] }

func (m matrix) first(n int) matrix {
	if n <= 0 || n >= m.n {
		return m
	}
	return matrix{n, m.dim, m.values[:n*m.dim]}
}

// normalise makes every vector one of length 1.
func (m matrix) normalise() {
	for i := range m.n {
		row, sum := m.row(i), 0.0
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		if sum == 0 {
			continue
		}
		scale := float32(1 / math.Sqrt(sum))
		for j := range row {
			row[j] *= scale
		}
	}
}

// prepare puts base.fbin and query.fbin into the output directory, where both
// sides read them, and removes the truth of other data.
func prepare(c config) error {
	base, queries, err := load(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.out, 0o755); err != nil {
		return err
	}
	truth := filepath.Join(c.out, "gt."+c.metric+".ibin")
	if err := os.Remove(truth); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := base.write(filepath.Join(c.out, "base.fbin")); err != nil {
		return err
	}
	return queries.write(filepath.Join(c.out, "query.fbin"))
}

// load reads or makes the vectors, as many as are asked for.
func load(c config) (base, queries matrix, err error) {
	switch c.data {
	case "gaussians":
		base, queries = gaussians(100_000, 256)
	case "wide":
		base, queries = gaussians(max(c.rows, 10_000), 128)
	default:
		read, files := readIDX, [2]string{"train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"}
		if _, err := os.Stat(filepath.Join(c.data, "base.fbin")); err == nil {
			read, files = readFbin, [2]string{"base.fbin", "query.fbin"}
		}
		if base, err = read(filepath.Join(c.data, files[0])); err == nil {
			queries, err = read(filepath.Join(c.data, files[1]))
		}
	}
	return base.first(c.rows), queries.first(c.queries), err
}

// gaussians is data on which bytes lose: n vectors around 100 centres, in a
// random subspace of 32 dimensions, and 10,000 queries.
func gaussians(n, dim int) (base, queries matrix) {
	const m, inner, centres, seed = 10_000, 32, 100, 20_240_817
	r := rand.New(rand.NewPCG(seed, seed))
	axes, middles := normal(r, inner*dim), normal(r, centres*inner)
	draw := func(n int) matrix {
		all := matrix{n, dim, make([]float32, n*dim)}
		for i := range n {
			middle := middles[r.IntN(centres)*inner:][:inner]
			row := all.row(i)
			for a := range inner {
				at := middle[a] + 0.5*float32(r.NormFloat64())
				for j, v := range axes[a*dim:][:dim] {
					row[j] += at * v
				}
			}
		}
		return all
	}
	return draw(n), draw(m)
}

func normal(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func readIDX(path string) (matrix, error) {
	f, err := os.Open(path)
	if err != nil {
		return matrix{}, err
	}
	defer func() { _ = f.Close() }() // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return matrix{}, err
	}
	var header [4]uint32
	if err := binary.Read(z, binary.BigEndian, &header); err != nil {
		return matrix{}, err
	}
	if header[0] != 2051 {
		return matrix{}, fmt.Errorf("%s is not a file of images", path)
	}
	bytes, err := io.ReadAll(z)
	if err != nil {
		return matrix{}, err
	}
	m := matrix{int(header[1]), int(header[2] * header[3]), make([]float32, len(bytes))}
	if len(bytes) != m.n*m.dim {
		return matrix{}, fmt.Errorf("%s is cut short", path)
	}
	for i, b := range bytes {
		m.values[i] = float32(b)
	}
	return m, nil
}

func readFbin(path string) (matrix, error) {
	f, err := os.Open(path)
	if err != nil {
		return matrix{}, err
	}
	defer func() { _ = f.Close() }() // only read
	r := bufio.NewReaderSize(f, 1<<20)
	var header [2]uint32
	if err := binary.Read(r, binary.LittleEndian, &header); err != nil {
		return matrix{}, err
	}
	m := matrix{int(header[0]), int(header[1]), make([]float32, int(header[0])*int(header[1]))}
	return m, binary.Read(r, binary.LittleEndian, m.values)
}

func (m matrix) write(path string) error {
	return writeFile(path, []uint32{uint32(m.n), uint32(m.dim)}, m.values)
}

func writeFile(path string, parts ...any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for _, p := range parts {
		if err := binary.Write(w, binary.LittleEndian, p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := w.Flush(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
