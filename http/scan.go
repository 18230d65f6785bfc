package httpedge

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads one JSON text (RFC 8259) from front to back, without building a
// tree: a decoder asks for what it expects next. It is strict: valid UTF-8, no
// trailing commas, at most depthMax levels. Its errors are values of errFormat
// with the texts that clients of Qdrant know.
//
// What it returns as bytes is part of the text, or memory of its own where the
// text had escapes: valid only as long as the text is.
type scanner struct {
	b        []byte
	i        int // next byte
	depth    int
	depthMax int
}

// fault is an error at the scanner's place, counted as Qdrant counts.
func (s *scanner) fault(format string, args ...any) error {
	before := s.b[:min(s.i, len(s.b))]
	line := 1 + bytes.Count(before, []byte{'\n'})
	column := min(s.i+1, len(s.b)) - (bytes.LastIndexByte(before, '\n') + 1)
	return errFormat(fmt.Sprintf(format, args...) + " at line " + strconv.Itoa(line) + " column " + strconv.Itoa(column))
}

// space skips white space.
func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek returns the first byte of what comes next, 0 at the end of the text.
func (s *scanner) peek() byte {
	s.space()
	if s.i == len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// end checks that nothing follows.
func (s *scanner) end() error {
	if s.peek(); s.i < len(s.b) {
		return s.fault("trailing characters")
	}
	return nil
}

// object reads an object; member is called at each value and must read it.
func (s *scanner) object(member func(key []byte) error) error {
	return s.sequence('{', '}', "a map", func() error {
		if s.peek() != '"' {
			return s.expected("key")
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.expected("`:`")
		}
		s.i++
		return member(key)
	})
}

// array reads an array; element is called at each value and must read it.
func (s *scanner) array(element func() error) error {
	return s.sequence('[', ']', "a sequence", element)
}

// sequence reads what stands between two brackets, parted by commas.
func (s *scanner) sequence(open, closing byte, wanted string, element func() error) error {
	if s.peek() != open {
		return s.mismatch(wanted)
	}
	if s.depth == s.depthMax {
		return s.fault("recursion limit exceeded")
	}
	s.depth++
	s.i++
	for more := s.peek() != closing; more; {
		if err := element(); err != nil {
			return err
		}
		switch s.peek() {
		case closing:
			more = false
		case ',':
			s.i++
			if s.peek() == closing {
				return s.fault("trailing comma")
			}
		default:
			return s.expected("`,` or `" + string(closing) + "`")
		}
	}
	s.depth--
	s.i++
	return nil
}

// null reads a null if one is next. In Qdrant's API null is as good as absent.
func (s *scanner) null() bool {
	return s.peek() == 'n' && s.literal("null")
}

func (s *scanner) literal(word string) bool {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		return false
	}
	s.i += len(word)
	return true
}

// raw reads any value and returns its bytes.
func (s *scanner) raw() ([]byte, error) {
	s.space()
	from := s.i
	if err := s.skip(); err != nil {
		return nil, err
	}
	return s.b[from:s.i], nil
}

// skip reads any value.
func (s *scanner) skip() error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(func([]byte) error { return s.skip() })
	case c == '[':
		return s.array(s.skip)
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	case c == 't' && s.literal("true"), c == 'f' && s.literal("false"), c == 'n' && s.literal("null"):
		return nil
	}
	return s.expected("value")
}

// expected is the error for a text that goes on, or ends, in the wrong way.
func (s *scanner) expected(what string) error {
	ended := s.i == len(s.b)
	switch {
	case ended && what == "value":
		return s.fault("EOF while parsing a value")
	case ended && strings.Contains(what, "]"):
		return s.fault("EOF while parsing a list")
	case ended:
		return s.fault("EOF while parsing an object")
	case what == "key":
		return s.fault("key must be a string")
	}
	return s.fault("expected %s", what)
}

// mismatch is the error for a value of another type than the wanted one.
func (s *scanner) mismatch(wanted string) error {
	from := s.i
	if err := s.skip(); err != nil {
		return err
	}
	got := s.b[from:s.i]
	s.i-- // the fault is at the value's last byte
	return s.fault("invalid type: %s, expected %s", describe(got), wanted)
}

func describe(value []byte) string {
	const most = 64
	if len(value) > most {
		value = value[:most]
	}
	switch c := value[0]; {
	case c == '{':
		return "map"
	case c == '[':
		return "sequence"
	case c == '"':
		return "string " + string(value)
	case c == 'n':
		return "null"
	case c == 't' || c == 'f':
		return "boolean `" + string(value) + "`"
	case bytes.ContainsAny(value, ".eE"):
		return "floating point `" + string(value) + "`"
	}
	return "integer `" + string(value) + "`"
}

// str reads a string.
func (s *scanner) str() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.mismatch("a string")
	}
	from := s.i + 1
	ascii := true
	for i := from; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			if !ascii && !utf8.Valid(s.b[from:i]) {
				return nil, s.fault("invalid unicode code point")
			}
			return s.b[from:i], nil
		case c == '\\':
			return s.escaped(from, i)
		case c < ' ':
			s.i = i
			return nil, s.fault(`control character (\u0000-\u001F) found while parsing a string`)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.i = len(s.b)
	return nil, s.fault("EOF while parsing a string")
}

// escaped reads the rest of a string that began at from and has its first
// backslash at i.
func (s *scanner) escaped(from, i int) ([]byte, error) {
	out := append(make([]byte, 0, i-from+16), s.b[from:i]...)
	for i < len(s.b) {
		c := s.b[i]
		switch {
		case c == '"':
			s.i = i + 1
			if !utf8.Valid(out) {
				return nil, s.fault("invalid unicode code point")
			}
			return out, nil
		case c < ' ':
			s.i = i
			return nil, s.fault(`control character (\u0000-\u001F) found while parsing a string`)
		case c != '\\':
			out = append(out, c)
			i++
			continue
		}
		var err error
		if out, i, err = s.escape(out, i); err != nil {
			return nil, err
		}
	}
	s.i = len(s.b)
	return nil, s.fault("EOF while parsing a string")
}

// escape appends what the escape at i stands for and returns the place after it.
func (s *scanner) escape(out []byte, i int) ([]byte, int, error) {
	s.i = i
	if i+1 >= len(s.b) {
		s.i = len(s.b)
		return nil, 0, s.fault("EOF while parsing a string")
	}
	const names, values = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if k := bytes.IndexByte([]byte(names), s.b[i+1]); k >= 0 {
		return append(out, values[k]), i + 2, nil
	}
	if s.b[i+1] != 'u' {
		return nil, 0, s.fault("invalid escape")
	}
	r, ok := s.hex4(i + 2)
	if !ok {
		return nil, 0, s.fault("invalid escape")
	}
	i += 6
	if utf16.IsSurrogate(r) {
		low, ok := rune(0), false
		if i+1 < len(s.b) && s.b[i] == '\\' && s.b[i+1] == 'u' {
			low, ok = s.hex4(i + 2)
		}
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return nil, 0, s.fault("lone leading surrogate in hex escape")
		}
		i += 6
	}
	return utf8.AppendRune(out, r), i, nil
}

func (s *scanner) hex4(i int) (rune, bool) {
	if i+4 > len(s.b) {
		return 0, false
	}
	n, err := strconv.ParseUint(text(s.b[i:i+4]), 16, 16)
	return rune(n), err == nil && s.b[i] != '+'
}
