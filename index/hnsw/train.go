package hnsw

import (
	"github.com/hivehub/waggle/index/arena"
	"github.com/hivehub/waggle/index/flat"
	"github.com/hivehub/waggle/index/quantize"
)

const (
	sampleValues = 500_000 // that a scale is trained on, about
	cutShare     = 100     // one vector in so many outside the scale asks for another
)

// prepare sees to it that there are codes, and that they fit. Until there are
// enough vectors to learn from it returns false, and nothing is linked. When
// vectors come that are unlike those before, and as many again, the codes are
// made anew.
func (x *Index) prepare() bool {
	if x.memory.Load().ready && !x.outgrown() {
		return true
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	m := *x.memory.Load()
	if m.ready && !x.outgrown() {
		return true
	}
	v := x.flat.Pin()
	defer v.Release()
	if !m.ready && v.Len() < x.options.Threshold {
		return false
	}
	x.trained.Store(int64(v.Len()))
	values, err := sample(v, x.dim)
	if err != nil {
		return m.ready
	}
	scalar, ok := quantize.Train(x.metric, x.dim, values)
	if !ok && x.flat.Outside() { // codes that tell little are better than walks that read
		scalar, ok = quantize.New(x.metric, x.dim, quantize.Params{Step: 1})
	}
	if ok && !x.options.Floats {
		if err := x.encodeAll(&m, scalar); err != nil {
			return m.ready
		}
	}
	m.ready = true
	x.memory.Store(&m)
	return true
}

func (x *Index) outgrown() bool {
	vectors := x.vectors.Load()
	return x.cut.Load() > vectors/cutShare && vectors >= 2*x.trained.Load()
}

// encodeAll makes m the memory with codes of this scale for every slot. Walks
// under way go on with the codes they have, which stay as they are.
func (x *Index) encodeAll(m *memory, scalar *quantize.Scalar) error {
	codes := newCodes(x.arena, scalar)
	for slot := range x.used {
		if err := codes.room(slot); err != nil {
			return err
		}
	}
	old := *m
	m.scalar, m.codes = scalar, scalar.Codes(codes.Chunks, codes.Shift)
	x.cut.Store(0)
	if err := x.flat.Each(x.used, func(slot uint32, vector []float32) { x.encode(m, slot, vector) }); err != nil {
		*m = old // the disk's fault: what codes there are stay
		return err
	}
	x.bytes.Add(int64(x.used) * int64(codes.Stride+codes.extra))
	x.codes = codes
	return nil
}

func newCodes(a *arena.Arena, scalar *quantize.Scalar) slab {
	shape := scalar.Shape()
	return newSlab(a, shape.Stride, shape.Extra)
}

// encode gives the slot its codes.
func (x *Index) encode(m *memory, slot uint32, vector []float32) {
	switch m.scalar.Encode(&m.codes, slot, vector) {
	case quantize.Cutting:
		x.cut.Add(1)
		x.lossy.Store(true)
	case quantize.Rounding:
		if !x.lossy.Load() {
			x.lossy.Store(true)
		}
	}
}

// sample is vectors of a view, one after the other, from all of it.
func sample(v *flat.View, dim int) (values []float32, err error) {
	step := 1 + v.Len()*dim/sampleValues
	values = make([]float32, 0, (int(v.Slots())+step-1)/step*dim)
	for slot := uint32(0); slot < v.Slots(); slot += uint32(step) {
		var err error
		if values, err = v.Append(values, slot); err != nil {
			return nil, err
		}
	}
	return values, nil
}
