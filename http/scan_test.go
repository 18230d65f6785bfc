package httpedge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hivehub/waggle/collection"
)

func scan(text string) *scanner { return &scanner{b: []byte(text), depthMax: 32} }

// message is the text of a decoder's error, for the caller.
func message(err error) string {
	var e *collection.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return fmt.Sprint(err)
}

func TestScannerErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:              "EOF while parsing a value at line 1 column 0",
		`  `:            "EOF while parsing a value at line 1 column 2",
		`{`:             "EOF while parsing an object at line 1 column 1",
		`{"a"`:          "EOF while parsing an object at line 1 column 4",
		`{"a":`:         "EOF while parsing a value at line 1 column 5",
		`{"a":1`:        "EOF while parsing an object at line 1 column 6",
		`{"a":1,}`:      "trailing comma at line 1 column 8",
		`{,}`:           "key must be a string at line 1 column 2",
		`{"a" 1}`:       "expected `:` at line 1 column 6",
		`{"a":1 "b":2}`: "expected `,` or `}` at line 1 column 8",
		`[`:             "EOF while parsing a value at line 1 column 1",
		`[1`:            "EOF while parsing a list at line 1 column 2",
		`[1,]`:          "trailing comma at line 1 column 4",
		`[1 2]`:         "expected `,` or `]` at line 1 column 4",
		"[1,\n 2,\n x]": "expected value at line 3 column 2",
		`nul`:           "expected value at line 1 column 1",
		`truefalse`:     "trailing characters at line 1 column 5",
		`01`:            "invalid number at line 1 column 2",
		`-`:             "EOF while parsing a value at line 1 column 1",
		`1.`:            "EOF while parsing a value at line 1 column 2",
		`1.x`:           "invalid number at line 1 column 3",
		`1e+`:           "EOF while parsing a value at line 1 column 3",
		`+1`:            "expected value at line 1 column 1",
		`"a`:            "EOF while parsing a string at line 1 column 2",
		`"\q"`:          "invalid escape at line 1 column 2",
		`"\u12"`:        "invalid escape at line 1 column 2",
		`"\ud800x"`:     "lone leading surrogate in hex escape at line 1 column 2",
		`"\udc00"`:      "lone leading surrogate in hex escape at line 1 column 2",
		"\"a\nb\"":      `control character (\u0000-\u001F) found while parsing a string at line 1 column 3`,
		"\"\xff\"":      "invalid unicode code point at line 1 column 3",
	} {
		sc := scan(text)
		err := sc.skip()
		if err == nil {
			err = sc.end()
		}
		if message(err) != want {
			t.Errorf("%q: %s\nwant %s", text, message(err), want)
		}
	}
}

func TestScannerDepth(t *testing.T) {
	if err := scan(strings.Repeat("[", 32) + strings.Repeat("]", 32)).skip(); err != nil {
		t.Error(err)
	}
	for _, open := range []string{"[", `{"a":`} {
		if err := scan(strings.Repeat(open, 33)).skip(); !strings.HasPrefix(message(err), "recursion limit exceeded") {
			t.Errorf("33 levels of %s: %v", open, err)
		}
		if err := scan(strings.Repeat(open, 1_000_000)).skip(); !strings.HasPrefix(message(err), "recursion limit exceeded") {
			t.Errorf("a million levels of %s: %v", open, err)
		}
	}
}

func TestOptionalMembers(t *testing.T) {
	text, n, flag, float := "kept", 5, true, (*float32)(nil)
	for _, err := range []error{scan("null").stringTo(&text), scan("null").intTo(&n), scan("null").boolTo(&flag), scan("null").float32To(&float)} {
		if err != nil {
			t.Error(err)
		}
	}
	if text != "kept" || n != 5 || !flag || float != nil {
		t.Errorf("null changed %q %d %v %v", text, n, flag, float)
	}
	for want, err := range map[string]error{
		"invalid type: integer `1`, expected a string at line 1 column 1":                scan("1").stringTo(&text),
		"invalid type: string \"x\", expected u64 at line 1 column 3":                    scan(`"x"`).intTo(&n),
		"invalid value: integer `-1`, expected u64 at line 1 column 2":                   scan("-1").intTo(&n),
		"invalid type: floating point `1.5`, expected u64 at line 1 column 3":            scan("1.5").intTo(&n),
		"invalid type: sequence, expected a boolean at line 1 column 2":                  scan("[]").boolTo(&flag),
		"invalid type: map, expected f32 at line 1 column 2":                             scan("{}").float32To(&float),
		"number out of range at line 1 column 5":                                         scan("-1e39").float32To(&float),
		"invalid type: boolean `true`, expected a map at line 1 column 4":                scan("true").object(nil),
		"invalid type: null, expected a sequence at line 1 column 4":                     scan("null").array(nil),
		"invalid type: integer `18446744073709551616`, expected u64 at line 1 column 20": scan("18446744073709551616").intTo(&n),
	} {
		if message(err) != want {
			t.Errorf("%s\nwant %s", message(err), want)
		}
	}
	if err := scan("99999999999").intTo(&n); err != nil || n != math.MaxInt32 {
		t.Errorf("%d, %v", n, err)
	}
}

// checkFloat32 compares with strconv, bit by bit.
func checkFloat32(t *testing.T, text string) {
	t.Helper()
	got, err := scan(text).float32()
	want, wantErr := strconv.ParseFloat(text, 32)
	if (err == nil) != (wantErr == nil) || err == nil && math.Float32bits(got) != math.Float32bits(float32(want)) {
		t.Errorf("%s: %v (%v), want %v (%v)", text, got, err, want, wantErr)
	}
}

