package httpedge

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hivehub/waggle/collection"
)

// The kinds of shapes: each says how a type is read, written and described.

func (s *shape) ofString() {
	s.read = func(p *nativeReader, v reflect.Value) error {
		b, err := p.str()
		if err == nil {
			v.SetString(string(b))
		}
		return err
	}
	s.parse = func(_ *nativeReader, given string, v reflect.Value) error { v.SetString(given); return nil }
	s.write = func(dst []byte, v reflect.Value) []byte { return appendString(dst, v.String()) }
	s.schema = func(*schemas) schema { return schema{"type": "string"} }
}

func (s *shape) ofBool() {
	s.read = func(p *nativeReader, v reflect.Value) error {
		var b bool
		err := p.boolTo(&b)
		v.SetBool(b)
		return err
	}
	s.parse = func(_ *nativeReader, given string, v reflect.Value) error {
		if given != "true" && given != "false" {
			return errValue(clipped(given) + " is not true or false")
		}
		v.SetBool(given == "true")
		return nil
	}
	s.write = func(dst []byte, v reflect.Value) []byte { return strconv.AppendBool(dst, v.Bool()) }
	s.schema = func(*schemas) schema { return schema{"type": "boolean"} }
}

func (s *shape) ofInt() {
	s.parse = func(_ *nativeReader, given string, v reflect.Value) error {
		n, err := strconv.ParseInt(given, 10, s.t.Bits())
		if err != nil || given[0] == '+' {
			return errValue(clipped(given) + " is not an integer")
		}
		v.SetInt(n)
		return nil
	}
	s.read = func(p *nativeReader, v reflect.Value) error { return p.numberBy(s, v, "an integer") }
	s.write = func(dst []byte, v reflect.Value) []byte { return strconv.AppendInt(dst, v.Int(), 10) }
	s.schema = func(*schemas) schema { return schema{"type": "integer"} }
}

func (s *shape) ofUint() {
	s.parse = func(_ *nativeReader, given string, v reflect.Value) error {
		n, err := strconv.ParseUint(given, 10, s.t.Bits())
		if err != nil {
			return errValue(clipped(given) + " is not a positive integer")
		}
		v.SetUint(n)
		return nil
	}
	s.read = func(p *nativeReader, v reflect.Value) error { return p.numberBy(s, v, "a positive integer") }
	s.write = func(dst []byte, v reflect.Value) []byte { return strconv.AppendUint(dst, v.Uint(), 10) }
	s.schema = func(*schemas) schema { return schema{"type": "integer", "minimum": 0} }
}

func (s *shape) ofFloat() {
	s.parse = func(_ *nativeReader, given string, v reflect.Value) error {
		f, err := strconv.ParseFloat(given, s.t.Bits())
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return errValue(clipped(given) + " is not a number")
		}
		v.SetFloat(f)
		return nil
	}
	s.read = func(p *nativeReader, v reflect.Value) error { return p.numberBy(s, v, "a number") }
	s.write = func(dst []byte, v reflect.Value) []byte {
		return collection.AppendJSONFloat(dst, v.Float(), s.t.Bits())
	}
	s.schema = func(*schemas) schema { return schema{"type": "number"} }
}

// numberBy reads a number in the form of a shape.
func (p *nativeReader) numberBy(s *shape, v reflect.Value, wanted string) error {
	if c := p.peek(); c != '-' && (c < '0' || c > '9') {
		return p.mismatch(wanted)
	}
	digits, err := p.number()
	if err != nil {
		return err
	}
	return s.parse(p, text(digits), v)
}

// ofPointer is of what may be absent.
func (s *shape) ofPointer() {
	inner := shapeOf(s.t.Elem())
	s.optional, s.members = true, nil
	s.read = func(p *nativeReader, v reflect.Value) error {
		v.Set(reflect.New(inner.t))
		return inner.read(p, v.Elem())
	}
	if inner.parse != nil {
		s.parse = func(p *nativeReader, given string, v reflect.Value) error {
			v.Set(reflect.New(inner.t))
			return inner.parse(p, given, v.Elem())
		}
	}
	s.write = func(dst []byte, v reflect.Value) []byte {
		if v.IsNil() {
			return append(dst, "null"...)
		}
		return inner.write(dst, v.Elem())
	}
	s.schema = inner.schema
}

func (s *shape) ofSlice() {
	inner := shapeOf(s.t.Elem())
	s.read = func(p *nativeReader, v reflect.Value) error {
		most := p.takeMost()
		v.Set(reflect.MakeSlice(s.t, 0, 0))
		return p.array(func() error {
			n := v.Len()
			if n == most {
				return p.tooManyItems(most)
			}
			if n == v.Cap() {
				v.Grow(max(4, n))
			}
			v.SetLen(n + 1)
			v.Index(n).SetZero()
			if err := inner.read(p, v.Index(n)); err != nil {
				return within("["+strconv.Itoa(n)+"]", err)
			}
			return nil
		})
	}
	if inner.t.Kind() == reflect.String {
		s.parse = func(p *nativeReader, given string, v reflect.Value) error {
			list := reflect.MakeSlice(s.t, 0, 1)
			for part := range strings.SplitSeq(given, ",") {
				one := reflect.New(inner.t).Elem()
				if err := inner.parse(p, part, one); err != nil {
					return err
				}
				list = reflect.Append(list, one)
			}
			v.Set(list)
			return nil
		}
	}
	s.write = func(dst []byte, v reflect.Value) []byte {
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = inner.write(dst, v.Index(i))
		}
		return append(dst, ']')
	}
	s.schema = func(d *schemas) schema { return schema{"type": "array", "items": inner.schema(d)} }
}

