package httpedge

import (
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// putPayloadIndex declares a field of payloads.
func (s *Server) putPayloadIndex(r *request, tc tenant.Context) error {
	name, options, err := r.target()
	if err != nil {
		return err
	}
	var index collection.PayloadIndex
	err = r.decode(func(p *pointReader) (err error) {
		index, err = p.payloadIndex()
		return err
	})
	if err != nil {
		return err
	}
	if err := index.Validate(); err != nil {
		return asFormat(err)
	}
	done, err := s.engine.PutPayloadIndex(r.ctx, tc, name, index)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte { return appendUpdate(dst, done.Operation, options) })
}

// deletePayloadIndex takes a declaration back.
func (s *Server) deletePayloadIndex(r *request, tc tenant.Context) error {
	name, options, err := r.target()
	if err != nil {
		return err
	}
	field, err := r.param("field")
	if err != nil {
		return err
	}
	if _, err := collection.ParsePath(field); err != nil {
		return asFormat(err)
	}
	done, err := s.engine.DeletePayloadIndex(r.ctx, tc, name, field)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte { return appendUpdate(dst, done.Operation, options) })
}

// target reads which collection is to be changed, and how to answer.
func (r *request) target() (name string, o collection.WriteOptions, err error) {
	if name, err = r.name(); err == nil {
		o, err = r.writeOptions()
	}
	return name, o, err
}

// payloadIndex reads {"field_name": path, "field_schema": type or object}.
func (p *pointReader) payloadIndex() (collection.PayloadIndex, error) {
	var x collection.PayloadIndex
	named := false
	err := p.object(func(key []byte) error {
		switch string(key) {
		case "field_name":
			named = true
			return p.pathTo(&x.Field)
		case "field_schema", "field_type":
			return p.fieldSchema(&x)
		}
		return p.skip()
	})
	switch {
	case err != nil:
	case !named:
		err = p.fault("missing field `field_name`")
	case x.Type == "":
		err = &collection.Error{
			Code: collection.InvalidArgument, Reason: collection.ReasonBadRequest,
			Message: "Can't auto-detect payload field type, please specify `field_schema` in the request",
		}
	}
	return x, err
}

// fieldSchema reads the name of a type, or {"type": name} with its settings.
func (p *pointReader) fieldSchema(x *collection.PayloadIndex) error {
	if p.null() {
		return nil
	}
	if p.peek() != '{' {
		var word string
		err := p.stringTo(&word)
		x.Type = collection.FieldType(word)
		if err == nil && fieldSettings[x.Type] == nil {
			err = p.fault(noFieldSchema)
		}
		return err
	}
	params, err := p.payload()
	if err != nil {
		return err
	}
	word, _ := params["type"].(string)
	x.Type = collection.FieldType(word)
	rules := fieldSettings[x.Type]
	if rules == nil {
		return p.fault(noFieldSchema)
	}
	if err := object(rules)("field_schema", map[string]any(params)); err != nil {
		return err
	}
	if x.Type == "integer" && params["lookup"] == false && params["range"] == false {
		return errValue("field_schema.lookup: the 'lookup' and 'range' capabilities can't be both disabled")
	}
	x.Params = map[string]any{}
	for key, v := range params {
		if v != nil && (key == "type" || rules[key] != nil) {
			x.Params[key] = v
		}
	}
	return nil
}

const noFieldSchema = "data did not match any variant of untagged enum PayloadFieldSchema"

// fieldSettings are the settings of each type of a field.
var fieldSettings = map[collection.FieldType]map[string]rule{
	"keyword":  {"is_tenant": flag, "on_disk": flag, "enable_hnsw": flag},
	"integer":  {"lookup": flag, "range": flag, "is_principal": flag, "on_disk": flag, "enable_hnsw": flag},
	"float":    {"is_principal": flag, "on_disk": flag, "enable_hnsw": flag},
	"geo":      {"on_disk": flag, "enable_hnsw": flag},
	"bool":     {"on_disk": flag, "enable_hnsw": flag},
	"datetime": {"is_principal": flag, "on_disk": flag, "enable_hnsw": flag},
	"uuid":     {"is_tenant": flag, "on_disk": flag, "enable_hnsw": flag},
	"text": {
		"tokenizer": oneOf("prefix", "whitespace", "word", "multilingual"), "min_token_len": atLeast(0), "max_token_len": atLeast(0),
		"lowercase": flag, "ascii_folding": flag, "phrase_matching": flag, "stopwords": anything, "stemmer": anything,
		"on_disk": flag, "enable_hnsw": flag,
	},
}
