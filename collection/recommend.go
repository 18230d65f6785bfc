package collection

// Average returns the vector to search with for a Recommend whose ids were
// replaced by their vectors: the average of the positive ones, and where there
// are negative ones twice that less their average. It is calculated in float32,
// as Qdrant does, and is not prepared. Sparse inputs are.
func Average(positive, negative []Input) (Input, error) {
	for _, list := range [][]Input{positive, negative} {
		for _, in := range list {
			if in.Text != nil || in.Terms != nil {
				return Input{}, Errorf(InvalidArgument, "texts have no average")
			}
		}
	}
	if len(positive) == 0 {
		return Input{}, Errorf(InvalidArgument, "Positive vectors should not be empty with `average` strategy")
	}
	wanted := positive[0].Sparse != nil
	for _, list := range [][]Input{positive, negative} {
		for _, in := range list {
			if (in.Sparse != nil) != wanted {
				return Input{}, Errorf(InvalidArgument, "Can't average dense and sparse vectors together")
			}
			if n := len(positive[0].Dense); len(in.Dense) != n {
				return Input{}, Errorf(InvalidArgument, "Vector dimension error: expected dim: %d, got %d", n, len(in.Dense))
			}
		}
	}
	if wanted {
		v := averageSparse(positive)
		if len(negative) > 0 {
			v = combined(v, averageSparse(negative), away)
		}
		return Input{Sparse: &v}, nil
	}
	v := averageDense(positive)
	if len(negative) > 0 {
		for i, x := range averageDense(negative) {
			v[i] = away(v[i], x)
		}
	}
	return Input{Dense: v}, nil
}

func away(positive, negative float32) float32 { return positive + positive - negative }

func averageDense(list []Input) []float32 {
	sum := make([]float32, len(list[0].Dense))
	for _, in := range list {
		for i, x := range in.Dense {
			sum[i] += x
		}
	}
	for i := range sum {
		sum[i] /= float32(len(list))
	}
	return sum
}

func averageSparse(list []Input) SparseVector {
	var sum SparseVector
	for _, in := range list {
		sum = combined(sum, *in.Sparse, func(a, b float32) float32 { return a + b })
	}
	for i := range sum.Values {
		sum.Values[i] /= float32(len(list))
	}
	return sum
}

// combined puts two sparse vectors together, index by index. What one of them
// has not is 0.
func combined(a, b SparseVector, of func(a, b float32) float32) SparseVector {
	out := SparseVector{
		Indices: make([]uint32, 0, len(a.Indices)+len(b.Indices)),
		Values:  make([]float32, 0, len(a.Indices)+len(b.Indices)),
	}
	for i, j := 0, 0; i < len(a.Indices) || j < len(b.Indices); {
		var index uint32
		var x, y float32
		switch {
		case j == len(b.Indices) || i < len(a.Indices) && a.Indices[i] < b.Indices[j]:
			index, x = a.Indices[i], a.Values[i]
			i++
		case i == len(a.Indices) || b.Indices[j] < a.Indices[i]:
			index, y = b.Indices[j], b.Values[j]
			j++
		default:
			index, x, y = a.Indices[i], a.Values[i], b.Values[j]
			i, j = i+1, j+1
		}
		out.Indices, out.Values = append(out.Indices, index), append(out.Values, of(x, y))
	}
	return out
}
