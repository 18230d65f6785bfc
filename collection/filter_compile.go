package collection

import "fmt"

// Matcher is a filter made ready for a scan: it reads stored payloads where
// they lie, and only as far as it has to. It is safe for concurrent use.
type Matcher struct{ all checkGroup }

// Compile returns the filter's Matcher for the points of a collection of that
// configuration. It shares nothing that later changes of the filter could
// reach. A nil filter passes every point.
func (f *Filter) Compile(c Config) *Matcher {
	return &Matcher{compiler{c.Bit}.filter(f)}
}

// MatchesRecord reports whether a point passes: its id, its payload as
// AppendPayload stored it (or no bytes), and which vectors it has. It allocates
// nothing. Of malformed bytes it reports something, and
// never panics: that they are whole is the store's to know.
func (m *Matcher) MatchesRecord(id PointID, payload []byte, vectors VectorSet) bool {
	return m.all.passes(stored{id, payload, vectors})
}

// stored is a subject whose payload is bytes.
type stored struct {
	id      PointID
	payload []byte
	vectors VectorSet
}

// check is a compiled condition.
type check interface {
	passes(s stored) bool
}

type checkGroup struct {
	must, should, mustNot, min []check
	minCount                   uint64
}

func (g *checkGroup) passes(s stored) bool {
	for _, c := range g.must {
		if !c.passes(s) {
			return false
		}
	}
	for _, c := range g.mustNot {
		if c.passes(s) {
			return false
		}
	}
	return atLeast(1, g.should, s) && atLeast(g.minCount, g.min, s)
}

// atLeast reports whether n of the checks pass; no checks demand nothing.
func atLeast(n uint64, checks []check, s stored) bool {
	if len(checks) == 0 || n == 0 {
		return true
	}
	for _, c := range checks {
		if c.passes(s) {
			if n--; n == 0 {
				return true
			}
		}
	}
	return false
}

// compiler makes checks of conditions. It knows the vectors of a collection.
type compiler struct {
	bit func(name string) VectorSet
}

func (m compiler) filter(f *Filter) checkGroup {
	if f == nil {
		return checkGroup{}
	}
	g := checkGroup{must: m.conditions(f.Must), should: m.conditions(f.Should), mustNot: m.conditions(f.MustNot)}
	if f.MinShould != nil {
		g.min, g.minCount = m.conditions(f.MinShould.Conditions), f.MinShould.Count
	}
	return g
}

func (m compiler) conditions(conditions []Condition) []check {
	checks := make([]check, len(conditions))
	for i, c := range conditions {
		checks[i] = m.condition(c)
	}
	return checks
}

func (m compiler) condition(c Condition) check {
	switch c := c.(type) {
	case *Filter:
		g := m.filter(c)
		return &g
	case Field:
		area, _ := c.Is.(area)
		return &fieldCheck{key: c.Key, is: compilePredicate(c.Is), area: area}
	case ValuesCount:
		return &countCheck{c}
	case IsEmpty:
		return &emptyCheck{c.Key}
	case IsNull:
		return &nullCheck{c.Key}
	case HasID:
		return idCheck(setOf(c.IDs))
	case HasVector:
		return vectorCheck(m.bit(c.Name))
	case Nested:
		return &nestedCheck{key: c.Key.elements(), all: m.filter(c.Filter)}
	}
	panic(fmt.Sprintf("BUG: filter condition of type %T", c))
}

func compilePredicate(p Predicate) Predicate {
	switch p := p.(type) {
	case MatchAny:
		return &members{strings: setOf(p.Strings), ints: setOf(p.Ints)}
	case MatchExcept:
		return &members{strings: setOf(p.Strings), ints: setOf(p.Ints), except: true}
	}
	return p
}

func setOf[T comparable](list []T) map[T]struct{} {
	set := make(map[T]struct{}, len(list))
	for _, v := range list {
		set[v] = struct{}{}
	}
	return set
}

// members is MatchAny, or MatchExcept, with sets for lists.
type members struct {
	strings map[string]struct{}
	ints    map[int64]struct{}
	except  bool
}

func (m *members) accepts(v value) bool {
	has := false
	switch v.kind {
	case kindNull:
		return false
	case kindString:
		_, has = m.strings[v.text]
	case kindInt:
		_, has = m.ints[int64(v.bits)]
	}
	return has != m.except
}

type idCheck map[PointID]struct{}

func (c idCheck) passes(s stored) bool {
	_, ok := c[s.id]
	return ok
}

// vectorCheck is the vector that the condition names, or nothing.
type vectorCheck VectorSet

func (c vectorCheck) passes(s stored) bool { return VectorSet(c)&s.vectors != 0 }

