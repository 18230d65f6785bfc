package httpedge

import (
	"math"
	"strconv"

	"github.com/hivehub/waggle/collection"
)

// pointVectors reads the vectors of a point: a list of numbers, which is the
// one without a name, or {name: vector}. {} is none.
func (p *pointReader) pointVectors(point *collection.Point) (err error) {
	if p.peek() != '{' {
		point.Vector, err = p.dense()
		return err
	}
	return p.object(func(name []byte) error {
		v, err := p.namedVector(name)
		if err != nil {
			return err
		}
		return addTo(point, v)
	})
}

// addTo gives a point one more vector.
func addTo(point *collection.Point, v collection.NamedVector) error {
	if v.Name == "" && v.Sparse == nil {
		point.Vector = v.Dense
		return nil
	}
	if len(point.Vectors) == collection.VectorsMax {
		return tooManyVectors()
	}
	point.Vectors = append(point.Vectors, v)
	return nil
}

func tooManyVectors() error {
	return errValue("vector: more than " + strconv.Itoa(collection.VectorsMax) + " vectors")
}

// namedVector reads a list of numbers, or {"indices", "values"}.
func (p *pointReader) namedVector(name []byte) (v collection.NamedVector, err error) {
	if len(name) > collection.VectorNameMax {
		return v, errValue("vector: a name of " + strconv.Itoa(len(name)) + " bytes, must be at most " + strconv.Itoa(collection.VectorNameMax))
	}
	v.Name = string(name)
	if p.peek() == '{' {
		v.Sparse, err = p.sparse()
		return v, err
	}
	v.Dense, err = p.dense()
	return v, err
}

// columns reads the vectors of a batch, those of each name together: a list of
// vectors, or {name: list}.
func (p *pointReader) columns() ([][]collection.NamedVector, error) {
	if p.peek() != '{' {
		list, err := p.column(nil)
		return [][]collection.NamedVector{list}, err
	}
	columns := [][]collection.NamedVector{}
	err := p.object(func(name []byte) error {
		if len(columns) == collection.VectorsMax {
			return tooManyVectors()
		}
		list, err := p.column(name)
		columns = append(columns, list)
		return err
	})
	return columns, err
}

func (p *pointReader) column(name []byte) ([]collection.NamedVector, error) {
	list := []collection.NamedVector{}
	err := p.array(func() error {
		if len(list) == p.limits.BatchPoints {
			return p.tooMany()
		}
		v, err := p.namedVector(name)
		list = append(list, v)
		return err
	})
	return list, err
}

// dense reads a list of numbers.
func (p *pointReader) dense() ([]float32, error) {
	v, ok := p.plain(make([]float32, 0, p.length))
	if ok {
		p.length = len(v)
		return v, nil
	}
	v = v[:0]
	err := p.array(func() error {
		f, err := p.float32()
		switch {
		case err != nil:
			return p.several(err)
		case len(v) == p.limits.Dimension:
			return errValue("vector: length must be from 1 to " + strconv.Itoa(p.limits.Dimension))
		}
		v = append(v, f)
		return nil
	})
	p.length = len(v)
	return v, err
}

// plain reads what most lists of numbers are, and most of an upsert is: numbers,
// commas, at most one space between them. It reports false, and has read
// nothing, where there is anything else.
func (p *pointReader) plain(v []float32) ([]float32, bool) {
	if p.peek() != '[' || p.depth == p.depthMax {
		return v, false
	}
	b := p.b
	for i := p.i + 1; i < len(b) && len(v) < p.limits.Dimension; i++ {
		if b[i] == ' ' {
			i++
		}
		f, n := scanFloat32(b[i:])
		if i += n; n == 0 || i == len(b) {
			return v, false
		}
		v = append(v, f)
		if b[i] == ']' {
			p.i = i + 1
			return v, true
		}
		if b[i] != ',' {
			return v, false
		}
	}
	return v, false
}

