package httpedge

import "reflect"

// write appends an object.
func (o *members) write(dst []byte, v reflect.Value) []byte {
	dst = append(dst, '{')
	first := true
	for i := range o.fields {
		f := &o.fields[i]
		member := v.FieldByIndex(f.index)
		if f.omitEmpty && isEmpty(member) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), f.name...), `":`...)
		dst = f.shape.write(dst, member)
	}
	return append(dst, '}')
}

// isEmpty is what encoding/json leaves out with omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
