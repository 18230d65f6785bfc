package httpedge

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hivehub/waggle/collection"
)

// shape is a type of the native API's requests and answers: how it is read,
// written and described. It is made once from the Go type.
//
// The types that there are: strings, booleans, integers and floating point
// numbers of any size, collectionName and vectorID, []float32 (as fast as the
// body of an upsert), collection.Payload (any JSON object), *collection.Filter,
// *collection.SparseVector, pointers (nil: absent), slices, maps by string, and
// structs of all these. any is only for answers.
//
// The tags of a struct's field:
//
//	json:"name"          a member of the body, or of an inner object
//	path:"name"          the parameter :name of the path
//	query:"name"         a parameter of the URL
//	json:"name,omitempty" it may be left out (as with encoding/json: an answer
//	                     leaves it out when it is zero); without it, it must be there
//	doc:"text"           what it means, for readers of the documents
//	alias:"a,b"          other names that requests may use, of older clients
//	default:"10"         what a request means that leaves it out; implies omitempty
//	enum:"a,b"           the only values
//	min:"1" max:"100"    bounds of a number, of the bytes of a string, of the
//	                     length of a list; as max also batch, topk and dimension: the
//	                     node's limits of these names
//
// An embedded struct's fields count as the outer one's.
type shape struct {
	t        reflect.Type
	read     func(p *nativeReader, v reflect.Value) error           // of JSON
	parse    func(p *nativeReader, s string, v reflect.Value) error // of a parameter of the URL; nil: cannot be one
	write    func(dst []byte, v reflect.Value) []byte
	schema   func(d *schemas) schema
	members  *members // of a struct
	optional bool     // a pointer: null is as good as absent
}

// members is what a struct adds to its shape.
type members struct {
	fields []field
	byName map[string]int
}

// field is a member of a request or an answer.
type field struct {
	name      string
	in        string // body, path or query
	index     []int  // for reflect
	shape     *shape
	doc       string
	required  bool
	fallback  string // a value of its own type, as in a URL; "": none
	enum      []string
	alias     []string
	min, max  string
	omitEmpty bool
}

const (
	inBody  = "body"
	inPath  = "path"
	inQuery = "query"
)

// fieldsMax is how many fields a struct may have: seen members are bits.
const fieldsMax = 64

var shapes sync.Map // of reflect.Type: *shape

// shapeOf returns the shape of a type, and panics for a type that has none.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := newShape(t)
	shapes.Store(t, s)
	return s
}

func newShape(t reflect.Type) *shape {
	s := &shape{t: t}
	if special(s) {
		return s
	}
	switch t.Kind() {
	case reflect.String:
		s.ofString()
	case reflect.Bool:
		s.ofBool()
	case reflect.Int, reflect.Int32, reflect.Int64:
		s.ofInt()
	case reflect.Uint32, reflect.Uint64:
		s.ofUint()
	case reflect.Float32, reflect.Float64:
		s.ofFloat()
	case reflect.Pointer:
		s.ofPointer()
	case reflect.Slice:
		s.ofSlice()
	case reflect.Map:
		s.ofMap()
	case reflect.Struct:
		s.ofStruct()
	case reflect.Interface:
		s.ofAny()
	default:
		panic("BUG: the native API has no form for " + t.String())
	}
	return s
}

func (s *shape) ofStruct() {
	o := &members{byName: map[string]int{}}
	o.collect(s.t, nil)
	if len(o.fields) > fieldsMax {
		panic("BUG: more than 64 fields in " + s.t.String())
	}
	for i, f := range o.fields {
		for _, name := range append([]string{f.name}, f.alias...) {
			if _, twice := o.byName[name]; twice {
				panic("BUG: " + name + " is there twice in " + s.t.String())
			}
			o.byName[name] = i
		}
	}
	s.members = o
	s.read = func(p *nativeReader, v reflect.Value) error { return o.readMembers(p, v, inBody) }
	s.write = o.write
	s.schema = func(d *schemas) schema { return d.named(s.t, o) }
}

