package collection

import (
	"math"
	"slices"
	"strings"

	"github.com/hivehub/waggle/index/sparse"
)

// How many components a sparse vector may have: a stored one, and one to search
// with.
const (
	SparseMax      = sparse.TermsMax
	SparseQueryMax = sparse.QueryTermsMax
)

func sizeOfNamed(vectors []NamedVector) int {
	size := 0
	for i := range vectors {
		size += recordEntry + 4*len(vectors[i].Dense)
		if s := vectors[i].Sparse; s != nil {
			size += 8 * len(s.Indices)
		}
	}
	return size
}

// finalRecord appends the record of a point with its vectors prepared, and the
// texts of its payload. Most points have one vector, which is the first of the
// collection.
func finalRecord(dst []byte, r *textReader, p *Point) ([]byte, error) {
	c := r.config
	if p.Vectors != nil || len(c.Text) > 0 || p.Vector != nil && (len(c.Vectors) == 0 || c.Vectors[0].Name != "") {
		values, err := c.valuesOf(p)
		if err == nil {
			values, err = r.texts(values, p.Payload)
		}
		if err != nil {
			return nil, err
		}
		return appendRecord(dst, p.ID, values, p.Payload)
	}
	final := *p
	if p.Vector != nil {
		var err error
		if final.Vector, err = prepare(&c.Vectors[0], p.Vector); err != nil {
			return nil, err
		}
	}
	return EncodeRecord(dst, final)
}

// valuesOf returns a point's vectors, prepared, in the order of their refs.
func (c *Config) valuesOf(p *Point) ([]vectorValue, error) {
	named := p.Vectors
	if p.Vector != nil {
		named = append([]NamedVector{{Dense: p.Vector}}, named...)
	}
	if len(named) > VectorsMax {
		return nil, invalid("vector: %d vectors, must be at most %d", len(named), VectorsMax)
	}
	values := make([]vectorValue, len(named))
	for i, v := range named {
		ref, ok := c.Ref(v.Name)
		if !ok {
			return nil, noVector(v.Name)
		}
		in, err := c.prepared(ref, Input{Dense: v.Dense, Sparse: v.Sparse}, SparseMax)
		if err != nil {
			return nil, err
		}
		values[i] = vectorValue{ref: ref, dense: in.Dense}
		if in.Sparse != nil {
			values[i].sparse = *in.Sparse
		}
	}
	slices.SortFunc(values, func(a, b vectorValue) int { return a.ref.compare(b.ref) })
	for i := 1; i < len(values); i++ {
		if values[i].ref == values[i-1].ref {
			name, _ := c.Name(values[i].ref)
			return nil, invalid("vector: the vector %q is there twice", clip(name))
		}
	}
	return values, nil
}

// noVector is the error for a write that names a vector that is not there.
func noVector(name string) *Error {
	return Errorf(InvalidArgument, "Not existing vector name error: %s", clip(name))
}

// Prepare returns what a caller gave to compare with as it is compared, and
// with which vector: using is its name. An id stays what it is. Words that
// nothing is named for are compared with the first text.
func (c Config) Prepare(using string, in Input) (Input, VectorRef, error) {
	if in.Text != nil && using == "" {
		if len(c.Text) == 0 {
			return in, VectorRef{}, Errorf(InvalidArgument, "the collection has no texts: it was created without an index of them")
		}
		using = c.Text[0].Name
	}
	ref, ok := c.Ref(using)
	if !ok {
		return in, ref, c.missingVector(using)
	}
	if in.ID != nil {
		return in, ref, nil
	}
	in, err := c.prepared(ref, in, SparseQueryMax)
	return in, ref, err
}

// missingVector is the error for a search that names a vector that is not there.
func (c Config) missingVector(name string) *Error {
	names := make([]string, 0, len(c.Vectors)+len(c.Sparse)+len(c.Text))
	for i := range c.Vectors {
		names = append(names, c.Vectors[i].Name)
	}
	for i := range c.Sparse {
		names = append(names, c.Sparse[i].Name)
	}
	for i := range c.Text {
		names = append(names, c.Text[i].Name)
	}
	switch {
	case len(names) == 0:
		return Errorf(InvalidArgument, "Vectors are not configured in this collection")
	case len(names) == 1 && names[0] == "":
		return Errorf(InvalidArgument, "Vector with name %s is not configured in this collection", clip(name))
	case name == "":
		return Errorf(InvalidArgument, "Collection requires specified vector name in the request, available names: %s", strings.Join(names, ", "))
	}
	return Errorf(InvalidArgument, "Vector with name `%s` is not configured in this collection, available names: %s", clip(name), strings.Join(names, ", "))
}

// Distance returns how vectors of a ref of c are compared.
func (c Config) Distance(ref VectorRef) Distance {
	if ref.Kind != DenseKind {
		return Dot // the score is a sum of products, or BM25's
	}
	return c.Vectors[ref.Number].Distance
}

// prepared returns a vector as it is stored and searched. most bounds a sparse one.
func (c *Config) prepared(ref VectorRef, in Input, most int) (Input, error) {
	if in.Text != nil || in.Terms != nil || ref.Kind == TextKind {
		return c.preparedText(ref, in)
	}
	if (in.Sparse != nil) != (ref.Kind == SparseKind) {
		return in, Errorf(InvalidArgument, "Conversion between sparse and regular vectors failed")
	}
	if in.Sparse != nil {
		v, err := prepareSparse(*in.Sparse, most)
		return Input{Sparse: &v}, err
	}
	v, err := prepare(&c.Vectors[ref.Number], in.Dense)
	return Input{Dense: v}, err
}

