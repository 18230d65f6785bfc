package collection

import "slices"

// SparseVector is a vector of which only some components are there: indices,
// each once, and the component at each. Stored and prepared ones ascend.
type SparseVector struct {
	Indices []uint32
	Values  []float32
}

// TextTerms are the words of a text as they are stored and searched: terms,
// each once and ascending, how often each is in the text, and how many words the
// text has.
type TextTerms struct {
	Terms  []uint64
	Counts []uint32
	Length uint32
}

// NamedVector is a vector of a point and its name. Exactly one of Dense and
// Sparse is set.
type NamedVector struct {
	Name   string
	Dense  []float32
	Sparse *SparseVector
}

// VectorKind is what a vector is made of. It is stored: append, never reorder.
type VectorKind uint8

// The kinds of vectors.
const (
	DenseKind VectorKind = iota + 1
	SparseKind
	TextKind
)

// VectorRef is what records call a vector: its kind, and its place in
// Config.Vectors, Config.Sparse or Config.Text. It outlives every change of the settings.
type VectorRef struct {
	Kind   VectorKind
	Number uint16
}

// first reports whether it is the vector that records of version 1 can hold.
func (r VectorRef) first() bool { return r == VectorRef{Kind: DenseKind} }

// compare orders refs as a record's table is ordered.
func (r VectorRef) compare(other VectorRef) int {
	if r.Kind != other.Kind {
		return int(r.Kind) - int(other.Kind)
	}
	return int(r.Number) - int(other.Number)
}

// VectorSet says which of its collection's vectors a point has: a bit for each
// of Config.Vectors, then of Config.Sparse, then of Config.Text.
type VectorSet uint64

// VectorSelector says which of a point's vectors are wanted. The zero value is
// none of them; at most one of All and Names is set.
type VectorSelector struct {
	All   bool
	Names []string
}

// None reports whether no vector is wanted.
func (s VectorSelector) None() bool { return !s.All && len(s.Names) == 0 }

// Wants reports whether the vector of that name is wanted.
func (s VectorSelector) Wants(name string) bool { return s.All || slices.Contains(s.Names, name) }

// Plain reports whether points have one vector, which is dense and unnamed.
func (c Config) Plain() bool {
	return len(c.Vectors) == 1 && c.Vectors[0].Name == "" && len(c.Sparse) == 0 && len(c.Text) == 0
}

// Ref returns the vector of that name, and whether there is one.
func (c Config) Ref(name string) (VectorRef, bool) {
	for i := range c.Vectors {
		if c.Vectors[i].Name == name {
			return VectorRef{Kind: DenseKind, Number: uint16(i)}, true
		}
	}
	for i := range c.Sparse {
		if c.Sparse[i].Name == name {
			return VectorRef{Kind: SparseKind, Number: uint16(i)}, true
		}
	}
	for i := range c.Text {
		if c.Text[i].Name == name {
			return VectorRef{Kind: TextKind, Number: uint16(i)}, true
		}
	}
	return VectorRef{}, false
}

// Check returns the error for a selector that names a vector that c has not. A
// text is none that can be asked for: it is in the payload.
func (c Config) Check(s VectorSelector) error {
	for _, name := range s.Names {
		if ref, ok := c.Ref(name); !ok || ref.Kind == TextKind {
			return noVector(name)
		}
	}
	return nil
}

// Name returns the name of a vector. A record may hold one that its collection
// does not know, if both are corrupt: that has the name "" and is not known.
func (c Config) Name(ref VectorRef) (name string, known bool) {
	n := int(ref.Number)
	switch {
	case ref.Kind == DenseKind && n < len(c.Vectors):
		return c.Vectors[n].Name, true
	case ref.Kind == SparseKind && n < len(c.Sparse):
		return c.Sparse[n].Name, true
	case ref.Kind == TextKind && n < len(c.Text):
		return c.Text[n].Name, true
	}
	return "", false
}

// Bit returns the set of one vector, which is empty when there is none of that
// name.
func (c Config) Bit(name string) VectorSet {
	ref, ok := c.Ref(name)
	if !ok {
		return 0
	}
	return c.bit(ref)
}

func (c Config) bit(ref VectorRef) VectorSet {
	at := int(ref.Number)
	if ref.Kind != DenseKind {
		at += len(c.Vectors)
	}
	if ref.Kind == TextKind {
		at += len(c.Sparse)
	}
	return 1 << at
}

// Has returns which vectors a record has.
func (c Config) Has(rec Record) VectorSet {
	if rec.raw[0] == recordVersion {
		if rec.end > rec.vector {
			return 1
		}
		return 0
	}
	var set VectorSet
	for i := range rec.count() {
		ref, _ := rec.entry(i)
		set |= c.bit(ref)
	}
	return set
}

// VectorsOf returns the wanted vectors of a record, copied: the default one, and
// the others in the order of the configuration. Texts are not among them: they
// are made of the payload wherever it is written.
func (c Config) VectorsOf(rec Record, want VectorSelector) (vector []float32, named []NamedVector) {
	if want.None() {
		return nil, nil
	}
	for _, p := range rec.parts() {
		name, known := c.Name(p.ref)
		switch {
		case !known || !want.Wants(name) || p.ref.Kind == TextKind:
		case p.ref.Kind == SparseKind:
			v := p.sparse()
			named = append(named, NamedVector{Name: name, Sparse: &SparseVector{
				Indices: slices.Clone(v.Indices), Values: slices.Clone(v.Values),
			}})
		case name == "":
			vector = slices.Clone(p.dense())
		default:
			named = append(named, NamedVector{Name: name, Dense: slices.Clone(p.dense())})
		}
	}
	return vector, named
}