// collect adds the fields of a struct, and of those embedded in it.
func (o *members) collect(t reflect.Type, at []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(append([]int{}, at...), i)
		if sf.Anonymous {
			o.collect(sf.Type, index)
			continue
		}
		f := field{index: index, shape: shapeOf(sf.Type), doc: sf.Tag.Get("doc"), fallback: sf.Tag.Get("default"), min: sf.Tag.Get("min"), max: sf.Tag.Get("max")}
		for _, in := range []string{inPath, inQuery, "json"} {
			tag, ok := sf.Tag.Lookup(in)
			if !ok {
				continue
			}
			if f.in = in; in == "json" {
				f.in = inBody
			}
			var options string
			f.name, options, _ = strings.Cut(tag, ",")
			f.omitEmpty = options == "omitempty"
		}
		if list := sf.Tag.Get("enum"); list != "" {
			f.enum = strings.Split(list, ",")
		}
		if list := sf.Tag.Get("alias"); list != "" {
			f.alias = strings.Split(list, ",")
		}
		f.required = !f.omitEmpty && f.fallback == "" && !f.shape.optional
		if f.name == "" || f.in != inBody && f.shape.parse == nil {
			panic(fmt.Sprintf("BUG: field %s of %s has no place in a request", sf.Name, t))
		}
		if f.fallback != "" { // it must be one
			f.setFallback(reflect.New(sf.Type).Elem())
		}
		o.fields = append(o.fields, f)
	}
}

func (f *field) setFallback(v reflect.Value) {
	if f.shape.parse == nil {
		panic("BUG: " + f.name + " can have no default")
	}
	if err := f.shape.parse(&nativeReader{}, f.fallback, v); err != nil {
		panic("BUG: the default of " + f.name + ": " + err.Error())
	}
}

// checkPath panics when a request does not read what its path holds.
func (s *shape) checkPath(path string) {
	if s.members == nil {
		panic("BUG: a request that is no struct: " + s.t.String())
	}
	for word := range strings.SplitSeq(path, "/") {
		name, ok := strings.CutPrefix(word, ":")
		if !ok {
			continue
		}
		i, ok := s.members.byName[name]
		if !ok || s.members.fields[i].in != inPath {
			panic("BUG: nothing reads :" + name + " of " + path)
		}
	}
}

// bound is a limit as a number: what it says, or the node's of that name.
func bound(text string, l *collection.Limits) (n float64, ok bool) {
	switch text {
	case "":
		return 0, false
	case "batch":
		return float64(l.BatchPoints), true
	case "topk":
		return float64(l.TopK), true
	case "dimension":
		return float64(l.Dimension), true
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic("BUG: " + text + " is no limit")
	}
	return n, true
}

// check refuses a value that is not within the field's limits.
func (f *field) check(v reflect.Value, l *collection.Limits) error {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if f.enum != nil {
		return f.checkEnum(v)
	}
	if f.min == "" && f.max == "" {
		return nil
	}
	var n float64
	unit := ""
	switch v.Kind() {
	case reflect.String:
		n, unit = float64(v.Len()), " bytes"
	case reflect.Slice, reflect.Map:
		n, unit = float64(v.Len()), " items"
	case reflect.Int, reflect.Int32, reflect.Int64:
		n = float64(v.Int())
	case reflect.Uint32, reflect.Uint64:
		n = float64(v.Uint())
	case reflect.Float32, reflect.Float64:
		n = v.Float()
	default:
		panic("BUG: " + f.name + " can have no limits")
	}
	if least, ok := bound(f.min, l); ok && n < least {
		return errValue(fmt.Sprintf("%v%s, must be %v or more", n, unit, least))
	}
	most, ok := bound(f.max, l)
	if !ok || n <= most {
		return nil
	}
	err := errValue(fmt.Sprintf("%v%s, must be %v or less", n, unit, most))
	if f.max == "batch" {
		err.Reason = collection.ReasonTooLarge
	}
	return err
}

func (f *field) checkEnum(v reflect.Value) error {
	given := v.String()
	if slices.Contains(f.enum, given) {
		return nil
	}
	return errValue(clipped(given) + " is not one of " + strings.Join(f.enum, ", "))
}

// clipped is text of a caller's as it stands in an error.
func clipped(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.Quote(s)
}