// several is the error for an element of a vector that cannot be read: a list
// there is a vector of vectors.
func (p *pointReader) several(err error) error {
	if p.i < len(p.b) && p.b[p.i] == ']' {
		return collection.Errorf(collection.Unimplemented, "vectors of several vectors are not supported yet")
	}
	return err
}

// sparse reads {"indices": list, "values": list}.
func (p *pointReader) sparse() (*collection.SparseVector, error) {
	var v collection.SparseVector
	err := p.object(func(key []byte) error {
		known, err := p.sparseMember(&v, key)
		if err == nil && !known {
			err = p.skip()
		}
		return err
	})
	if err == nil {
		err = p.checkSparse(&v)
	}
	return &v, err
}

// sparseMember reads the member key of a sparse vector, if it is one. What a
// model would have to make a vector of is refused.
func (p *pointReader) sparseMember(v *collection.SparseVector, key []byte) (known bool, err error) {
	switch string(key) {
	case "indices":
		v.Indices, err = p.indices()
	case "values":
		v.Values, err = p.values()
	case "text", "image", "object", "model":
		err = collection.Errorf(collection.Unimplemented, "vectors of a %s are not made here: send the vector", key)
	default:
		return false, nil
	}
	return true, err
}

// checkSparse refuses what has not both parts, in the same length.
func (p *pointReader) checkSparse(v *collection.SparseVector) error {
	switch {
	case v.Indices == nil || v.Values == nil:
		return p.fault("data did not match any variant of untagged enum Vector")
	case len(v.Indices) != len(v.Values):
		return errValue("vector.values: must be the same length as indices")
	}
	return nil
}

func (p *pointReader) indices() ([]uint32, error) {
	list := []uint32{}
	err := p.array(func() error {
		n, err := p.uint()
		switch {
		case err != nil:
			return err
		case n > math.MaxUint32:
			p.i--
			return p.fault("invalid value: integer `%d`, expected u32", n)
		case len(list) == collection.SparseMax:
			return tooLong("indices")
		}
		list = append(list, uint32(n))
		return nil
	})
	return list, err
}

func (p *pointReader) values() ([]float32, error) {
	list := []float32{}
	err := p.array(func() error {
		f, err := p.float32()
		switch {
		case err != nil:
			return err
		case len(list) == collection.SparseMax:
			return tooLong("values")
		}
		list = append(list, f)
		return nil
	})
	return list, err
}

func tooLong(what string) error {
	return errValue("vector." + what + ": more than " + strconv.Itoa(collection.SparseMax))
}

// updateVectors reads {"points": [{"id", "vector"}]}.
func (p *pointReader) updateVectors() ([]collection.Point, error) {
	var points []collection.Point
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "points":
			points, err = p.pointList()
			return err
		case "shard_key", "update_filter":
			return p.absent(string(key))
		}
		return p.skip()
	})
	switch {
	case err != nil:
		return nil, err
	case points == nil:
		return nil, p.fault("missing field `points`")
	case len(points) == 0:
		return nil, errValue("points: must specify points to update")
	}
	for i := range points {
		points[i].Payload = nil // a member that this request does not have
	}
	return points, nil
}

// vectorsChange reads {"vector": names} and a selection.
func (p *pointReader) vectorsChange() (*collection.VectorsChange, error) {
	var change collection.VectorsChange
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "vector", "vectors":
			change.Names, err = p.vectorNames()
			return err
		}
		return p.selection(&change.Selection, key)
	})
	switch {
	case err != nil:
	case change.Names == nil:
		err = p.fault("missing field `vector`")
	case len(change.Names) == 0:
		err = errValue("vector: must specify vector names to delete")
	default:
		_, err = settled(&change.Selection, noSelection)
	}
	return &change, err
}

// vectorNames reads a list of names of vectors.
func (s *scanner) vectorNames() ([]string, error) {
	names := []string{}
	err := s.array(func() error {
		name, err := s.str()
		switch {
		case err != nil:
			return err
		case len(names) == collection.VectorsMax:
			return tooManyVectors()
		}
		names = append(names, string(name))
		return nil
	})
	return names, err
}
