package collection

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// The stored form of a payload must never change: old stores hold it.
func TestStoredPayloadGolden(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                            "80",
		`{"b":true,"a":null,"c":false}`: "83" + "a161c0" + "a162c3" + "a163c2",
		`{"n":[0,127,128,255,256,65535,65536,4294967295,4294967296,18446744073709551615]}`: "81a16e9a" +
			"00" + "7f" + "cc80" + "ccff" + "cd0100" + "cdffff" + "ce00010000" + "ceffffffff" + "cf0000000100000000" + "cfffffffffffffffff",
		`{"n":[-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649]}`: "81a16e99" +
			"ff" + "e0" + "d0df" + "d080" + "d1ff7f" + "d18000" + "d2ffff7fff" + "d280000000" + "d3ffffffff7fffffff",
		`{"f":10.0,"i":10}`: "82a166cb4024000000000000" + "a1690a",
		`{"o":{"x":"é"}}`:   "81a16f81a178a2c3a9",
	} {
		got, err := AppendPayload(nil, payloadOf(t, text))
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s is stored as %x, %v; want %s", text, got, err, want)
		}
	}
}

// Every width of head, at its limit and one past it, and another reader of
// msgpack to agree with.
func TestStoredPayloadLengths(t *testing.T) {
	for _, n := range []int{0, 15, 16, 31, 32, 255, 256, 65_535, 65_536} {
		object := map[string]any{}
		for i := range min(n, 70_000) {
			object[fmt.Sprint(i)] = nil
		}
		p := Payload{"s": strings.Repeat("x", n), "l": make([]any, n), "o": object}
		b, err := AppendPayload(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodePayload(b); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("length %d does not read back: %v", n, err)
		}
		var other map[string]any
		if err := msgpack.Unmarshal(b, &other); err != nil || !reflect.DeepEqual(Payload(other), p) {
			t.Errorf("length %d is read otherwise by another reader: %v", n, err)
		}
		if rest, ok := skipValue(append(b, 1, 2)); !ok || !bytes.Equal(rest, []byte{1, 2}) {
			t.Errorf("length %d is not skipped", n)
		}
	}
}

func TestStoredPayloadReadsBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1_000 {
		p := randomPayload(rng)
		b, err := AppendPayload([]byte("x"), p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodePayload(b[1:])
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%v reads back as %v, %v", p, got, err)
		}
		for cut := range len(b) - 1 {
			if _, err := DecodePayload(b[1 : 1+cut]); cut > 0 && CodeOf(err) != DataLoss {
				t.Fatalf("%x cut to %d bytes: %v", b[1:], cut, err)
			}
		}
	}
}

func TestAppendPayloadRefuses(t *testing.T) {
	deep := func(levels int) Payload {
		v := map[string]any{}
		for range levels - 1 {
			v = map[string]any{"a": v}
		}
		return v
	}
	if b, err := AppendPayload(nil, deep(PayloadDepthMax)); err != nil {
		t.Errorf("%d levels: %v", PayloadDepthMax, err)
	} else if _, err := DecodePayload(b); err != nil {
		t.Errorf("%d levels do not read back: %v", PayloadDepthMax, err)
	}
	for _, p := range []Payload{
		deep(PayloadDepthMax + 1),
		{"a": []any{map[string]any(deep(PayloadDepthMax - 1))}},
		{"a": math.NaN()},
		{"a": []any{math.Inf(1)}},
	} {
		if _, err := AppendPayload(nil, p); CodeOf(err) != InvalidArgument || ReasonOf(err) != ReasonValidation {
			t.Errorf("%.60v: %v, want a validation error", p, err)
		}
	}
	if _, err := AppendPayload(nil, Payload{"a": 1}); CodeOf(err) != Internal {
		t.Errorf("an int: %v, want internal", err)
	}
}

func TestDecodePayloadRefuses(t *testing.T) {
	if p, err := DecodePayload(nil); p != nil || err != nil {
		t.Errorf("no bytes: %v, %v", p, err)
	}
	for name, bad := range map[string]string{
		"not a map":           "01",
		"bytes after it":      "8000",
		"key that is no str":  "810101",
		"keys out of order":   "82a16201a16101",
		"a key twice":         "82a16101a16101",
		"binary":              "81a161c40100",
		"float 32":            "81a161ca00000000",
		"extension":           "81a161d40000",
		"reserved":            "81a161c1",
		"length too large":    "81a161dbffffffff",
		"array too large":     "81a161ddffffffff",
		"map too large":       "dfffffffff",
		"nested deeper":       "81a161" + strings.Repeat("91", PayloadDepthMax) + "c0",
		"cut inside a number": "81a161cb00",
	} {
		b, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := DecodePayload(b); CodeOf(err) != DataLoss {
			t.Errorf("%s: %v, %v; want data_loss", name, p, err)
		}
	}
}

func FuzzDecodePayload(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		b, err := AppendPayload(nil, randomPayload(rng))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePayload(b)
		if err != nil {
			return
		}
		again, err := AppendPayload(nil, p)
		if err != nil {
			if ReasonOf(err) != ReasonValidation { // NaN can be decoded, not encoded
				t.Fatal(err)
			}
			return
		}
		if back, err := DecodePayload(again); err != nil || !reflect.DeepEqual(back, p) && len(b) > 0 {
			t.Fatalf("%x reads as %v, stored again it reads as %v, %v", b, p, back, err)
		}
		if rest, ok := skipValue(b); len(b) > 0 && (!ok || len(rest) > 0) {
			t.Fatalf("%x is decoded and not skipped", b)
		}
	})
}

// randomPayload makes a payload of few keys and few values, so that filters
// over it pass about as often as not.
func randomPayload(rng *rand.Rand) Payload {
	p := Payload{}
	for _, key := range []string{"a", "b", "c", "d", "geo", "when"} {
		if rng.IntN(3) > 0 {
			p[key] = randomValue(rng, 4)
		}
	}
	items := make([]any, rng.IntN(4))
	for i := range items {
		items[i] = map[string]any{"a": randomValue(rng, 1), "b": randomValue(rng, 1)}
	}
	p["items"] = items
	if rng.IntN(2) == 0 {
		p["geo"] = randomPlace(rng)
	}
	if rng.IntN(2) == 0 {
		p["when"] = randomDatetime(rng)
	}
	return p
}

func randomPlace(rng *rand.Rand) any {
	return map[string]any{"lon": float64(rng.IntN(5) - 2), "lat": int64(rng.IntN(5) - 2)}
}

func randomDatetime(rng *rand.Rand) string {
	return fmt.Sprintf("2024-0%d-01T00:00:00Z", 1+rng.IntN(4))
}

func randomValue(rng *rand.Rand, depth int) any {
	kinds := 12
	if depth == 0 {
		kinds = 8
	}
	switch rng.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return rng.IntN(2) == 0
	case 2, 3:
		return int64(rng.IntN(4)) - 1
	case 4:
		return float64(rng.IntN(6))/2 - 1
	case 5:
		return math.MaxUint64 - uint64(rng.IntN(2))
	case 6, 7:
		return randomText(rng)
	case 8, 9:
		list := make([]any, rng.IntN(4))
		for i := range list {
			list[i] = randomValue(rng, depth-1)
		}
		return list
	}
	object := map[string]any{}
	for _, key := range []string{"a", "b", "lon", "lat"} {
		if rng.IntN(2) == 0 {
			object[key] = randomValue(rng, depth-1)
		}
	}
	return object
}

func randomText(rng *rand.Rand) string {
	return []string{"", "x", "y", "red", "dark red", "2024-02-01T00:00:00Z"}[rng.IntN(6)]
}
