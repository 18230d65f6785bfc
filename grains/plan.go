package grains

import (
	"slices"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/tally"
	"github.com/hivehub/waggle/tenant"
)

// plan is a query made ready for the index: names are places, ids are the
// vectors that they stand for, and everything is checked.
type plan struct {
	query    *collection.Query
	prefetch []plan
	input    collection.Input // to compare with; nothing for a fusion and a list by ids
	table    int              // where it compares, -1 for nowhere
	distance collection.Distance
}

// planned is the plan of a whole query.
type planned struct {
	plan
	asked   collection.Query
	exclude []collection.PointID // named in the query: left out, whatever named them
	need    tableSet
	cost    tally.Counts // of its execution
}

// tableSet is a set of a collection's tables.
type tableSet [collection.VectorsMax/64 + 1]uint64

func (s *tableSet) add(n int) { s[n/64] |= 1 << (n % 64) }

func (s *tableSet) has(n int) bool { return s[n/64]>>(n%64)&1 == 1 }

// planner makes a plan. Everything it reads is of one state of the partition.
type planner struct {
	reader collection.Reader
	tenant tenant.Context
	info   *collection.Info
	out    *planned
}

// planOf makes the plan of out.asked, which is valid.
func planOf(r collection.Reader, tc tenant.Context, info *collection.Info, out *planned) error {
	p, q := planner{reader: r, tenant: tc, info: info, out: out}, &out.asked
	if err := p.plan(&out.plan, q); err != nil {
		return err
	}
	if q.WithVector.None() {
		return nil
	}
	for i := range info.Config.Vectors {
		if q.WithVector.Wants(info.Config.Vectors[i].Name) {
			out.need.add(i)
		}
	}
	return nil
}

func (p *planner) plan(to *plan, q *collection.Query) error {
	to.query, to.table = q, -1
	switch {
	case q.Nearest != nil:
		if err := p.nearest(to, q); err != nil {
			return err
		}
	case q.Recommend != nil:
		if err := p.recommend(to, q); err != nil {
			return err
		}
	case q.Fusion == nil:
		p.out.need.add(0)
		p.out.need.add(p.tables() - 1)
	}
	if len(q.Prefetch) > 0 {
		to.prefetch = make([]plan, len(q.Prefetch))
	}
	for i := range q.Prefetch {
		if err := p.plan(&to.prefetch[i], &q.Prefetch[i]); err != nil {
			return err
		}
	}
	return nil
}

// tables is how many tables the collection has, see newTables.
func (p *planner) tables() int {
	c := &p.info.Config
	return len(c.Vectors) + len(c.Sparse) + len(c.Text) + 1
}

// compare says where a plan compares, and with what.
func (p *planner) compare(to *plan, in collection.Input, ref collection.VectorRef) {
	to.input, to.distance, to.table = in, p.info.Config.Distance(ref), int(ref.Number)
	if ref.Kind != collection.DenseKind {
		to.table += len(p.info.Config.Vectors)
	}
	if ref.Kind == collection.TextKind {
		to.table += len(p.info.Config.Sparse)
	}
	p.out.need.add(to.table)
}

func (p *planner) nearest(to *plan, q *collection.Query) error {
	in, ref, err := p.info.Config.Prepare(q.Using, *q.Nearest)
	if err != nil {
		return err
	}
	if in.ID != nil {
		from, err := p.source(q)
		if err != nil {
			return err
		}
		var has bool
		if in, has, err = from.vector(p, *in.ID); err != nil {
			return err
		}
		if !has {
			return collection.Errorf(collection.NotFound, "Vector with name %q for point not found", from.name)
		}
		if in, ref, err = from.prepared(p, q, in, ref); err != nil {
			return err
		}
	}
	if q.MMR != nil && ref.Kind == collection.TextKind {
		return collection.Errorf(collection.InvalidArgument, "how alike texts are is not known: mmr needs a vector")
	}
	p.compare(to, in, ref)
	return nil
}

