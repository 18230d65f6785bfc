package httpedge

import (
	"maps"
	"reflect"
	"strings"
	"unicode"

	"github.com/hivehub/waggle/collection"
)

// schema is a JSON schema (2020-12), or a part of an OpenAPI document.
type schema = map[string]any

// schemas collects what the schemas of a document share.
type schemas struct {
	limits collection.Limits
	shared map[string]schema // by their names; nil: nothing is shared, all is written out
}

// named is the schema of a struct: a reference where the document shares them.
func (d *schemas) named(t reflect.Type, o *members) schema {
	if d.shared == nil || t.Name() == "" {
		return d.object(o, inBody)
	}
	name := publicName(t)
	if _, ok := d.shared[name]; !ok {
		d.shared[name] = schema{}
		d.shared[name] = d.object(o, inBody)
	}
	return schema{"$ref": "#/components/schemas/" + name}
}

// publicName is the name of a type in the document.
func publicName(t reflect.Type) string {
	name := []rune(strings.TrimSuffix(t.Name(), "JSON"))
	name[0] = unicode.ToUpper(name[0])
	return string(name)
}

// object is the schema of an object of the fields that stand there, "" of all.
func (d *schemas) object(o *members, in string) schema {
	members := schema{}
	required := []string{}
	for i := range o.fields {
		f := &o.fields[i]
		if in != "" && f.in != in {
			continue
		}
		members[f.name] = d.field(f)
		if f.required {
			required = append(required, f.name)
		}
	}
	s := schema{"type": "object", "properties": members, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// field is the schema of a member.
func (d *schemas) field(f *field) schema {
	s := schema{}
	maps.Copy(s, f.shape.schema(d))
	if f.doc != "" {
		s["description"] = f.doc
	}
	if f.enum != nil {
		s["enum"] = f.enum
	}
	if f.fallback != "" {
		v := reflect.New(f.shape.t).Elem()
		f.setFallback(v)
		s["default"] = v.Interface()
	}
	least, most := "minimum", "maximum"
	switch s["type"] {
	case "string":
		least, most = "minLength", "maxLength"
	case "array":
		least, most = "minItems", "maxItems"
	case "object":
		least, most = "minProperties", "maxProperties"
	}
	if n, ok := bound(f.min, &d.limits); ok {
		s[least] = n
	}
	if n, ok := bound(f.max, &d.limits); ok {
		s[most] = n
	}
	return s
}

// inputSchema is the schema of a request of which all members are in one
// object, and outputSchema that of its answer: nothing in them is a reference.
func (n *native) inputSchema(l collection.Limits) schema {
	return (&schemas{limits: l}).object(n.request.members, "")
}

func (n *native) outputSchema(l collection.Limits) schema {
	return n.answer.schema(&schemas{limits: l})
}