// prepare returns a dense vector as it is stored and searched: checked, and of
// unit length for Cosine. It does not change v.
func prepare(params *VectorParams, v []float32) ([]float32, error) {
	if len(v) != params.Size {
		return nil, Errorf(InvalidArgument, "Vector dimension error: expected dim: %d, got %d", params.Size, len(v))
	}
	if err := checkFinite(v); err != nil {
		return nil, err
	}
	if params.Distance == Cosine {
		return normalised(v), nil
	}
	return v, nil
}

func checkFinite(v []float32) error {
	for i, x := range v {
		if x-x != 0 { // NaN for NaN and the infinities, 0 for every other
			return invalid("vector[%d]: %v is not a finite number", i, x)
		}
	}
	return nil
}

// prepareSparse returns a sparse vector as it is stored and searched: checked,
// and its indices ascending. It does not change v.
func prepareSparse(v SparseVector, most int) (SparseVector, error) {
	if len(v.Indices) != len(v.Values) {
		return v, invalid("vector.values: must be the same length as indices")
	}
	if len(v.Indices) > most {
		return v, invalid("vector.indices: %d indices, must be at most %d", len(v.Indices), most)
	}
	if err := checkFinite(v.Values); err != nil {
		return v, err
	}
	if !slices.IsSorted(v.Indices) {
		v = sorted(v)
	}
	for i := 1; i < len(v.Indices); i++ {
		if v.Indices[i] == v.Indices[i-1] {
			return v, invalid("vector.indices: must be unique")
		}
	}
	return v, nil
}

// sorted returns v with ascending indices.
func sorted(v SparseVector) SparseVector {
	type component struct {
		index uint32
		value float32
	}
	list := make([]component, len(v.Indices))
	for i := range list {
		list[i] = component{v.Indices[i], v.Values[i]}
	}
	slices.SortFunc(list, func(a, b component) int { return int(int64(a.index) - int64(b.index)) })
	out := SparseVector{Indices: make([]uint32, len(list)), Values: make([]float32, len(list))}
	for i, c := range list {
		out.Indices[i], out.Values[i] = c.index, c.value
	}
	return out
}

// normalised returns v at unit length. The zero vector has no direction and
// stays what it is.
func normalised(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return v
	}
	norm := math.Sqrt(sum)
	unit := make([]float32, len(v))
	for i, x := range v {
		unit[i] = float32(float64(x) / norm)
	}
	return unit
}

func finalizeUpdateVectors(c *Config, points []Point, l Limits) (Op, error) {
	for i := range points {
		if points[i].Payload != nil {
			return nil, Errorf(Internal, "a payload in an update of vectors")
		}
	}
	records, err := finalRecords(c, points, l)
	return UpdateVectors{Records: records}, err
}

func finalizeDeleteVectors(c *Config, w VectorsChange, l Limits) (Op, error) {
	if err := checkIDs(w.Selection, l); err != nil {
		return nil, err
	}
	if len(w.Names) == 0 {
		return nil, invalid("vector: must specify vector names to delete")
	}
	op := DeleteVectors{IDs: w.IDs}
	for _, name := range w.Names {
		ref, ok := c.Ref(name)
		if !ok {
			return nil, noVector(name)
		}
		if ref.Kind == TextKind {
			return nil, invalid("vector: %q is made of the payload's member %q: remove that", clip(name), clip(c.Text[ref.Number].Field))
		}
		if !slices.Contains(op.Vectors, ref) {
			op.Vectors = append(op.Vectors, ref)
		}
	}
	return op, nil
}

// finalizeBatch makes one operation of many. Together they may have as many
// points and bytes as one.
func finalizeBatch(info Info, writes []Write, l Limits) (Op, error) {
	if len(writes) > BatchOpsMax {
		return nil, tooLarge("%d operations in one request, at most %d are allowed", len(writes), BatchOpsMax)
	}
	batch := Batch{Ops: make([]Op, len(writes))}
	points, size := 0, 0
	for i, w := range writes {
		if w.Batch != nil {
			return nil, Errorf(Internal, "a batch in a batch")
		}
		op, err := Finalize(info, w, l)
		if err != nil {
			return nil, err
		}
		n, bytes := sizeOfOp(op)
		points, size = points+n, size+bytes
		if err := checkBatch(points, l); err != nil {
			return nil, err
		}
		if size > l.BodyBytes {
			return nil, tooLarge("the operations are larger than %d bytes", l.BodyBytes)
		}
		batch.Ops[i] = op
	}
	return batch, nil
}

// sizeOfOp is how many points an operation names, and how long what it brings
// is.
func sizeOfOp(op Op) (points, bytes int) {
	records := func(list []Record) (int, int) {
		for _, r := range list {
			bytes += len(r.raw)
		}
		return len(list), bytes
	}
	switch op := op.(type) {
	case Upsert:
		return records(op.Records)
	case UpdateVectors:
		return records(op.Records)
	case DeletePoints:
		return len(op.IDs), 0
	case DeleteVectors:
		return len(op.IDs), 0
	case SetPayload:
		return len(op.IDs), len(op.Payload)
	case OverwritePayload:
		return len(op.IDs), len(op.Payload)
	case DeletePayload:
		for _, key := range op.Keys {
			bytes += len(key)
		}
		return len(op.IDs), bytes
	case ClearPayload:
		return len(op.IDs), 0
	case ChangeTexts:
		points, bytes = sizeOfOp(op.Op)
		for _, c := range op.Texts {
			bytes += len(c.Part)
		}
		return points, bytes
	}
	return 0, 0
}