// recommend replaces the examples by their average. An example that is a point
// without the vector is passed over, as in Qdrant.
func (p *planner) recommend(to *plan, q *collection.Query) error {
	examples := [2][]collection.Input{q.Recommend.Positive, q.Recommend.Negative}
	named := func(in collection.Input) bool { return in.ID != nil }
	var from source
	var err error
	if slices.ContainsFunc(examples[0], named) || slices.ContainsFunc(examples[1], named) {
		if from, err = p.source(q); err != nil {
			return err
		}
	}
	var lists [2][]collection.Input
	for i, list := range examples {
		for _, in := range list {
			has := true
			switch {
			case in.ID != nil:
				in, has, err = from.vector(p, *in.ID)
			case in.Sparse != nil || in.Text != nil:
				in, _, err = p.info.Config.Prepare(q.Using, in)
			}
			if err != nil {
				return err
			}
			if has {
				lists[i] = append(lists[i], in)
			}
		}
	}
	average, err := collection.Average(lists[0], lists[1])
	if err != nil {
		return err
	}
	in, ref, err := p.info.Config.Prepare(q.Using, average)
	if err != nil {
		return err
	}
	p.compare(to, in, ref)
	return nil
}

// source is where the points are that a query names.
type source struct {
	info *collection.Info
	ref  collection.VectorRef
	name string // of the vector
}

// source finds where LookupFrom leads: never out of the tenant, and nowhere
// that the key is not for.
func (p *planner) source(q *collection.Query) (source, error) {
	s := source{info: p.info, name: q.Using}
	if from := q.LookupFrom; from != nil {
		info, err := lookup(p.reader, p.tenant, from.Collection)
		if err != nil {
			return s, err
		}
		if s.info = &info; from.Vector != nil {
			s.name = *from.Vector
		}
	}
	ref, ok := s.info.Config.Ref(s.name)
	if !ok {
		_, _, err := s.info.Config.Prepare(s.name, collection.Input{ID: new(collection.PointID)})
		return s, err
	}
	s.ref = ref
	return s, nil
}

// vector returns a stored vector, and whether the point has it. A point of the
// collection itself is not to be found by the query.
func (s *source) vector(p *planner, id collection.PointID) (in collection.Input, has bool, err error) {
	rec, _, there, err := collection.GetPoint(p.reader, s.info.ID, id)
	if err != nil {
		return in, false, err
	}
	if !there {
		return in, false, collection.Errorf(collection.NotFound, "No point with id %s found", id)
	}
	if s.info.ID == p.info.ID {
		p.out.exclude = append(p.out.exclude, id)
	}
	if s.ref.Kind == collection.SparseKind {
		v, ok := rec.Sparse(s.ref)
		return collection.Input{Sparse: &collection.SparseVector{
			Indices: append([]uint32{}, v.Indices...), Values: append([]float32{}, v.Values...),
		}}, ok, nil
	}
	if s.ref.Kind == collection.TextKind {
		t, ok := rec.Text(s.ref, collection.TextTerms{})
		return collection.Input{Terms: &t}, ok, nil
	}
	v := rec.Dense(s.ref)
	return collection.Input{Dense: append([]float32(nil), v...)}, v != nil, nil
}

// prepared makes a stored vector one to compare with. That of the same place
// is one already.
func (s *source) prepared(p *planner, q *collection.Query, in collection.Input, ref collection.VectorRef) (collection.Input, collection.VectorRef, error) {
	if s.info.ID == p.info.ID && s.ref == ref && in.Dense != nil {
		return in, ref, nil
	}
	return p.info.Config.Prepare(q.Using, in)
}

// What the work of searches is thought to take, before it is measured.
const (
	searchCost   = 20 * time.Microsecond // whatever is asked
	valuesANano  = 8                     // that a scan compares
	walkedOfEach = 24                    // neighbours that a walk compares for each of its width
)

// cost is what a part of a query is thought to take. It takes no lock.
func (l *liveIndex) cost(p *plan) time.Duration {
	d := searchCost
	for i := range p.prefetch {
		d += l.cost(&p.prefetch[i])
	}
	if p.table < 0 || len(p.prefetch) > 0 {
		return d
	}
	t := l.tables[p.table]
	if t.dense == nil {
		return d
	}
	compared := len(*t.rows.Load()) * rowsPerChunk
	if t.linked() > 0 {
		compared = min(compared, walkedOfEach*max(p.width(p.query.Limit), p.query.Limit, efSearchDefault))
	}
	return d + time.Duration(compared*l.info.Config.Vectors[t.ref.Number].Size/valuesANano)
}
