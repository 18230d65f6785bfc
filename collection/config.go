package collection

import (
	"fmt"
	"math"
	"strings"

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

// Passes reports whether a score is at least as near as threshold.
func (d Distance) Passes(score, threshold float32) bool {
	if d == Euclid || d == Manhattan {
		return score <= threshold
	}
	return score >= threshold
}

// VectorParams describes one vector of a collection's points. Name "" is the
// default vector.
type VectorParams struct {
	Name     string
	Size     int
	Distance Distance
}

// Config is what a collection was created with.
type Config struct {
	Vectors []VectorParams // exactly one, named ""
	// CreatedAt is the log's time of creation in Unix milliseconds; apply sets it.
	CreatedAt int64
	// Extra is what else the caller set (hnsw_config, ...), kept as given so
	// that it is shown again. The values are those a Payload may hold.
	Extra map[string]any
}

// maxExtraBytes bounds the settings that are only kept: every look at the
// collection reads them.
const maxExtraBytes = 64 << 10

// Vector returns the parameters of the default vector.
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
	if len(c.Vectors) != 1 || c.Vectors[0].Name != "" {
		return Errorf(Unimplemented, "named vectors and collections without a vector are not supported yet")
	}
	v := c.Vectors[0]
	var faults []string
	if v.Size < 1 || v.Size > l.Dimension {
		faults = append(faults, fmt.Sprintf("vectors.size: value %d invalid, must be from 1 to %d", v.Size, l.Dimension))
	}
	if _, known := v.Distance.number(); !known {
		faults = append(faults, fmt.Sprintf("vectors.distance: unknown distance %q", clip(string(v.Distance))))
	}
	if raw, err := AppendPayload(nil, c.Extra); err != nil {
		faults = append(faults, "collection settings: nested too deep, or not JSON")
	} else if len(raw) > maxExtraBytes {
		faults = append(faults, fmt.Sprintf("collection settings: %d bytes, must be at most %d", len(raw), maxExtraBytes))
	}
	if faults != nil {
		return invalid("%s", strings.Join(faults, "; "))
	}
	return nil
}
