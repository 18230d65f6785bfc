package collection

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// payloadOf reads a payload written as JSON.
func payloadOf(t testing.TB, text string) Payload {
	t.Helper()
	p, err := ParsePayload([]byte(text))
	if err != nil {
		t.Fatalf("payload %s: %v", text, err)
	}
	return p
}

func TestPayloadKeepsNumbersAsGiven(t *testing.T) {
	for text, want := range map[string]struct {
		v     any
		shown string
	}{
		"10":                    {int64(10), "10"},
		"10.0":                  {10.0, "10.0"},
		"1e1":                   {10.0, "10.0"},
		"-0":                    {int64(0), "0"},
		"-0.0":                  {math.Copysign(0, -1), "-0.0"},
		"9007199254740993":      {int64(9007199254740993), "9007199254740993"},
		"9223372036854775807":   {int64(math.MaxInt64), "9223372036854775807"},
		"9223372036854775808":   {uint64(1 << 63), "9223372036854775808"},
		"18446744073709551615":  {uint64(math.MaxUint64), "18446744073709551615"},
		"18446744073709551616":  {18446744073709551616.0, "1.8446744073709552e+19"},
		"-9223372036854775808":  {int64(math.MinInt64), "-9223372036854775808"},
		"-9223372036854775809":  {-9223372036854775808.0, "-9.223372036854776e+18"},
		"0.1":                   {0.1, "0.1"},
		"1e300":                 {1e300, "1e+300"},
		"0.000001":              {0.000001, "1e-06"},
		"1234567890123456.0":    {1234567890123456.0, "1234567890123456.0"},
		"null":                  {nil, "null"},
		`"a\n\"\\\u0001\u2028"`: {"a\n\"\\\u0001\u2028", `"a\n\"\\\u0001` + "\u2028\""},
	} {
		p := payloadOf(t, `{"v":`+text+`}`)
		if !reflect.DeepEqual(p["v"], want.v) {
			t.Errorf("%s is read as %T(%v), want %T(%v)", text, p["v"], p["v"], want.v, want.v)
		}
		shown := string(p.AppendJSON(nil))
		again := payloadOf(t, shown)
		if !reflect.DeepEqual(again, p) {
			t.Errorf("%s is shown as %s, which reads as %v", text, shown, again)
		}
		if shown != `{"v":`+want.shown+`}` {
			t.Errorf("%s is shown as %s, want %s", text, shown, want.shown)
		}
	}
}

func TestPayloadJSONIsInKeyOrder(t *testing.T) {
	p := payloadOf(t, `{"b":[1,1.0,{"z":null,"y":true}],"a":{},"B":[]}`)
	want := `{"B":[],"a":{},"b":[1,1.0,{"y":true,"z":null}]}`
	if got := string(p.AppendJSON(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wrapped, err := json.Marshal(struct{ P, None Payload }{P: p})
	if err != nil || string(wrapped) != `{"P":`+want+`,"None":null}` {
		t.Errorf("inside a struct: %s, %v", wrapped, err)
	}
	var read struct{ P, None Payload }
	if err := json.Unmarshal(wrapped, &read); err != nil || !reflect.DeepEqual(read.P, p) || read.None != nil {
		t.Errorf("read back: %v, %v", read, err)
	}
}

func TestAppendJSONFloat(t *testing.T) {
	for _, c := range []struct {
		f    float64
		bits int
		want string
	}{
		{1, 32, "1.0"},
		{float64(float32(0.1)), 32, "0.1"},
		{-3, 64, "-3.0"},
		{1e16, 64, "1e+16"},
		{1e-7, 64, "1e-07"},
		{0, 32, "0.0"},
		{math.NaN(), 64, "null"},
		{math.Inf(-1), 64, "null"},
		{math.MaxFloat32, 32, "3.4028235e+38"},
		{math.SmallestNonzeroFloat64, 64, "5e-324"},
	} {
		if got := string(AppendJSONFloat(nil, c.f, c.bits)); got != c.want {
			t.Errorf("AppendJSONFloat(%v, %d) = %s, want %s", c.f, c.bits, got, c.want)
		}
	}
}

func TestParsePayloadRefuses(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
	}
	if _, err := ParsePayload([]byte(nested(PayloadDepthMax))); err != nil {
		t.Errorf("%d levels: %v", PayloadDepthMax, err)
	}
	if p, err := ParsePayload([]byte("null")); p != nil || err != nil {
		t.Errorf("null: %v, %v", p, err)
	}
	for text, reason := range map[string]Reason{
		"":                               ReasonNone,
		"{":                              ReasonNone,
		"{} {}":                          ReasonNone,
		"[]":                             ReasonNone,
		"1":                              ReasonNone,
		`"a"`:                            ReasonNone,
		`{"a":NaN}`:                      ReasonNone,
		`{"a":nul}`:                      ReasonNone,
		`{"a":1,}`:                       ReasonNone,
		`{"a" 1}`:                        ReasonNone,
		`{"a":1 "b":2}`:                  ReasonNone,
		`{a:1}`:                          ReasonNone,
		`{"a":[1,]}`:                     ReasonNone,
		`{"a":-}`:                        ReasonNone,
		`{"a":1.}`:                       ReasonNone,
		`{"a":.5}`:                       ReasonNone,
		`{"a":1e}`:                       ReasonNone,
		`{"a":"\x"}`:                     ReasonNone,
		`{"a":"\`:                        ReasonNone,
		"{\"a\":\"\n\"}":                 ReasonNone,
		`{"a":1e999}`:                    ReasonNone,
		`{"a":01}`:                       ReasonNone,
		nested(PayloadDepthMax + 1):      ReasonValidation,
		strings.Repeat("[", 100_000):     ReasonValidation,
		`{"a":` + strings.Repeat("[", 9): ReasonNone,
	} {
		if _, err := ParsePayload([]byte(text)); CodeOf(err) != InvalidArgument || ReasonOf(err) != reason {
			t.Errorf("%.40q: %v, want invalid_argument with reason %q", text, err, reason)
		}
	}
}

// FuzzPayloadJSON compares the reader and the writer with encoding/json.
func FuzzPayloadJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5,-3e7,18446744073709551615],"b":{"c":null,"d":"x\u00e9\ud83d\ude00"}}`, `{"a":1,"a":2}`, `null`, `[`, "{\"\xff\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePayload(data)
		var naive map[string]any
		if naiveErr := json.Unmarshal(data, &naive); (naiveErr == nil) != (err == nil) && ReasonOf(err) != ReasonValidation {
			t.Fatalf("%q: %v, but encoding/json says %v", data, err, naiveErr)
		}
		if err != nil {
			return
		}
		shown := p.AppendJSON(nil)
		again, err := ParsePayload(shown)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%s is shown as %s, which reads as %v, %v", data, shown, again, err)
		}
		var got map[string]any
		if json.Unmarshal(shown, &got) != nil || !reflect.DeepEqual(naive, got) {
			t.Fatalf("%s is shown as %s", data, shown)
		}
	})
}

func TestJSONStringsReadBack(t *testing.T) {
	for r := range rune(0x300) {
		s := "a" + string(r) + "b"
		var got string
		if err := json.Unmarshal(appendJSONString(nil, s), &got); err != nil || got != s {
			t.Fatalf("%q reads back as %q, %v", s, got, err)
		}
	}
	if got := string(appendJSONString(nil, "a\xffb\xc3")); got != "\"a\ufffdb\ufffd\"" {
		t.Errorf("bytes that are not UTF-8: %s", strconv.Quote(got))
	}
}
