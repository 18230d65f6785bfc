package collection

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var filterSeed = flag.Uint64("filterseed", 1, "seed of the random filters")

// The compiled filter agrees with the plain one on random filters and
// payloads, and every kind of condition both passes and fails often enough
// for that to mean something.
func TestCompiledFilterMeansTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(*filterSeed, 0))
	payloads := make([]Payload, 400)
	stored := make([][]byte, len(payloads))
	for i := range payloads {
		payloads[i] = randomPayload(rng)
		var err error
		if stored[i], err = AppendPayload(nil, payloads[i]); err != nil {
			t.Fatal(err)
		}
	}
	type tally struct{ passed, failed int }
	seen := map[string]tally{}
	for n := range 20_000 {
		f := randomFilter(rng, 3)
		matcher := f.Compile(filteredConfig)
		for range 10 {
			i := rng.IntN(len(payloads))
			id, vectors := NumID(rng.Uint64N(4)), randomVectors(rng)
			want := f.Matches(id, payloads[i], vectors...)
			if got := matcher.MatchesRecord(id, stored[i], vectorsOf(vectors)); got != want {
				t.Fatalf("seed %d, filter %d: compiled %v, want %v\nfilter %s\npayload %s\nid %s, vectors %q",
					*filterSeed, n, got, want, shown(f), payloads[i].AppendJSON(nil), id, vectors)
			}
			for _, c := range f.Must {
				kind := kindOf(c)
				one := seen[kind]
				if (&Filter{Must: []Condition{c}}).Matches(id, payloads[i], vectors...) {
					one.passed++
				} else {
					one.failed++
				}
				seen[kind] = one
			}
		}
	}
	for kind, n := range seen {
		if n.passed < 100 || n.failed < 100 {
			t.Errorf("%s passed %d times and failed %d times", kind, n.passed, n.failed)
		}
	}
	if len(seen) != 18 {
		t.Errorf("%d kinds of conditions were tried, want 18: %v", len(seen), seen)
	}
}

// kindOf names what a condition is, with its predicate.
func kindOf(c Condition) string {
	if field, ok := c.(Field); ok {
		return fmt.Sprintf("%T", field.Is)
	}
	return fmt.Sprintf("%T", c)
}

// shown prints a filter with what is behind its pointers.
func shown(c Condition) string {
	switch c := c.(type) {
	case *Filter:
		var s strings.Builder
		s.WriteString("{")
		for _, l := range c.lists() {
			s.WriteString(l.name + ":[")
			for _, inner := range l.conditions {
				s.WriteString(shown(inner) + " ")
			}
			s.WriteString("] ")
		}
		return s.String() + "}"
	case Nested:
		return fmt.Sprintf("nested(%s %s)", c.Key, shown(c.Filter))
	case Field:
		return fmt.Sprintf("%s is %T%v", c.Key, c.Is, c.Is)
	}
	return fmt.Sprintf("%T%v", c, c)
}

func randomFilter(rng *rand.Rand, depth int) *Filter {
	conditions := func(most int) []Condition {
		list := make([]Condition, rng.IntN(most+1))
		for i := range list {
			list[i] = randomCondition(rng, depth)
		}
		return list
	}
	f := &Filter{Must: conditions(2), Should: conditions(2), MustNot: conditions(1)}
	if rng.IntN(4) == 0 {
		f.MinShould = &MinShould{Conditions: conditions(3), Count: rng.Uint64N(4)}
	}
	return f
}

func randomCondition(rng *rand.Rand, depth int) Condition {
	kinds := 18
	if depth == 0 {
		kinds = 15
	}
	switch rng.IntN(kinds) {
	case 10:
		return ValuesCount{randomKey(rng), randomBounds(rng, func() uint64 { return rng.Uint64N(4) })}
	case 11:
		return IsEmpty{randomKey(rng)}
	case 12:
		return IsNull{randomKey(rng)}
	case 13:
		return HasID{[]PointID{NumID(rng.Uint64N(4)), NumID(rng.Uint64N(4))}}
	case 14:
		return HasVector{[]string{"", "", "image", "words", "other"}[rng.IntN(5)]}
	case 15, 16:
		key := randomKey(rng)
		if rng.IntN(4) > 0 {
			key = Path{{key: "items"}}
		}
		return Nested{key, randomFilter(rng, depth-1)}
	case 17:
		return randomFilter(rng, depth-1)
	}
	is := randomPredicate(rng)
	key := randomKey(rng)
	switch is.(type) {
	case area:
		if rng.IntN(4) > 0 {
			key = Path{{key: "geo"}}
		}
	case DatetimeRange:
		if rng.IntN(4) > 0 {
			key = Path{{key: "when"}}
		}
	}
	return Field{key, is}
}

func randomPredicate(rng *rand.Rand) Predicate {
	values := Values{
		Strings: []string{randomText(rng), randomText(rng)}[:rng.IntN(3)],
		Ints:    []int64{rng.Int64N(4) - 1, rng.Int64N(4) - 1}[:rng.IntN(3)],
	}
	place := func() GeoPoint { return GeoPoint{float64(rng.IntN(5) - 2), float64(rng.IntN(5) - 2)} }
	switch rng.IntN(11) {
	case 0:
		return MatchString(randomText(rng))
	case 1:
		return MatchInt(rng.Int64N(4) - 1)
	case 2:
		return MatchBool(rng.IntN(2) == 0)
	case 3:
		return MatchText([]string{"", "r", "red", "x"}[rng.IntN(4)])
	case 4:
		return MatchAny{values}
	case 5:
		return MatchExcept{values}
	case 6:
		return Range{randomBounds(rng, func() float64 { return float64(rng.IntN(6))/2 - 1 })}
	case 7:
		return DatetimeRange{randomBounds(rng, func() int64 {
			micros, ok := ParseDatetime(randomDatetime(rng))
			if !ok {
				panic("BUG: not a datetime")
			}
			return micros
		})}
	case 8:
		at, size := place(), float64(rng.IntN(5))
		return GeoBox{TopLeft: GeoPoint{at.Lon - size, at.Lat + size}, BottomRight: GeoPoint{at.Lon + size - 1, at.Lat - size}}
	case 9:
		return GeoRadius{Center: place(), Metres: float64(rng.IntN(300_000))}
	}
	a, b, c := place(), place(), place()
	return GeoPolygon{Exterior: []GeoPoint{a, b, c, a}}
}

