package httpedge_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Values of requests, answers and payloads are nil, bool, int64, uint64 (only
// above the largest int64), float64, string, []any and map[string]any. Vectors
// of requests are []float32.

// encode writes a value as JSON. An integral float keeps its point.
func encode(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, encode(key)+":"+encode(v[key]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = encode(v[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case []float32:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = strconv.FormatFloat(float64(x), 'g', -1, 32)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// decode reads JSON.
func decode(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w in %q", err, text)
	}
	return typed(v), nil
}

func typed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = typed(v[key])
		}
	case []any:
		for i := range v {
			v[i] = typed(v[i])
		}
	case json.Number:
		s := v.String()
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return n
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			panic(err)
		}
		return f
	}
	return v
}

// copied returns a value that shares nothing with v but its vectors.
func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return copiedMap(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = copied(v[i])
		}
		return out
	}
	return v
}

func copiedMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for key, v := range m {
		out[key] = copied(v)
	}
	return out
}

// floats returns a vector of a request or an answer.
func floats(v any) ([]float32, bool) {
	if list, ok := v.([]float32); ok {
		return list, true
	}
	list, ok := v.([]any)
	out := make([]float32, len(list))
	for i := range list {
		x, isNumber := number(list[i])
		out[i], ok = float32(x), ok && isNumber
	}
	return out, ok
}

// pid is the id of a point as text that sorts as ids do: numbers, then UUIDs.
type pid string

func pidOf(v any) pid {
	switch v := v.(type) {
	case int64:
		return pid(fmt.Sprintf("n%020d", v))
	case uint64:
		return pid(fmt.Sprintf("n%020d", v))
	case string:
		return pid("u" + strings.ToLower(v))
	}
	panic(fmt.Sprintf("no id: %v", v))
}

// json is the id as requests have it.
func (p pid) json() any {
	if p[0] == 'u' {
		return string(p[1:])
	}
	n, _ := strconv.ParseUint(string(p[1:]), 10, 64)
	if n > 1<<63-1 {
		return n
	}
	return int64(n)
}

func isID(v any) bool {
	switch v.(type) {
	case int64, uint64, string:
		return true
	}
	return false
}

// smaller returns values that are v with a part left out or made less.
func smaller(v any) (out []any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			without := maps.Clone(v)
			delete(without, key)
			out = append(out, without)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			for _, inner := range smaller(v[key]) {
				with := maps.Clone(v)
				with[key] = inner
				out = append(out, with)
			}
		}
	case []any:
		for i := range v {
			out = append(out, slices.Delete(slices.Clone(v), i, i+1))
		}
		for i := range v {
			if inner, ok := v[i].(map[string]any); ok {
				for _, f := range lifted(inner) {
					with := slices.Clone(v)
					with[i] = f
					out = append(out, with)
				}
			}
			for _, inner := range smaller(v[i]) {
				with := slices.Clone(v)
				with[i] = inner
				out = append(out, with)
			}
		}
	case int64:
		if v > 1 {
			out = append(out, v/2, v-1)
		}
	}
	return out
}

// lifted returns the objects in lists of v: a condition in place of the filter
// that it is in.
func lifted(v map[string]any) (out []any) {
	for _, key := range slices.Sorted(maps.Keys(v)) {
		list, _ := v[key].([]any)
		for _, inner := range list {
			if _, ok := inner.(map[string]any); ok {
				out = append(out, inner)
			}
		}
	}
	return out
}