func TestFloat32(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "-0.0", "0.0e9", "1", "-1", "16777216", "16777217", "16777218", "16777219", "33554433", "33554435",
		"0.1", "3.4028234663852886e38", "3.4028235677973366e38", "3.40282356e38", "3.4e38", "1e38", "1e39", "-1e39", "1e400",
		"1.1754943508222875e-38", "1.17549435e-38", "1.1754942e-38", "1e-45", "7e-46", "1e-46", "1e-400", "4.9e-324",
		"123456789012345678901234567890", "0.000000000000000000000000000000000000011754943508222875", "1e9999", "1e-9999", "0e9999",
		"8388608.5", "8388609.5", "0.500000059604644775390625", "0.50000005960464477539062500001", "0.50000005960464477539062499999",
		"1.00000005960464477539", "1.000000059604644775390625", "1.0000001788139343261718", "9007199254740993", "12345678.12345678",
		"0.12345678901234567", "1234567890123456789e-20", "12345678901234567891e-20", "1E5", "1e+5", "1E-5",
	} {
		checkFloat32(t, text)
		checkFloat32(t, "-"+strings.TrimPrefix(text, "-"))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 40_000 {
		f := math.Float32frombits(r.Uint32())
		if f-f != 0 {
			continue
		}
		checkFloat32(t, strconv.FormatFloat(float64(f), "eEfg"[r.IntN(4)], -1, 32))
		checkFloat32(t, strconv.FormatFloat(float64(f)*(1+r.Float64()*1e-9), 'g', 1+r.IntN(20), 64))
		unit := r.Float64()*2 - 1
		checkFloat32(t, strconv.FormatFloat(unit, 'f', -1, 64))
		checkFloat32(t, strconv.FormatFloat(float64(float32(unit)), 'f', r.IntN(24), 64))
		next := math.Nextafter32(float32(unit), 2)
		middle := (float64(float32(unit)) + float64(next)) / 2
		for _, near := range []float64{middle, math.Nextafter(middle, 2), math.Nextafter(middle, -2)} {
			checkFloat32(t, strconv.FormatFloat(near, 'g', -1, 64))
			checkFloat32(t, strconv.FormatFloat(near, 'g', 17+r.IntN(12), 64))
		}
	}
}

func FuzzFloat32(f *testing.F) {
	for _, seed := range []string{"0", "-0.0", "1.5e-3", "16777217", "0.1234567890123456789", "1e400", "01", "1.", ".5", "+1", "1e", "--1", "1e1e1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sc := scan(text)
		got, err := sc.float32()
		if err == nil {
			err = sc.end()
		}
		want, wantErr := strconv.ParseFloat(strings.Trim(text, " \t\r\n"), 32)
		ok := json.Valid([]byte(text)) && wantErr == nil
		if ok != (err == nil) || ok && math.Float32bits(got) != math.Float32bits(float32(want)) {
			t.Errorf("%q: %v (%v), want %v (%v)", text, got, err, want, wantErr)
		}
	})
}

// loneSurrogate reports whether text has an escape that is half a character:
// encoding/json makes it U+FFFD, the scanner refuses it.
func loneSurrogate(text []byte) bool {
	return bytes.Contains(bytes.ToLower(text), []byte(`\ud`))
}

func FuzzScanner(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e3,"x\u00e9\n",true,false,null,{}]}`, `[[[]]]`, `"\ud83d\ude00"`, "\"\xff\"", `{"a":1,"a":2}`, "[1,\t2 , 3]", `{"":""}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		sc := &scanner{b: text, depthMax: 32}
		err := sc.skip()
		if err == nil {
			err = sc.end()
		}
		if err == nil && !json.Valid(text) {
			t.Fatalf("%q was accepted", text)
		}
		deep := strings.HasPrefix(message(err), "recursion limit")
		if err != nil && json.Valid(text) && utf8.Valid(text) && !loneSurrogate(text) && !deep {
			t.Fatalf("%q: %v", text, err)
		}
		checkString(t, text)
	})
}

// checkString compares a decoded string with encoding/json's.
func checkString(t *testing.T, text []byte) {
	sc := &scanner{b: text, depthMax: 32}
	got, err := sc.str()
	if err != nil || sc.end() != nil {
		return
	}
	var want string
	if err := json.Unmarshal(text, &want); err != nil || want != string(got) {
		t.Fatalf("%q: %q, want %q (%v)", text, got, want, err)
	}
}

func TestStringsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		var in []byte
		for range r.IntN(12) {
			switch r.IntN(4) {
			case 0:
				in = append(in, byte(r.IntN(128)))
			case 1:
				in = utf8.AppendRune(in, rune(r.IntN(0x2000)))
			case 2:
				in = utf8.AppendRune(in, rune(0x10000+r.IntN(0x10000)))
			case 3:
				in = append(in, `"\/`[r.IntN(3)])
			}
		}
		for _, text := range [][]byte{appendString(nil, string(in)), must(json.Marshal(string(in)))} {
			got, err := scan(string(text)).str()
			if err != nil || string(got) != string(in) {
				t.Fatalf("%q as %s: %q, %v", in, text, got, err)
			}
		}
	}
	if got := string(appendString(nil, "a\xffb\xc3")); got != "\"a\ufffdb\ufffd\"" {
		t.Errorf("bytes that are not UTF-8: %q", got)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