func (s *shape) ofMap() {
	if s.t.Key().Kind() != reflect.String {
		panic("BUG: a map that is not by strings: " + s.t.String())
	}
	inner := shapeOf(s.t.Elem())
	if inner.read != nil {
		s.read = func(p *nativeReader, v reflect.Value) error {
			most := p.takeMost()
			m := reflect.MakeMap(s.t)
			v.Set(m)
			return p.object(func(key []byte) error {
				name := reflect.ValueOf(string(key)).Convert(s.t.Key())
				switch {
				case m.MapIndex(name).IsValid():
					return p.twice(key)
				case m.Len() == most:
					return p.tooManyItems(most)
				}
				one := reflect.New(inner.t).Elem()
				if err := inner.read(p, one); err != nil {
					return within(clipped(string(key)), err)
				}
				m.SetMapIndex(name, one)
				return nil
			})
		}
	}
	s.write = func(dst []byte, v reflect.Value) []byte {
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		dst = append(dst, '{')
		for i, key := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, key.String()), ':')
			dst = inner.write(dst, v.MapIndex(key))
		}
		return append(dst, '}')
	}
	s.schema = func(d *schemas) schema {
		return schema{"type": "object", "additionalProperties": inner.schema(d)}
	}
}

// ofAny is of answers only.
func (s *shape) ofAny() {
	s.write = func(dst []byte, v reflect.Value) []byte {
		b, err := json.Marshal(v.Interface())
		if err != nil {
			panic("BUG: an answer that is no JSON: " + err.Error())
		}
		return append(dst, b...)
	}
	s.schema = func(*schemas) schema { return schema{} }
}

// specials are the types with a form of their own.
var specials = map[reflect.Type]func(*shape){
	reflect.TypeFor[[]float32](): func(s *shape) {
		s.read = func(p *nativeReader, v reflect.Value) error {
			list, err := p.dense()
			v.Set(reflect.ValueOf(list))
			return err
		}
		s.write = func(dst []byte, v reflect.Value) []byte { return appendVector(dst, v.Interface().([]float32)) }
		s.schema = func(*schemas) schema { return schema{"type": "array", "items": schema{"type": "number"}} }
	},
	reflect.TypeFor[collection.Payload](): func(s *shape) {
		s.read = func(p *nativeReader, v reflect.Value) error {
			payload, err := p.payload()
			v.Set(reflect.ValueOf(payload))
			return err
		}
		s.write = func(dst []byte, v reflect.Value) []byte { return v.Interface().(collection.Payload).AppendJSON(dst) }
		s.schema = func(*schemas) schema { return schema{"type": "object"} }
	},
	reflect.TypeFor[*collection.Filter](): func(s *shape) {
		s.optional = true
		s.read = func(p *nativeReader, v reflect.Value) error {
			f, err := p.filter()
			v.Set(reflect.ValueOf(f))
			return err
		}
		s.schema = func(*schemas) schema {
			return schema{"type": "object", "description": "A filter as in Qdrant's API: must, should, must_not, min_should."}
		}
	},
	reflect.TypeFor[*collection.SparseVector](): func(s *shape) {
		s.optional = true
		s.read = func(p *nativeReader, v reflect.Value) error {
			sparse, err := p.sparse()
			v.Set(reflect.ValueOf(sparse))
			return err
		}
		s.write = func(dst []byte, v reflect.Value) []byte {
			return appendSparse(dst, v.Interface().(*collection.SparseVector))
		}
		s.schema = func(*schemas) schema {
			return schema{
				"type": "object", "required": []string{"indices", "values"}, "properties": schema{
					"indices": schema{"type": "array", "items": schema{"type": "integer", "minimum": 0, "maximum": math.MaxUint32}},
					"values":  schema{"type": "array", "items": schema{"type": "number"}},
				},
			}
		}
	},
	reflect.TypeFor[collectionName](): func(s *shape) {
		s.ofString()
		s.parse = func(p *nativeReader, given string, v reflect.Value) error {
			v.SetString(given)
			return p.collection(given)
		}
		s.read = func(p *nativeReader, v reflect.Value) error {
			b, err := p.str()
			if err != nil {
				return err
			}
			return s.parse(p, string(b), v)
		}
		s.schema = func(*schemas) schema { return schema{"type": "string", "minLength": 1, "maxLength": 255} }
	},
	reflect.TypeFor[metricName](): func(s *shape) {
		s.ofString()
		s.parse = func(_ *nativeReader, given string, v reflect.Value) error {
			return v.Addr().Interface().(*metricName).parse(given)
		}
		s.read = func(p *nativeReader, v reflect.Value) error {
			b, err := p.str()
			if err != nil {
				return err
			}
			return s.parse(p, string(b), v)
		}
		s.schema = func(*schemas) schema { return schema{"type": "string", "enum": sortedKeys(metricWords)} }
	},
	reflect.TypeFor[vectorID](): func(s *shape) {
		s.ofString()
		s.parse = func(_ *nativeReader, given string, v reflect.Value) error {
			v.SetString(given)
			return vectorID(given).check()
		}
		s.read = func(p *nativeReader, v reflect.Value) error {
			id, err := p.vectorID()
			v.SetString(id)
			return err
		}
	},
}

// special makes the shape of a type that has a form of its own.
func special(s *shape) bool {
	make, ok := specials[s.t]
	if ok {
		make(s)
	}
	return ok
}
