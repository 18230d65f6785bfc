package collection

import (
	"strings"
	"testing"
)

// filterOf reads and validates a filter written as JSON.
func filterOf(t testing.TB, text string) *Filter {
	t.Helper()
	f, err := ParseFilter([]byte(text), DefaultLimits())
	if err != nil {
		t.Fatalf("filter %s: %v", text, err)
	}
	if err := f.Validate(DefaultLimits()); err != nil {
		t.Fatalf("filter %s: %v", text, err)
	}
	return f
}

// filtered is a point, its payload written as JSON, that a filter is asked
// about.
type filtered struct {
	id      PointID
	payload string
	vectors []string // names
}

// some is that a point has the default vector.
var some = []string{""}

// filteredConfig has vectors for a point to lack.
var filteredConfig = Config{
	Vectors: []VectorParams{{Size: 2, Distance: Dot}, {Name: "image", Size: 2, Distance: Cosine}},
	Sparse:  []SparseParams{{Name: "words"}},
}

// vectorsOf is the set of the vectors of these names.
func vectorsOf(names []string) (set VectorSet) {
	for _, name := range names {
		set |= filteredConfig.Bit(name)
	}
	return set
}

// check asks both forms of a filter whether the point passes.
func (c filtered) check(t *testing.T, filter string, want bool) {
	t.Helper()
	f, p := filterOf(t, filter), payloadOf(t, c.payload)
	if got := f.Matches(c.id, p, c.vectors...); got != want {
		t.Errorf("%s on %+v: %v, want %v", filter, c, got, want)
	}
	stored, err := AppendPayload(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Compile(filteredConfig).MatchesRecord(c.id, stored, vectorsOf(c.vectors)); got != want {
		t.Errorf("%s, compiled, on %+v: %v, want %v", filter, c, got, want)
	}
}

// conditionMeanings is what each condition means: payloads of point 7, which
// has a vector, that pass and that fail.
var conditionMeanings = map[string]struct{ pass, fail []string }{
	`{"key":"k","match":{"value":"red"}}`: {
		pass: []string{`{"k":"red"}`, `{"k":["blue","red"]}`},
		fail: []string{`{}`, `{"k":"Red"}`, `{"k":null}`, `{"k":[]}`, `{"k":[["red"]]}`, `{"k":{"red":1}}`, `{"k.a":"red"}`},
	},
	`{"key":"k","match":{"value":10}}`: {
		pass: []string{`{"k":10}`, `{"k":[1,10]}`},
		fail: []string{`{"k":10.0}`, `{"k":"10"}`, `{"k":11}`, `{"k":true}`, `{"k":18446744073709551615}`},
	},
	`{"key":"k","match":{"value":-1}}`:   {pass: []string{`{"k":-1}`}, fail: []string{`{"k":18446744073709551615}`}},
	`{"key":"k","match":{"value":true}}`: {pass: []string{`{"k":true}`}, fail: []string{`{"k":false}`, `{"k":1}`}},
	`{"key":"k","match":{"text":"good b"}}`: {
		pass: []string{`{"k":"a good book"}`, `{"k":["x","good boy"]}`},
		fail: []string{`{"k":"a Good book"}`, `{"k":"good, bad"}`, `{"k":1}`, `{}`},
	},
	`{"key":"k","match":{"any":["a","b"]}}`: {pass: []string{`{"k":"b"}`, `{"k":["z","a"]}`}, fail: []string{`{"k":"z"}`, `{"k":1}`, `{}`}},
	`{"key":"k","match":{"any":[1,2]}}`:     {pass: []string{`{"k":2}`}, fail: []string{`{"k":2.0}`, `{"k":"1"}`, `{"k":3}`}},
	`{"key":"k","match":{"any":[]}}`:        {fail: []string{`{"k":""}`, `{"k":0}`, `{"k":null}`, `{}`}},
	`{"key":"k","match":{"except":["a"]}}`: {
		pass: []string{`{"k":"b"}`, `{"k":["a","b"]}`, `{"k":1}`, `{"k":1.5}`, `{"k":true}`, `{"k":{}}`, `{"k":[["a"]]}`},
		fail: []string{`{"k":"a"}`, `{"k":["a"]}`, `{"k":null}`, `{"k":[]}`, `{}`},
	},
	`{"key":"k","match":{"except":[1]}}`: {pass: []string{`{"k":2}`, `{"k":1.0}`, `{"k":"1"}`}, fail: []string{`{"k":1}`, `{}`}},
	`{"key":"k","match":{"except":[]}}`:  {pass: []string{`{"k":""}`, `{"k":0}`}, fail: []string{`{"k":null}`, `{}`}},

	`{"key":"k","range":{"gt":1,"lte":2.5}}`: {
		pass: []string{`{"k":2}`, `{"k":2.5}`, `{"k":1.1}`, `{"k":[0,2]}`},
		fail: []string{`{"k":1}`, `{"k":2.6}`, `{"k":[0,3]}`, `{"k":"2"}`, `{"k":null}`, `{}`},
	},
	`{"key":"k","range":{"gte":1,"lt":2,"gt":null}}`: {pass: []string{`{"k":1}`}, fail: []string{`{"k":2}`}},
	`{"key":"k","range":{}}`:                         {pass: []string{`{"k":-1}`, `{"k":18446744073709551615}`}, fail: []string{`{"k":"x"}`, `{}`}},
	`{"key":"k","range":{"gt":18446744073709551614}}`: {
		pass: []string{`{"k":1e30}`}, fail: []string{`{"k":18446744073709551615}`, `{"k":-1}`},
	},
	`{"key":"k","range":{"gte":"2024-01-01","lt":"2024-02-01T00:00:00+01:00"}}`: {
		pass: []string{`{"k":"2024-01-01"}`, `{"k":"2024-01-31T22:59:59.999999Z"}`, `{"k":["x","2024-01-05 10:00"]}`},
		fail: []string{`{"k":"2024-01-31T23:00:00Z"}`, `{"k":"2023-12-31T23:59:59Z"}`, `{"k":1704067200}`, `{"k":"soon"}`},
	},

	`{"key":"k","values_count":{"gt":1}}`:   {pass: []string{`{"k":[1,2]}`, `{"k":[null,null]}`}, fail: []string{`{"k":[1]}`, `{"k":1}`, `{"k":{"a":1,"b":2}}`, `{}`}},
	`{"key":"k","values_count":{"lt":1}}`:   {pass: []string{`{}`, `{"k":null}`, `{"k":[]}`}, fail: []string{`{"k":1}`, `{"k":[1]}`}},
	`{"key":"k[]","values_count":{"gt":1}}`: {pass: []string{`{"k":[[1],[1,2]]}`}, fail: []string{`{"k":[1,2]}`}},

	`{"is_empty":{"key":"k"}}`: {
		pass: []string{`{}`, `{"k":null}`, `{"k":[]}`},
		fail: []string{`{"k":0}`, `{"k":""}`, `{"k":[null]}`, `{"k":{}}`, `{"k":false}`},
	},
	`{"key":"k","is_empty":true}`:    {pass: []string{`{}`, `{"k":[]}`}, fail: []string{`{"k":[null]}`}},
	`{"key":"k","is_empty":false}`:   {pass: []string{`{"k":[null]}`, `{"k":""}`}, fail: []string{`{}`, `{"k":null}`, `{"k":[]}`}},
	`{"is_empty":{"key":"k[].a"}}`:   {pass: []string{`{}`, `{"k":[{"a":null},{"a":[]}]}`, `{"k":[{"b":1}]}`}, fail: []string{`{"k":[{"a":null},{"a":1}]}`}},
	`{"is_null":{"key":"k"}}`:        {pass: []string{`{"k":null}`, `{"k":[1,null]}`}, fail: []string{`{}`, `{"k":[]}`, `{"k":0}`, `{"k":[[null]]}`, `{"k":{"a":null}}`}},
	`{"key":"k","is_null":true}`:     {pass: []string{`{"k":null}`, `{"k":[null]}`}, fail: []string{`{}`, `{"k":[1]}`}},
	`{"key":"k","is_null":false}`:    {pass: []string{`{}`, `{"k":[1]}`, `{"k":""}`}, fail: []string{`{"k":null}`, `{"k":[null]}`}},
	`{"is_null":{"key":"k[].a"}}`:    {pass: []string{`{"k":[{"a":1},{"a":null}]}`}, fail: []string{`{"k":[{"a":1}]}`, `{"k":[{}]}`}},
	`{"is_null":{"key":"k[0]"}}`:     {pass: []string{`{"k":[null,1]}`}, fail: []string{`{"k":[1,null]}`, `{"k":null}`}},
	`{"is_empty":{"key":"k[1].a"}}`:  {pass: []string{`{"k":[{"a":1}]}`}, fail: []string{`{"k":[0,{"a":1}]}`}},
	`{"is_empty":{"key":"\"a.b\""}}`: {pass: []string{`{"a":{"b":1}}`}, fail: []string{`{"a.b":1}`}},

	`{"key":"k","geo_bounding_box":{"top_left":{"lon":-1,"lat":1},"bottom_right":{"lon":1,"lat":-1}}}`: {
		pass: []string{`{"k":{"lon":0.5,"lat":0}}`, `{"k":[{"lon":5,"lat":5},{"lon":0,"lat":0,"name":"x"}]}`},
		fail: []string{`{"k":{"lon":1,"lat":0}}`, `{"k":{"lon":0}}`, `{"k":{"lon":"0","lat":0}}`, `{"k":[0,0]}`, `{}`},
	},
	`{"key":"k","geo_radius":{"center":{"lon":13.413637,"lat":52.521976},"radius":2000}}`: {
		pass: []string{`{"k":{"lon":13.413637435864272,"lat":52.52197645}}`}, fail: []string{`{"k":{"lon":37.62137960067377,"lat":55.7536283}}`},
	},

	`{"nested":{"key":"k","filter":{"must":[{"key":"a","match":{"value":1}},{"key":"b","match":{"value":2}}]}}}`: {
		pass: []string{`{"k":[{"a":1},{"a":1,"b":2}]}`},
		fail: []string{`{"k":[{"a":1},{"b":2}]}`, `{"k":{"a":1,"b":2}}`, `{"a":1,"b":2}`, `{"k":[1,null]}`, `{}`},
	},
	`{"nested":{"key":"k[].l[]","filter":{"must":{"key":"a","match":{"value":1}}}}}`: {
		pass: []string{`{"k":[{"l":[]},{"l":[{"a":1}]}]}`}, fail: []string{`{"k":[{"l":{"a":1}}]}`},
	},
	`{"nested":{"key":"k","filter":{"must_not":{"is_empty":{"key":"a"}}}}}`: {pass: []string{`{"k":[{},{"a":1}]}`}, fail: []string{`{"k":[{}]}`, `{}`}},
	`{"nested":{"key":"k","filter":{"must":{"has_id":[1]}}}}`:               {fail: []string{`{"k":[{}]}`}},
	`{"nested":{"key":"k","filter":{"must":{"has_vector":""}}}}`:            {fail: []string{`{"k":[{}]}`}},
	`{"nested":{"key":"k","filter":{}}}`:                                    {pass: []string{`{"k":[{}]}`}, fail: []string{`{"k":[]}`, `{"k":[1]}`}},

	`{"key":"a[].b","match":{"value":1}}`: {pass: []string{`{"a":[{"b":0},{"b":[0,1]}]}`}, fail: []string{`{"a":{"b":1}}`, `{"a":[[{"b":1}]]}`}},
	`{"key":"a[1]","match":{"value":1}}`:  {pass: []string{`{"a":[0,1]}`}, fail: []string{`{"a":[1]}`, `{"a":1}`}},
	`{"key":"a.b","match":{"value":1}}`:   {pass: []string{`{"a":{"b":1}}`}, fail: []string{`{"a":[{"b":1}]}`, `{"a.b":1}`}},

	// Several predicates on one key: one is enough.
	`{"key":"k","match":{"value":1},"range":{"gt":5}}`: {pass: []string{`{"k":1}`, `{"k":6}`}, fail: []string{`{"k":2}`}},
	// What means nothing is ignored; null is absent.
	`{"key":"k","match":{"value":1},"range":null,"geo_radius":null,"boost":3}`: {pass: []string{`{"k":1}`}, fail: []string{`{"k":2}`}},
	`{"has_vector":""}`:      {pass: []string{`{}`}},
	`{"has_vector":"image"}`: {fail: []string{`{}`}},
	`{"has_id":[7,18446744073709551615,"{550E8400-E29B-41D4-A716-446655440000}"]}`: {pass: []string{`{}`}},
	`{"has_id":[1]}`: {fail: []string{`{}`}},
	`{"has_id":[]}`:  {fail: []string{`{}`}},
	`{}`:             {pass: []string{`{}`}},
}

func TestConditions(t *testing.T) {
	for condition, payloads := range conditionMeanings {
		for _, p := range payloads.pass {
			point := filtered{NumID(7), p, some}
			point.check(t, `{"must":`+condition+`}`, true)
			point.check(t, `{"must_not":[`+condition+`]}`, false)
		}
		for _, p := range payloads.fail {
			point := filtered{NumID(7), p, some}
			point.check(t, `{"should":[`+condition+`]}`, false)
			point.check(t, `{"must_not":`+condition+`}`, true)
		}
	}
}

func TestHasIDAndHasVector(t *testing.T) {
	const ids = `{"must":{"has_id":[18446744073709551615,"550e8400e29b41d4a716446655440000"]}}`
	uuid, err := ParseUUID("550e8400-e29b-41d4-a716-446655440000")
	if err != nil {
		t.Fatal(err)
	}
	filtered{uuid, `{}`, some}.check(t, ids, true)
	filtered{NumID(1<<64 - 1), `{}`, some}.check(t, ids, true)
	filtered{NumID(1<<64 - 2), `{}`, some}.check(t, ids, false)
	for name, has := range map[string]bool{"": false, "image": true, "words": true, "other": false} {
		filtered{uuid, `{}`, []string{"words", "image"}}.check(t, `{"must":{"has_vector":"`+name+`"}}`, has)
	}
	filtered{uuid, `{}`, []string{"words"}}.check(t, `{"must":{"has_vector":"image"}}`, false)
	filtered{uuid, `{}`, nil}.check(t, `{"must":{"has_vector":""}}`, false)
}

// How a filter's lists work together, on a payload where a passes and b fails.
func TestClauses(t *testing.T) {
	const a, b = `{"key":"a","match":{"value":1}}`, `{"key":"b","match":{"value":1}}`
	for filter, want := range map[string]bool{
		`null`: true,
		`{}`:   true,
		`{"must":[],"should":[],"must_not":[],"min_should":null}`: true,
		`{"must":[A,A]}`:                     true,
		`{"must":[A,B]}`:                     false,
		`{"should":[B,A]}`:                   true,
		`{"should":[B,B]}`:                   false,
		`{"must_not":[B,B]}`:                 true,
		`{"must_not":[B,A]}`:                 false,
		`{"must":A,"should":B}`:              false,
		`{"must":A,"should":A,"must_not":B}`: true,
		`{"min_should":{"conditions":[A,B,A],"min_count":2}}`:            true,
		`{"min_should":{"conditions":[A,B,B],"min_count":2}}`:            false,
		`{"min_should":{"conditions":[A],"min_count":0}}`:                true,
		`{"min_should":{"conditions":[B],"min_count":0}}`:                true,
		`{"min_should":{"conditions":[A,A],"min_count":3}}`:              false,
		`{"min_should":{"conditions":[],"min_count":1}}`:                 true,
		`{"must":{"should":[B,{"must_not":[B]}]}}`:                       true,
		`{"must":[{"must":[{"must_not":A}]}]}`:                           false,
		`{"must":[{"min_should":{"conditions":[A,B],"min_count":2}}]}`:   false,
		`{"must_not":[{"min_should":{"conditions":[B],"min_count":1}}]}`: true,
		`{"must":[{}],"must_not":[{"must":B}]}`:                          true,
	} {
		filtered{NumID(1), `{"a":1,"b":2}`, some}.check(t, strings.NewReplacer("A", a, "B", b).Replace(filter), want)
	}
}

func TestNilFilterPassesAll(t *testing.T) {
	var f *Filter
	if !f.Matches(NumID(1), nil) || !f.Compile(Config{}).MatchesRecord(NumID(1), nil, 0) || f.Validate(DefaultLimits()) != nil {
		t.Error("a nil filter must be valid and pass every point")
	}
}

func TestParseDatetime(t *testing.T) {
	for text, want := range map[string]int64{
		"1970-01-01":                       0,
		"1970-01-01T00:00:01Z":             1_000_000,
		"2020-03-01T00:00:00Z":             1_583_020_800_000_000,
		"2020-03-01t00:00:00z":             1_583_020_800_000_000,
		"2020-03-01T00:00:00-09:00":        1_583_053_200_000_000,
		"2020-03-01 00:00:00-0900":         1_583_053_200_000_000,
		"2020-03-01T00:00:00-0900":         1_583_053_200_000_000,
		"2020-03-01 00:00:00-09":           1_583_053_200_000_000,
		"2020-03-01T00:00:00.123456Z":      1_583_020_800_123_456,
		"2020-03-01T00:00:00.123456789Z":   1_583_020_800_123_456,
		"2020-03-01T00:00:00":              1_583_020_800_000_000,
		"2020-03-01T00:00:00.12":           1_583_020_800_120_000,
		"2020-03-01 00:00:00.123456":       1_583_020_800_123_456,
		"2020-03-01T00:00":                 1_583_020_800_000_000,
		"2020-03-01 00:00":                 1_583_020_800_000_000,
		"2020-03-01":                       1_583_020_800_000_000,
		"2020-02-29T23:59:60Z":             1_583_020_800_000_000,
		"1969-12-31T23:59:59.5Z":           -500_000,
		"0000-01-01":                       -62_167_219_200_000_000,
		"9999-12-31T23:59:59.999999+23:59": 253_402_214_459_999_999,
	} {
		if got, ok := ParseDatetime(text); !ok || got != want {
			t.Errorf("ParseDatetime(%q) = %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "2020", "2020-3-1", "2020-02-30", "2021-02-29", "2020-13-01", "2020-00-01", "2020-01-00", "2020-01-01T", "2020-01-01T24:00",
		"2020-01-01T00:60", "2020-01-01T00:00:61", "2020-01-01T00:00Z", "2020-01-01T00:00:00.Z", "2020-01-01T00:00:00+", "2020-01-01T00:00:00+1",
		"2020-01-01T00:00:00+01:", "2020-01-01T00:00:00+24:00", "2020-01-01T00:00:00Zx", "2020-01-01x00:00:00Z", "12020-01-01", "-2020-01-01", "soon",
	} {
		if got, ok := ParseDatetime(text); ok {
			t.Errorf("ParseDatetime(%q) = %d, want not ok", text, got)
		}
	}
}

func TestGeoAreas(t *testing.T) {
	square := []GeoPoint{{-1, -1}, {1, -1}, {1, 1}, {-1, 1}, {-1, -1}}
	twisted := []GeoPoint{{-1, -1}, {1, 1}, {1, -1}, {-1, 1}, {-1, -1}}
	big := []GeoPoint{{-1, -1}, {1.5, -1}, {1.5, 1.5}, {-1, 1.5}, {-1, -1}}
	hole := []GeoPoint{{-.5, -.5}, {-.5, .5}, {.5, .5}, {.5, -.5}, {-.5, -.5}}
	usa := GeoBox{TopLeft: GeoPoint{167, 74.071028}, BottomRight: GeoPoint{-66.885417, 18.7763}}
	for _, c := range []struct {
		area area
		at   GeoPoint
		want bool
	}{
		{GeoPolygon{Exterior: square}, GeoPoint{.5, .5}, true},
		{GeoPolygon{Exterior: square}, GeoPoint{1.5, 1.5}, false},
		{GeoPolygon{Exterior: square}, GeoPoint{1, 0}, false},
		{GeoPolygon{Exterior: square}, GeoPoint{-1, -1}, false},
		{GeoPolygon{Exterior: twisted}, GeoPoint{.5, 0}, true},
		{GeoPolygon{Exterior: twisted}, GeoPoint{0, .5}, false},
		{GeoPolygon{Exterior: twisted}, GeoPoint{0, 0}, false},
		{GeoPolygon{big, [][]GeoPoint{hole}}, GeoPoint{.6, .6}, true},
		{GeoPolygon{big, [][]GeoPoint{hole}}, GeoPoint{0, 0}, false},
		{GeoPolygon{big, [][]GeoPoint{hole}}, GeoPoint{.5, 0}, false},
		{usa, GeoPoint{-73.991516, 40.75798}, true},
		{usa, GeoPoint{13.41053, 52.52437}, false},
		{GeoBox{GeoPoint{-1, 1}, GeoPoint{1, -1}}, GeoPoint{0, 1}, false},
		{GeoRadius{GeoPoint{0, 0}, 78_626.3}, GeoPoint{.5, .5}, true},
		{GeoRadius{GeoPoint{0, 0}, 78_626.2}, GeoPoint{.5, .5}, false},
		{GeoRadius{GeoPoint{179.9, 0}, 30_000}, GeoPoint{-179.9, 0}, true},
		{GeoRadius{GeoPoint{0, 0}, 20_015_200}, GeoPoint{180, 0}, true},
		{GeoRadius{GeoPoint{0, 0}, 0}, GeoPoint{0, 0}, false},
	} {
		if got := c.area.contains(c.at); got != c.want {
			t.Errorf("%+v contains %v: %v, want %v", c.area, c.at, got, c.want)
		}
	}
}