func randomBounds[T float64 | int64 | uint64](rng *rand.Rand, one func() T) (b Bounds[T]) {
	for _, bound := range []**T{&b.LT, &b.GT, &b.LTE, &b.GTE} {
		if rng.IntN(3) == 0 {
			v := one()
			*bound = &v
		}
	}
	return b
}

func randomKey(rng *rand.Rand) Path {
	p := Path{{key: []string{"a", "b", "c", "d", "missing"}[rng.IntN(5)]}}
	for rng.IntN(3) == 0 {
		switch rng.IntN(4) {
		case 0:
			p = append(p, step{key: []string{"a", "b"}[rng.IntN(2)]})
		case 1:
			p = append(p, step{kind: stepIndex, index: rng.IntN(3)})
		default:
			p = append(p, step{kind: stepEach})
		}
	}
	return p
}

// randomVectors is the names of some vectors of filteredConfig.
func randomVectors(rng *rand.Rand) (names []string) {
	for _, name := range []string{"", "image", "words"} {
		if rng.IntN(2) == 0 {
			names = append(names, name)
		}
	}
	return names
}

// A matcher must survive bytes that are no payload, and a scan must not
// allocate.
func FuzzMatchesRecord(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		b, err := AppendPayload(nil, randomPayload(rng))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(rng.Uint64(), b)
	}
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		filter := randomFilter(rand.New(rand.NewPCG(seed, 0)), 3)
		got := filter.Compile(filteredConfig).MatchesRecord(NumID(1), b, 1)
		if p, err := DecodePayload(b); err == nil && filter.Matches(NumID(1), p, "") != got {
			t.Fatalf("%s on %s: compiled %v", shown(filter), p.AppendJSON(nil), got)
		}
	})
}

// scanFilter is the filter of an ordinary application.
const scanFilter = `{"must":[{"key":"tenant","match":{"value":"acme"}},{"key":"price","range":{"gte":10,"lt":100}}],
	"must_not":[{"key":"tags","match":{"any":["old","draft"]}}]}`

func scanPayloads(tb testing.TB) (decoded []Payload, stored [][]byte) {
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range 1_000 {
		p := Payload{
			"author": "someone", "body": fmt.Sprintf("text number %d, as long as such a text will be", i), "lang": "en",
			"price": float64(rng.IntN(200)), "tags": []any{"new", []any{"old", "draft", "x", "y"}[rng.IntN(4)]},
			"tenant": []any{"acme", "acme", "other"}[rng.IntN(3)], "title": "t", "year": int64(2000 + i%25),
		}
		b, err := AppendPayload(nil, p)
		if err != nil {
			tb.Fatal(err)
		}
		decoded, stored = append(decoded, p), append(stored, b)
	}
	return decoded, stored
}

func TestMatchesRecordDoesNotAllocate(t *testing.T) {
	matcher := filterOf(t, `{"must":[`+scanFilter+`,{"should":[{"key":"tags","is_null":false},{"key":"year","values_count":{"gt":1}},
		{"nested":{"key":"tags","filter":{"must":{"has_id":[1]}}}},{"key":"lang","range":{"gt":"2024-01-01"}},{"key":"x","geo_radius":{"center":{"lon":0,"lat":0},"radius":1}}]}]}`).Compile(filteredConfig)
	_, stored := scanPayloads(t)
	i := 0
	if n := testing.AllocsPerRun(1_000, func() {
		matcher.MatchesRecord(NumID(uint64(i)), stored[i%len(stored)], 1)
		i++
	}); n != 0 {
		t.Errorf("%v allocations per record", n)
	}
}

func BenchmarkMatchesRecord(b *testing.B) {
	matcher := filterOf(b, scanFilter).Compile(filteredConfig)
	_, stored := scanPayloads(b)
	i, passed := 0, 0
	for b.Loop() {
		if matcher.MatchesRecord(NumID(1), stored[i%len(stored)], 1) {
			passed++
		}
		i++
	}
	b.ReportMetric(float64(passed)/float64(i), "passed/op")
}

func BenchmarkDecodeAndMatch(b *testing.B) {
	f := filterOf(b, scanFilter)
	_, stored := scanPayloads(b)
	i := 0
	for b.Loop() {
		p, err := DecodePayload(stored[i%len(stored)])
		if err != nil {
			b.Fatal(err)
		}
		f.Matches(NumID(1), p, "")
		i++
	}
}

func BenchmarkParsePayload(b *testing.B) {
	decoded, _ := scanPayloads(b)
	text := decoded[0].AppendJSON(nil)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := ParsePayload(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendPayload(b *testing.B) {
	decoded, _ := scanPayloads(b)
	var buf []byte
	for b.Loop() {
		var err error
		if buf, err = AppendPayload(buf[:0], decoded[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPayloadJSON(b *testing.B) {
	decoded, _ := scanPayloads(b)
	var buf []byte
	for b.Loop() {
		buf = decoded[0].AppendJSON(buf[:0])
	}
}
