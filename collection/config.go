package collection

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/hivehub/waggle/index"
)

// Distance is how the vectors of a collection are compared, by its name on
// the wire.
type Distance string

// The distances.
const (
	Cosine    Distance = "Cosine"
	Euclid    Distance = "Euclid"
	Dot       Distance = "Dot"
	Manhattan Distance = "Manhattan"
)

// Metric returns the index's metric of d. d must be valid.
func (d Distance) Metric() index.Metric {
	switch d {
	case Cosine:
		return index.Cosine
	case Euclid:
		return index.L2
	case Dot:
		return index.Dot
	case Manhattan:
		return index.L1
	}
	panic("BUG: no metric for distance " + string(d))
}

// Score turns an index's distance, where smaller is nearer, into the score of
// an answer: the similarity for Cosine and Dot (larger is nearer), the
// distance for Euclid and Manhattan (smaller is nearer).
func Score(d Distance, dist float32) float32 {
	switch d {
	case Euclid:
		return float32(math.Sqrt(float64(dist)))
	case Manhattan:
		return dist
	}
	return 0 - dist // never a negative zero
}

// Passes reports whether a score is nearer than threshold. An equal one is not,
// as in Qdrant, though there a fusion lets it pass.
func (d Distance) Passes(score, threshold float32) bool {
	if d == Euclid || d == Manhattan {
		return score < threshold
	}
	return score > threshold
}

// VectorParams describes one dense vector of a collection's points. Name "" is
// the default vector.
type VectorParams struct {
	Name     string
	Size     int
	Distance Distance
	OnDisk   *bool // nil: not said
	// Extra is what else the caller set for it (hnsw_config, ...), as Config.Extra.
	Extra map[string]any
}

// SparseParams describes one sparse vector of a collection's points.
type SparseParams struct {
	Name string
	IDF  bool // values count the more, the fewer points have a component at their index
	// Extra is what else the caller set for it (index, ...), as Config.Extra.
	Extra map[string]any
}

// Config is what a collection was created with.
type Config struct {
	// Vectors, Sparse and Text are the vectors that a point may have, at most
	// VectorsMax with names of their own. Records know a vector by its place here.
	Vectors []VectorParams
	Sparse  []SparseParams
	Text    []TextParams
	// CreatedAt is the log's time of creation in Unix milliseconds; apply sets it.
	CreatedAt int64
	// Extra is what else the caller set (hnsw_config, ...), kept as given so
	// that it is shown again. The values are those a Payload may hold.
	Extra map[string]any
}

const (
	// VectorsMax is how many vectors a point may have.
	VectorsMax = 64
	// VectorNameMax is the longest name of a vector, in bytes.
	VectorNameMax = 255
	// maxExtraBytes bounds the settings that are only kept: every look at the
	// collection reads them.
	maxExtraBytes = 64 << 10
)

// Vector returns the parameters of the first dense vector, which is the only
// one where c is Plain.
func (c Config) Vector() VectorParams { return c.Vectors[0] }

// ParseDistance reads a distance's name.
func ParseDistance(s string) (Distance, error) {
	d := Distance(s)
	if _, known := d.number(); !known {
		return "", Errorf(InvalidArgument,
			"unknown variant `%s`, expected one of `Cosine`, `Euclid`, `Dot`, `Manhattan`", clip(s))
	}
	return d, nil
}

// Validate returns every fault of c in one error.
func (c Config) Validate(l Limits) error {
	var faults []string
	if n := len(c.Vectors) + len(c.Sparse) + len(c.Text); n > VectorsMax {
		faults = append(faults, fmt.Sprintf("vectors: %d vectors, must be at most %d", n, VectorsMax))
	}
	names := map[string]bool{}
	for _, v := range c.Vectors {
		faults = checkVectorName(faults, names, v.Name)
		faults = v.check(faults, l)
	}
	for _, v := range c.Sparse {
		faults = checkVectorName(faults, names, v.Name)
	}
	for i := range c.Text {
		faults = checkVectorName(faults, names, c.Text[i].Name)
		faults = c.Text[i].check(faults)
	}
	if size, err := c.extraBytes(); err != nil {
		faults = append(faults, "collection settings: nested too deep, or not JSON")
	} else if size > maxExtraBytes {
		faults = append(faults, fmt.Sprintf("collection settings: %d bytes, must be at most %d", size, maxExtraBytes))
	}
	if faults != nil {
		return invalid("%s", strings.Join(faults, "; "))
	}
	return nil
}

func checkVectorName(faults []string, names map[string]bool, name string) []string {
	switch {
	case len(name) > VectorNameMax:
		return append(faults, fmt.Sprintf("vectors: a name of %d bytes, must be at most %d", len(name), VectorNameMax))
	case !utf8.ValidString(name):
		return append(faults, "vectors: a name that is not valid UTF-8")
	case names[name]:
		return append(faults, fmt.Sprintf("vectors: the name %q is there twice", name))
	}
	names[name] = true
	return faults
}

func (v VectorParams) check(faults []string, l Limits) []string {
	at := "vectors"
	if v.Name != "" {
		at += "." + clip(v.Name)
	}
	if v.Size < 1 || v.Size > l.Dimension {
		faults = append(faults, fmt.Sprintf("%s.size: value %d invalid, must be from 1 to %d", at, v.Size, l.Dimension))
	}
	if _, known := v.Distance.number(); !known {
		faults = append(faults, fmt.Sprintf("%s.distance: unknown distance %q", at, clip(string(v.Distance))))
	}
	return faults
}
