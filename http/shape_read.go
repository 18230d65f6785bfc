package httpedge

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// nativeReader reads a request of the native API. It is strict: a member that
// the request does not have is refused, and one that stands there twice.
type nativeReader struct {
	pointReader
	most  int      // items of the list that comes next; 0: those of a batch
	names []string // the collections that the request names
}

// commonParameters are understood by every operation that changes something.
var commonParameters = map[string]bool{"wait": true}

// readRequest reads the path, the parameters and the body of a request into q,
// and refuses one about a collection that the key is not for.
func (s *shape) readRequest(r *request, tc *tenant.Context, n *native, q reflect.Value) error {
	p := &nativeReader{pointReader: *newPointReader(r.body, r.s.limits.Request)}
	if err := placed(s.members.readURL(p, r, n.method != fasthttp.MethodGet, q)); err != nil {
		return err
	}
	if n.media == "" && n.method != fasthttp.MethodGet {
		if len(r.body) == 0 {
			p.b = []byte("{}")
		}
		err := s.members.readMembers(p, q, inBody)
		if err == nil {
			err = p.end()
		}
		if err != nil {
			return placed(err)
		}
	}
	p.tell(r)
	return p.mayNames(tc)
}

// readArguments reads a request of which every member stands in one object.
func (s *shape) readArguments(r *request, tc *tenant.Context, arguments []byte, q reflect.Value) error {
	p := &nativeReader{pointReader: *newPointReader(arguments, r.s.limits.Request)}
	if len(arguments) == 0 {
		p.b = []byte("{}")
	}
	err := s.members.readMembers(p, q, "")
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return placed(err)
	}
	p.tell(r)
	return p.mayNames(tc)
}

// tell lets the operation log know the collection that is named first.
func (p *nativeReader) tell(r *request) {
	if len(p.names) > 0 {
		r.about(p.names[0])
	}
}

// mayNames refuses a request that names a collection that the key is not for.
func (p *nativeReader) mayNames(tc *tenant.Context) error {
	for _, name := range p.names {
		if err := mayCollection(tc, name); err != nil {
			return err
		}
	}
	return nil
}

// readURL reads what stands in the path and behind the question mark.
func (o *members) readURL(p *nativeReader, r *request, changes bool, v reflect.Value) error {
	var unknown string
	r.http.QueryArgs().VisitAll(func(key, _ []byte) {
		i, ok := o.byName[string(key)]
		common := changes && commonParameters[string(key)]
		if unknown == "" && !common && (!ok || o.fields[i].in != inQuery) {
			unknown = string(key)
		}
	})
	if unknown != "" {
		return errParameter("query parameters", o.unknown("parameter", unknown, inQuery))
	}
	for i := range o.fields {
		f := &o.fields[i]
		var given string
		var err error
		there := true
		switch f.in {
		case inBody:
			continue
		case inPath:
			given, err = r.param(f.name)
		case inQuery:
			given, there = r.query(f.name)
		}
		if err == nil {
			err = f.readParameter(p, given, there && (given != "" || f.in == inPath), v.FieldByIndex(f.index))
		}
		if err != nil {
			return within(f.name, err)
		}
	}
	return nil
}

func (f *field) readParameter(p *nativeReader, given string, there bool, v reflect.Value) error {
	switch {
	case there:
		if err := f.shape.parse(p, given, v); err != nil {
			return err
		}
		return f.check(v, &p.limits)
	case f.fallback != "":
		f.setFallback(v)
	case f.required:
		return errValue("is missing")
	}
	return nil
}

