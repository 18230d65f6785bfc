package collection

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parseJSON reads one JSON value of at most depthMax levels into the types a
// Payload may hold. It does what encoding/json does (a test compares the two),
// but numbers keep their form, the depth is bounded while it reads, and it
// takes half the time: payloads are a good part of what an upsert costs. The
// strings in the value share one copy of data.
func parseJSON(data []byte, depthMax int) (any, error) {
	r := jsonReader{data: string(data), depthMax: depthMax}
	return r.whole()
}

// whole reads the one value that data has to be.
func (r *jsonReader) whole() (any, error) {
	v, err := r.value(r.depthMax)
	if err != nil {
		return nil, err
	}
	if r.next() != 0 || r.pos < len(r.data) {
		return nil, r.malformed("trailing characters")
	}
	return v, nil
}

// jsonReader reads data from pos on.
type jsonReader struct {
	data     string
	pos      int
	depthMax int

	guard *filterGuard // of a filter
}

func (r *jsonReader) malformed(what string) error {
	return Errorf(InvalidArgument, "malformed JSON: %s at byte %d", what, r.pos)
}

// next passes over white space and returns the byte that follows, 0 at the
// end.
func (r *jsonReader) next() byte {
	for ; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) value(depthLeft int) (any, error) {
	switch c := r.next(); {
	case c == '{' || c == '[':
		if depthLeft == 0 {
			return nil, invalid("JSON is nested deeper than %d levels", r.depthMax)
		}
		r.pos++
		if c == '[' {
			return r.array(depthLeft - 1)
		}
		if err := r.guard.object(); err != nil {
			return nil, err
		}
		return r.object(depthLeft - 1)
	case c == '"':
		return r.text()
	case c == '-' || isDigit(c):
		return r.number()
	case r.skip("null"):
		return nil, nil
	case r.skip("true"):
		return true, nil
	case r.skip("false"):
		return false, nil
	}
	return nil, r.malformed("no value")
}

// skip passes over word where it is next.
func (r *jsonReader) skip(word string) bool {
	if !strings.HasPrefix(r.data[r.pos:], word) {
		return false
	}
	r.pos += len(word)
	return true
}

// object reads what follows a brace.
func (r *jsonReader) object(depthLeft int) (any, error) {
	object := map[string]any{}
	for first := true; ; first = false {
		more, err := r.more(first, '}')
		if !more {
			return object, err
		}
		if r.next() != '"' {
			return nil, r.malformed("no key")
		}
		key, err := r.text()
		if err != nil {
			return nil, err
		}
		if r.next() != ':' {
			return nil, r.malformed("no colon")
		}
		r.pos++
		r.guard.enter(key)
		if object[key], err = r.value(depthLeft); err != nil {
			return nil, err
		}
	}
}

// array reads what follows a bracket.
func (r *jsonReader) array(depthLeft int) (any, error) {
	list := []any{}
	key := r.guard.current()
	for {
		more, err := r.more(len(list) == 0, ']')
		if !more {
			return list, err
		}
		if err := r.guard.element(len(list)); err != nil {
			return nil, err
		}
		r.guard.enter(key)
		v, err := r.value(depthLeft)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

// more passes over the comma before another element, or over the end of the
// container.
func (r *jsonReader) more(first bool, end byte) (bool, error) {
	switch c := r.next(); {
	case c == end:
		r.pos++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		r.pos++
		return true, nil
	}
	return false, r.malformed("no comma")
}

// text reads a string, from its first quote on.
func (r *jsonReader) text() (string, error) {
	start, plain := r.pos, true
	for r.pos++; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; {
		case c == '"':
			r.pos++
			return r.unquote(r.data[start:r.pos], plain)
		case c == '\\':
			plain = false
			r.pos++
		case c < ' ':
			return "", r.malformed("control character in a string")
		}
	}
	return "", r.malformed("string without end")
}

// unquote leaves to encoding/json what is not plain: escapes and what is not
// UTF-8.
func (r *jsonReader) unquote(quoted string, plain bool) (s string, err error) {
	if body := quoted[1 : len(quoted)-1]; plain && utf8.ValidString(body) {
		return body, nil
	}
	if json.Unmarshal([]byte(quoted), &s) != nil {
		return "", r.malformed("bad escape in a string")
	}
	return s, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// digits passes over digits and reports whether there were any.
func (r *jsonReader) digits() bool {
	start := r.pos
	for r.pos < len(r.data) && isDigit(r.data[r.pos]) {
		r.pos++
	}
	return r.pos > start
}

// number reads a number, from its sign or first digit on.
func (r *jsonReader) number() (any, error) {
	start := r.pos
	r.skip("-")
	ok := r.skip("0") || r.digits()
	whole := true
	if r.skip(".") {
		whole, ok = false, r.digits() && ok
	}
	if r.skip("e") || r.skip("E") {
		if !r.skip("+") {
			r.skip("-")
		}
		whole, ok = false, r.digits() && ok
	}
	if !ok {
		return nil, r.malformed("bad number")
	}
	return parseNumber(r.data[start:r.pos], whole)
}

func parseNumber(s string, whole bool) (any, error) {
	if whole {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, Errorf(InvalidArgument, "number out of range: %s", clip(s))
	}
	return f, nil
}
