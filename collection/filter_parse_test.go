package collection

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// checkParse parses and validates, and compares the error's reason and a part
// of its message; part "" wants no error.
func checkParse(t *testing.T, filter, part string, reason Reason) {
	t.Helper()
	f, err := ParseFilter([]byte(filter), DefaultLimits())
	if err == nil {
		err = f.Validate(DefaultLimits())
	}
	if part == "" {
		if err != nil {
			t.Errorf("%.200s: %v", filter, err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Code != InvalidArgument || e.Reason != reason || !strings.Contains(e.Message, part) {
		t.Errorf("%.200s: %v (reason %q), want %q with reason %q", filter, err, ReasonOf(err), part, reason)
	}
}

// refusedFilters are filters of the wrong form and a part of what is said.
var refusedFilters = map[string]string{
	``:                                                        "malformed JSON: no value at byte 0",
	`{"must":[}`:                                              "malformed JSON: no value at byte 9",
	`[]`:                                                      "filter: invalid type: sequence, expected struct Filter",
	`{"wrong":1,"must":[]}`:                                   "unknown field `wrong`, expected one of `should`, `min_should`, `must`, `must_not`",
	`{"must":[{"wrong":1}]}`:                                  "filter.must[0]: Expected some form of condition",
	`{"must":[1]}`:                                            "Expected some form of condition",
	`{"must":[null]}`:                                         "Expected some form of condition",
	`{"must":"a"}`:                                            "Expected some form of condition",
	`{"must":{"is_empty":null}}`:                              "Expected some form of condition",
	`{"must":{"key":null}}`:                                   "missing field `key`",
	`{"must":{"key":7}}`:                                      "filter.must[0].key: invalid type: integer, expected a string",
	`{"must":{"key":"a..b"}}`:                                 "Invalid json path: 'a..b'",
	`{"must":{"key":"","match":{}}}`:                          "Invalid json path: ''",
	`{"must":{"is_empty":{}}}`:                                "missing field `key`",
	`{"must":{"is_null":"a"}}`:                                "invalid type: string, expected a map",
	`{"must":{"key":"a","is_null":1}}`:                        "invalid type: integer, expected a boolean",
	`{"must":{"key":"a","match":{}}}`:                         "untagged enum MatchInterface",
	`{"must":{"key":"a","match":1}}`:                          "untagged enum MatchInterface",
	`{"must":{"key":"a","match":{"x":1}}}`:                    "untagged enum MatchInterface",
	matching(`{"value":1.5}`):                                 "untagged enum MatchInterface",
	matching(`{"value":[1]}`):                                 "untagged enum MatchInterface",
	matching(`{"value":null}`):                                "untagged enum MatchInterface",
	matching(`{"value":9223372036854775808}`):                 "untagged enum MatchInterface",
	matching(`{"text":1}`):                                    "expected a string",
	matching(`{"any":"a"}`):                                   "expected a sequence",
	matching(`{"any":["a",1]}`):                               "filter.must[0].match.any[1]: invalid type: integer",
	matching(`{"any":[1,"a"]}`):                               "invalid type: string",
	matching(`{"except":[1.5]}`):                              "invalid type: floating point",
	ranging(`[]`):                                             "invalid type: sequence, expected a map",
	ranging(`{"gt":true}`):                                    "invalid type: boolean, expected f64",
	ranging(`{"gt":"2024-01-01","lt":5}`):                     "invalid type: integer, expected a string",
	ranging(`{"gt":"yesterday"}`):                             "'yesterday' does not match accepted datetime format (RFC3339). Example: 2014-01-01T00:00:00Z",
	counting(`{"gt":-1}`):                                     "invalid value: -1, expected usize",
	counting(`{"gt":1.5}`):                                    "invalid value: 1.5, expected usize",
	`{"must":{"has_id":1}}`:                                   "expected a sequence",
	`{"must":{"has_id":["1"]}}`:                               `value "1" is not a valid point ID, valid values are either an unsigned integer or a UUID`,
	`{"must":{"has_id":[-1]}}`:                                "value -1 is not a valid point ID",
	`{"must":{"has_id":[1.0]}}`:                               "value 1.0 is not a valid point ID",
	`{"must":{"has_vector":1}}`:                               "expected a string",
	`{"must":{"nested":{"key":"a"}}}`:                         "missing field `filter`",
	`{"must":{"nested":{"filter":{}}}}`:                       "missing field `key`",
	`{"min_should":[]}`:                                       "invalid type: sequence, expected a map",
	`{"min_should":{"min_count":1}}`:                          "missing field `conditions`",
	`{"min_should":{"conditions":[]}}`:                        "missing field `min_count`",
	`{"min_should":{"conditions":{},"min_count":1}}`:          "expected a sequence",
	`{"min_should":{"conditions":[{}],"min_count":-1}}`:       "invalid value: -1, expected usize",
	locating("geo_radius", `{"center":{"lon":1,"lat":2}}`):    "missing field `radius`",
	locating("geo_radius", `{"center":{"lon":1},"radius":1}`): "missing field `lat`",
	locating("geo_radius", `{"center":{"lon":181,"lat":0},"radius":1}`):                              "Wrong format of GeoPoint payload: expected `lat` = 0 within [-90;90] and `lon` = 181 within [-180;180]",
	locating("geo_bounding_box", `{"top_left":{"lon":0,"lat":95}}`):                                  "missing field `bottom_right`",
	locating("geo_bounding_box", `{"top_left":{"lon":0,"lat":95},"bottom_right":{"lon":0,"lat":0}}`): "`lat` = 95 within",
	locating("geo_polygon", `{"exterior":{}}`):                                                       "missing field `points`",
	locating("geo_polygon", ringOf(0, 0, 1, 0, 0, 0)):                                                "polygon invalid, the size must be at least 4, got 3",
	locating("geo_polygon", ringOf(0, 0, 1, 0, 1, 1, 0, 1)):                                          "the first and the last points should be the same",
	locating("geo_polygon", ringOf(0, 0, 1, 0, 1, 91, 0, 0)):                                         "`lat` = 91 within",
}

func TestParseFilterRefuses(t *testing.T) {
	for filter, part := range refusedFilters {
		checkParse(t, filter, part, ReasonNone)
	}
	for _, filter := range []string{
		`{"must":[{"key":"city"}]}`, `{"must":[{"key":"city","match":null}]}`, `{"must":[{"key":"city","unknown":1}]}`,
	} {
		checkParse(t, filter, "filter.must[0]: At least one field condition must be specified", ReasonValidation)
	}
}

func matching(match string) string { return `{"must":{"key":"a","match":` + match + `}}` }

func ranging(bounds string) string { return `{"must":{"key":"a","range":` + bounds + `}}` }

func counting(bounds string) string { return `{"must":{"key":"a","values_count":` + bounds + `}}` }

func locating(name, area string) string { return `{"must":{"key":"a","` + name + `":` + area + `}}` }

// ringOf is a polygon of the points lon, lat, lon, lat, ...
func ringOf(at ...int) string {
	var points []string
	for i := 0; i < len(at); i += 2 {
		points = append(points, fmt.Sprintf(`{"lon":%d,"lat":%d}`, at[i], at[i+1]))
	}
	return `{"exterior":{"points":[` + strings.Join(points, ",") + `]},"interiors":[]}`
}

// Every limit, at it and one past it.
func TestFilterLimits(t *testing.T) {
	many := func(n int, one string) string { return strings.Repeat(one+",", n-1) + one }
	nodes := DefaultLimits().FilterNodes
	checkParse(t, `{"must":[`+many(nodes, `{"has_id":[1]}`)+`]}`, "", ReasonNone)
	checkParse(t, `{"must":[`+many(nodes+1, `{"has_id":[1]}`)+`]}`, "more than 1024 conditions", ReasonValidation)
	checkParse(t, `{"must":[`+many(nodes/2, `{"should":{}}`)+`]}`, "", ReasonNone)
	checkParse(t, `{"must":[`+many(nodes/2, `{"should":{}}`)+`,{}]}`, "more than 1024 conditions", ReasonValidation)

	nested := func(levels int) string {
		return strings.Repeat(`{"must":[{"nested":{"key":"a","filter":`, levels-1) + "{}" + strings.Repeat(`}}]}`, levels-1)
	}
	plain := func(levels int) string {
		return strings.Repeat(`{"must":`, levels-1) + "{}" + strings.Repeat(`}`, levels-1)
	}
	for _, deep := range []func(int) string{nested, plain} {
		checkParse(t, deep(FilterDepthMax), "", ReasonNone)
		checkParse(t, deep(FilterDepthMax+1), "deeper than 32 levels", ReasonValidation)
		checkParse(t, deep(2_000), "deeper than", ReasonValidation)
	}

	for _, condition := range []string{`{"has_id":[%s]}`, `{"key":"a","match":{"any":[%s]}}`, `{"key":"a","match":{"except":[%s]}}`} {
		checkParse(t, `{"must":`+fmt.Sprintf(condition, many(FilterValuesMax, "1"))+`}`, "", ReasonNone)
		checkParse(t, `{"must":`+fmt.Sprintf(condition, many(FilterValuesMax+1, "1"))+`}`, "more than 65536 values in a list", ReasonValidation)
	}
	ring := func(n int) []GeoPoint { return make([]GeoPoint, n) }
	polygon := &Filter{Must: []Condition{Field{Path{{key: "a"}}, GeoPolygon{ring(FilterValuesMax - 4), [][]GeoPoint{ring(4)}}}}}
	if err := polygon.Validate(DefaultLimits()); err != nil {
		t.Errorf("a polygon of as many points as may be: %v", err)
	}
	polygon.Must[0] = Field{Path{{key: "a"}}, GeoPolygon{ring(FilterValuesMax - 4), [][]GeoPoint{ring(5)}}}
	if err := polygon.Validate(DefaultLimits()); ReasonOf(err) != ReasonValidation {
		t.Errorf("one point more: %v", err)
	}
}

// Of a filter that is too large no more is read than of one that is just too
// large, wherever its conditions stand.
func TestFilterIsReadUpToItsLimits(t *testing.T) {
	conditions, values := DefaultLimits().FilterNodes+1, FilterValuesMax+1
	match := `{"key":"a","match":{"value":1}}`
	for _, c := range []struct {
		before, one, after string
		n                  int
		want               string
	}{
		{`{"must":[`, match, `]}`, conditions, "more than 1024 conditions"},
		{`{"must_not":{"should":[`, match, `]}}`, conditions - 1, "more than 1024 conditions"},
		{`{"min_should":{"min_count":1,"conditions":[`, match, `]}}`, conditions, "more than 1024 conditions"},
		{`{"must":[{"nested":{"key":"a","filter":{"should":[`, match, `]}}}]}`, conditions - 1, "more than 1024 conditions"},
		{`{"must":[{"must":[]}`, `,{"must":[]}`, `]}`, conditions - 1, "more than 1024 conditions"},
		{`{`, `"should":{"must":[]}`, `}`, conditions, "more than 1024 conditions"},
		{`{"must":{"has_id":[`, `1`, `]}}`, values, "more than 65536 values"},
		{`{"must":{"key":"a","match":{"except":[`, `1`, `]}}}`, values, "more than 65536 values"},
		{`{"must":{"key":"a","geo_polygon":{"exterior":{"points":[`, `{"lon":0,"lat":0}`, `]}}}}`, values, "more than 65536 values"},
	} {
		work := func(n int) float64 {
			comma := ","
			if strings.HasPrefix(c.one, ",") {
				comma = ""
			}
			text := []byte(c.before + strings.TrimSuffix(strings.Repeat(c.one+comma, n), ",") + c.after)
			return testing.AllocsPerRun(1, func() {
				_, err := ParseFilter(text, DefaultLimits())
				if err == nil || !strings.Contains(err.Error(), c.want) || ReasonOf(err) != ReasonValidation {
					t.Errorf("%s%s%s %d times: %v", c.before, c.one, c.after, n, err)
				}
			})
		}
		if least, most := work(c.n), work(100_000); most > least+8 {
			t.Errorf("%s%s%s: %g allocations where it is just too large, %g where it is much too large", c.before, c.one, c.after, least, most)
		}
	}
}

// Filters that code made without ParseFilter are checked as well.
func TestValidateFilterMadeByCode(t *testing.T) {
	for _, c := range []Condition{
		Field{nil, MatchInt(1)},
		Field{Path{{kind: stepEach}}, MatchInt(1)},
		Field{Key: Path{{key: "a"}}},
		ValuesCount{},
		IsEmpty{},
		IsNull{},
		Nested{},
	} {
		f := &Filter{MinShould: &MinShould{Conditions: []Condition{c}}}
		if err := f.Validate(DefaultLimits()); CodeOf(err) != InvalidArgument {
			t.Errorf("%#v: %v, want invalid_argument", c, err)
		}
	}
	if err := (&Filter{Must: []Condition{Nested{Key: Path{{key: "a"}}}}}).Validate(DefaultLimits()); err != nil {
		t.Errorf("nested without a filter: %v", err)
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"must":{"key":"a[].b","match":{"any":[1,2]}},"must_not":[{"has_id":[1]}]}`, ranging(`{"gt":"2024-01-01"}`),
		`{"min_should":{"conditions":[{"nested":{"key":"a","filter":{"should":[{"is_null":{"key":"b"}}]}}}],"min_count":1}}`,
		locating("geo_polygon", ringOf(0, 0, 1, 0, 1, 1, 0, 0)), counting(`{"lt":3}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		filter, err := ParseFilter(data, DefaultLimits())
		if err != nil {
			if CodeOf(err) != InvalidArgument {
				t.Fatalf("%s: %v", data, err)
			}
			return
		}
		if filter.Validate(DefaultLimits()) != nil {
			return
		}
		p := Payload{"a": []any{map[string]any{"b": int64(1)}, nil, "x"}, "b": nil}
		stored, err := AppendPayload(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if want, got := filter.Matches(NumID(1), p, ""), filter.Compile(Config{Vectors: []VectorParams{{}}}).MatchesRecord(NumID(1), stored, 1); got != want {
			t.Fatalf("%s: compiled %v, want %v", data, got, want)
		}
	})
}