// readMembers reads an object into the fields of v that stand there; "" reads
// all of them.
func (o *members) readMembers(p *nativeReader, v reflect.Value, in string) error {
	var seen uint64
	err := p.object(func(key []byte) error {
		i, ok := o.byName[string(key)]
		if ok && in == inBody && o.fields[i].in == inPath {
			return within(string(key), o.fields[i].repeated(p, v))
		}
		if !ok || in != "" && o.fields[i].in != in {
			return p.fault("%s", o.unknown("member", string(key), in))
		}
		if seen&(1<<i) != 0 {
			return p.twice(key)
		}
		seen |= 1 << i
		f := &o.fields[i]
		if p.null() {
			if f.required {
				return within(f.name, errValue("must not be null"))
			}
			seen &^= 1 << i // as good as absent
			return nil
		}
		return within(f.name, f.read(p, v.FieldByIndex(f.index)))
	})
	if err != nil {
		return err
	}
	for i := range o.fields {
		f := &o.fields[i]
		if seen&(1<<i) != 0 || in != "" && f.in != in {
			continue
		}
		if f.required {
			return within(f.name, errValue("is missing"))
		}
		if f.fallback != "" {
			f.setFallback(v.FieldByIndex(f.index))
		}
	}
	return nil
}

func (f *field) read(p *nativeReader, v reflect.Value) error {
	if most, ok := bound(f.max, &p.limits); ok {
		p.most = int(min(most, 1<<30))
	}
	err := f.shape.read(p, v)
	p.most = 0
	if err != nil {
		return err
	}
	return f.check(v, &p.limits)
}

// repeated reads once more, in the body, what stands in the path, as older
// clients send it: it must say the same.
func (f *field) repeated(p *nativeReader, v reflect.Value) error {
	again := reflect.New(f.shape.t).Elem()
	if p.null() {
		return nil
	}
	if err := f.shape.read(p, again); err != nil {
		return err
	}
	if !again.Equal(v.FieldByIndex(f.index)) {
		return errValue("is not what the path says")
	}
	return nil
}

// takeMost is how long the list may get that is read now; lists within it have
// bounds of their own.
func (p *nativeReader) takeMost() int {
	most := p.most
	if p.most = 0; most == 0 {
		most = p.limits.BatchPoints
	}
	return most
}

func (p *nativeReader) tooManyItems(most int) error {
	err := errValue("more than " + strconv.Itoa(most) + " items")
	if most == p.limits.BatchPoints {
		err.Reason = collection.ReasonTooLarge
	}
	return err
}

func (p *nativeReader) twice(key []byte) error {
	return p.fault("the member %s is there twice", clipped(string(key)))
}

// collection notes that the request names a collection.
func (p *nativeReader) collection(name string) error {
	p.names = append(p.names, name)
	return collection.ValidateName(name, p.limits)
}

// unknown says what there is instead of a name.
func (o *members) unknown(what, name, in string) string {
	text := "there is no " + what + " " + clipped(name)
	best, nearest := 4, ""
	for _, f := range o.fields {
		if in != "" && f.in != in || len(name) > 64 {
			continue
		}
		if d := levenshtein.Distance(name, f.name, nil); d < best && d < len(f.name) {
			best, nearest = d, f.name
		}
	}
	if nearest != "" {
		text += ", did you mean " + strconv.Quote(nearest) + "?"
	}
	return text
}

// misplaced is an error with the place in the request where it is.
type misplaced struct {
	at  string
	err error
}

func (m *misplaced) Error() string { return m.at + ": " + m.err.Error() }
func (m *misplaced) Unwrap() error { return m.err }

// within says where an error is: in a member, or in the item [n] of a list.
func within(at string, err error) error {
	if err == nil {
		return nil
	}
	if m, ok := errors.AsType[*misplaced](err); ok {
		if m.at[0] != '[' {
			at += "."
		}
		m.at = at + m.at
		return m
	}
	return &misplaced{at: at, err: err}
}

// placed puts the place of an error into its text. A form that is not JSON's is
// wrong wherever it is: the place says line and column.
func placed(err error) error {
	m, ok := errors.AsType[*misplaced](err)
	if !ok {
		return err
	}
	e := *asError(m.err)
	e.Message = m.at + ": " + strings.TrimPrefix(e.Message, m.at+": ")
	return &e
}