type fieldCheck struct {
	key  Path
	is   Predicate
	area area // nil unless is is one
}

func (c *fieldCheck) passes(s stored) bool { return walk(s.payload, c.key, c) == passed }

func (c *fieldCheck) value(b []byte) bool {
	v, inner, ok := readValue(b)
	if !ok || v.kind != kindArray {
		return ok && c.accepts(v, inner)
	}
	return anyElement(v, inner, c.accepts)
}

// accepts reports on one value; inner is what follows its head.
func (c *fieldCheck) accepts(v value, inner []byte) bool {
	if c.area == nil {
		return c.is.accepts(v)
	}
	lon, okLon := readFloat(findKey(v, inner, "lon"))
	lat, okLat := readFloat(findKey(v, inner, "lat"))
	return okLon && okLat && c.area.contains(GeoPoint{Lon: lon, Lat: lat})
}

func readFloat(b []byte) (float64, bool) {
	v, _, ok := readValue(b)
	f, isNumber := v.float()
	return f, ok && isNumber
}

type countCheck struct{ ValuesCount }

func (c *countCheck) passes(s stored) bool {
	switch walk(s.payload, c.Key, c) {
	case absent:
		return c.contains(0)
	case passed:
		return true
	}
	return false
}

func (c *countCheck) value(b []byte) bool { return c.contains(countAt(b)) }

// countAt is elementCount of a stored value.
func countAt(b []byte) uint64 {
	v, _, ok := readValue(b)
	switch {
	case !ok || v.kind == kindNull:
		return 0
	case v.kind == kindArray:
		return v.bits
	}
	return 1
}

// emptyCheck looks for a value that is not empty.
type emptyCheck struct{ key Path }

func (c *emptyCheck) passes(s stored) bool { return walk(s.payload, c.key, c) != passed }

func (c *emptyCheck) value(b []byte) bool { return countAt(b) > 0 }

type nullCheck struct{ key Path }

func (c *nullCheck) passes(s stored) bool { return walk(s.payload, c.key, c) == passed }

func (c *nullCheck) value(b []byte) bool {
	v, inner, ok := readValue(b)
	if !ok || v.kind != kindArray {
		return ok && v.kind == kindNull
	}
	return anyElement(v, inner, func(e value, _ []byte) bool { return e.kind == kindNull })
}

type nestedCheck struct {
	key Path
	all checkGroup
}

func (c *nestedCheck) passes(s stored) bool { return walk(s.payload, c.key, c) == passed }

func (c *nestedCheck) value(b []byte) bool {
	v, _, ok := readValue(b)
	return ok && v.kind == kindMap && c.all.passes(stored{payload: b})
}

// outcome is what a walk found at a path.
type outcome uint8

const (
	absent outcome = iota // no value
	failed                // values, none of which passed
	passed
)

// walk goes along a path through the stored value that b begins with, and asks
// c about every value it leads to, until one passes.
func walk(b []byte, path Path, c interface{ value(b []byte) bool }) outcome {
	if len(path) == 0 {
		if c.value(b) {
			return passed
		}
		return failed
	}
	v, inner, ok := readValue(b)
	if !ok {
		return absent
	}
	if path[0].kind == stepKey {
		if inner = findKey(v, inner, path[0].key); inner == nil {
			return absent
		}
		return walk(inner, path[1:], c)
	}
	found := absent
	if v.kind != kindArray {
		return found
	}
	for i := 0; uint64(i) < v.bits && found != passed && ok; i++ {
		if path[0].fits(i) {
			found = max(found, walk(inner, path[1:], c))
		}
		inner, ok = skipValue(inner)
	}
	return found
}

// anyElement reports whether accepts is true for an element of the array v,
// whose elements inner begins with.
func anyElement(v value, inner []byte, accepts func(v value, inner []byte) bool) bool {
	for range v.bits {
		e, after, ok := readValue(inner)
		if !ok {
			return false
		}
		if accepts(e, after) {
			return true
		}
		if inner, ok = skipValue(inner); !ok {
			return false
		}
	}
	return false
}

// findKey returns what follows a key of the map v, whose entries inner begins
// with: the key's value and what comes after. It is nil when there is no such
// key or v is no map.
func findKey(v value, inner []byte, key string) []byte {
	if v.kind != kindMap {
		return nil
	}
	for range v.bits {
		k, after, ok := readValue(inner)
		if !ok || k.kind != kindString || k.text > key {
			return nil
		}
		if k.text == key {
			return after
		}
		if inner, ok = skipValue(after); !ok {
			return nil
		}
	}
	return nil
}
