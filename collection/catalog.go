package collection

import (
	"crypto/sha256"
	"encoding/binary"
)

const (
	// AliasesMax is how many aliases a tenant may have, and how many actions on
	// them one request may hold.
	AliasesMax = 1000
	// PayloadIndexesMax is how many fields of a collection may be declared.
	PayloadIndexesMax = 256
	// BatchOpsMax is how many writes a batch may hold.
	BatchOpsMax = 1000

	fieldNameMax  = 1024     // bytes of a declared field's path
	fieldParamMax = 16 << 10 // bytes of a declared field's settings
)

// Alias is another name of a collection.
type Alias struct {
	Name       string
	Collection string
}

// AliasKind is what an AliasAction does. It is a number in the log: append,
// never reorder.
type AliasKind uint8

// The kinds of actions.
const (
	AliasCreate AliasKind = iota + 1 // Alias leads to the collection Target, wherever it led before
	AliasDelete                      // Alias is gone; it may be gone before
	AliasRename                      // Alias, which has to be there, is called Target, whatever had that name
	aliasKindEnd
)

// AliasAction is one change of a tenant's aliases.
type AliasAction struct {
	Kind   AliasKind
	Alias  string
	Target string
}

// Validate checks the number of actions and the names that they give.
func (op UpdateAliases) Validate(l Limits) error {
	if len(op.Actions) > AliasesMax {
		return tooLarge("%d actions in one request, at most %d are allowed", len(op.Actions), AliasesMax)
	}
	for _, a := range op.Actions {
		given := a.Alias
		if a.Kind == AliasRename {
			given = a.Target
		}
		if a.Kind == AliasDelete {
			continue
		}
		if err := ValidateName(given, l); err != nil {
			return err
		}
	}
	return nil
}

// PayloadIndex is a field of a collection's payloads that was declared to be
// filtered by.
type PayloadIndex struct {
	Field string // a path
	Type  FieldType
	// Params are the settings that came with the type, as given; nil: none did.
	Params map[string]any
}

// FieldType is what a declared field holds, by its name on the wire.
type FieldType string

// fieldTypes are the types as stored: a type's number is its place here.
// Append, never reorder.
var fieldTypes = [...]FieldType{
	1: "keyword", 2: "integer", 3: "float", 4: "geo", 5: "text", 6: "bool", 7: "datetime", 8: "uuid",
}

func (t FieldType) number() (byte, bool) {
	for i, known := range fieldTypes {
		if i > 0 && t == known {
			return byte(i), true
		}
	}
	return 0, false
}

// Validate checks the field's path, its type and the size of its settings.
func (x PayloadIndex) Validate() error {
	if len(x.Field) > fieldNameMax {
		return invalid("field_name: %d bytes, must be at most %d", len(x.Field), fieldNameMax)
	}
	if _, err := ParsePath(x.Field); err != nil {
		return err
	}
	if _, known := x.Type.number(); !known {
		return invalid("field_schema: unknown type %q", clip(string(x.Type)))
	}
	raw, err := encodePayload(x.Params, nil)
	if err != nil {
		return invalid("field_schema: nested too deep, or not JSON")
	}
	if len(raw) > fieldParamMax {
		return invalid("field_schema: %d bytes, must be at most %d", len(raw), fieldParamMax)
	}
	return nil
}

// VectorPatch changes settings of one vector, by its name. What is nil stays.
type VectorPatch struct {
	Name     string
	OnDisk   *bool          // of a dense one
	IDF      *bool          // of a sparse one
	Settings map[string]any // over VectorParams.Extra or SparseParams.Extra, see UpdateCollection
}

// Validate checks the size of a change of settings against the limits, and the
// vectors that it names against c. That the whole stays within its limits is
// decided when it is applied.
func (op UpdateCollection) Validate(c Config) error {
	raw, err := encodePayload(op.Settings, nil)
	size := len(raw)
	for _, list := range [][]VectorPatch{op.Vectors, op.Sparse} {
		if len(list) > VectorsMax {
			return invalid("vectors: %d vectors, must be at most %d", len(list), VectorsMax)
		}
		for _, p := range list {
			if err == nil {
				raw, err = encodePayload(p.Settings, nil)
				size += len(raw)
			}
		}
	}
	if err != nil {
		return invalid("collection settings: nested too deep, or not JSON")
	}
	if size > maxExtraBytes {
		return invalid("collection settings: %d bytes, must be at most %d", size, maxExtraBytes)
	}
	_, err = c.patched(op)
	return err
}

// Tag is that of the configuration of the collection of an id.
func (c Config) Tag(id uint64) (Tag, error) {
	b, err := appendConfig(binary.LittleEndian.AppendUint64(nil, id), c)
	if err != nil {
		return Tag{}, err
	}
	sum := sha256.Sum256(b)
	return Tag(sum[:len(Tag{})]), nil
}
