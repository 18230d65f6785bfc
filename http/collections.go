package httpedge

import (
	"maps"
	"slices"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

func (s *Server) createCollection(r *request, tc tenant.Context) error {
	name, body, err := r.nameAndSettings()
	if err != nil {
		return err
	}
	config, err := readConfig(body)
	if err != nil {
		return err
	}
	if err := config.Validate(s.limits.Request); err != nil {
		return err
	}
	o, err := r.changeOptions()
	if err != nil {
		return err
	}
	if err := s.engine.CreateCollection(r.ctx, tc, name, config, o); err != nil {
		return err
	}
	return r.answerBool(true)
}

func (s *Server) updateCollection(r *request, tc tenant.Context) error {
	name, body, err := r.nameAndSettings()
	if err != nil {
		return err
	}
	op, err := readPatch(body)
	if err != nil {
		return err
	}
	o, err := r.changeOptions()
	if err != nil {
		return err
	}
	if err := s.engine.UpdateCollection(r.ctx, tc, name, op, o); err != nil {
		return err
	}
	return r.answerBool(true)
}

// nameAndSettings reads a request about a collection as a whole.
func (r *request) nameAndSettings() (name string, body collection.Payload, err error) {
	if name, err = r.name(); err != nil {
		return "", nil, err
	}
	err = r.decode(func(p *pointReader) (err error) {
		body, err = p.payload()
		return err
	})
	return name, body, err
}

// readConfig turns the body of a create request into a configuration. What is
// not null and not what the domain has words for is kept in Extra, the vector's
// or the collection's.
func readConfig(body collection.Payload) (collection.Config, error) {
	extra, err := kept("", "", body)
	if err != nil {
		return collection.Config{}, err
	}
	config := collection.Config{Extra: extra}
	vectors, err := vectorConfigs(body["vectors"])
	if err != nil {
		return config, err
	}
	for _, name := range slices.Sorted(maps.Keys(vectors)) {
		if err := addVector(&config, name, vectors[name]); err != nil {
			return config, err
		}
	}
	err = eachVector("sparse_vectors", body["sparse_vectors"], func(at, name string, given map[string]any) error {
		p := collection.SparseParams{Name: name}
		if p.Extra, err = kept("sparse_vectors.", at+".", given); err != nil {
			return err
		}
		if modifier, ok := p.Extra["modifier"]; ok {
			p.IDF = modifier == "idf"
		}
		config.Sparse = append(config.Sparse, p)
		return nil
	})
	return config, err
}

// eachVector calls fn for each of a map of objects by the names of vectors, in
// the order of these.
func eachVector(at string, v any, fn func(at, name string, given map[string]any) error) error {
	if v == nil {
		return nil
	}
	byName, ok := v.(map[string]any)
	if !ok {
		return wrongType(at, "a map")
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		at := pathOf(at, name)
		given, ok := byName[name].(map[string]any)
		if !ok && byName[name] != nil {
			return wrongType(at, "a map")
		}
		if err := fn(at, name, given); err != nil {
			return err
		}
	}
	return nil
}

// pathOf is the path of the settings of a vector.
func pathOf(at, name string) string {
	const most = 64
	if len(name) > most {
		name = name[:most] + "..."
	}
	if name == "" {
		return at
	}
	return at + "." + name
}

// vectorConfigs reads the two forms of `vectors`: one configuration, which is
// the default vector's, or a map of them by name.
func vectorConfigs(v any) (map[string]any, error) {
	if v == nil {
		return nil, nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errFormat("vectors: data did not match any variant of untagged enum VectorsConfig")
	}
	_, isSize := object["size"].(map[string]any)
	if _, one := object["size"]; one && !isSize {
		return map[string]any{"": object}, nil
	}
	return object, nil
}

func addVector(config *collection.Config, name string, v any) error {
	at := pathOf("vectors", name)
	object, ok := v.(map[string]any)
	if !ok {
		return errFormat(at + ": data did not match any variant of untagged enum VectorsConfig")
	}
	size, ok := object["size"].(int64)
	if !ok {
		return errFormat(at + ".size: missing, or not an integer")
	}
	word, ok := object["distance"].(string)
	if !ok {
		return errFormat(at + ".distance: missing, or not a string")
	}
	distance, err := collection.ParseDistance(word)
	if err != nil {
		return asFormat(err)
	}
	params := collection.VectorParams{Name: name, Distance: distance, Size: int(max(0, min(size, 1<<31-1)))}
	if params.OnDisk, params.Extra, err = vectorSettings("vectors.", at+".", object); err != nil {
		return err
	}
	config.Vectors = append(config.Vectors, params)
	return nil
}

// vectorSettings are the settings of a dense vector, nil where there are none.
func vectorSettings(kind, at string, given map[string]any) (onDisk *bool, extra map[string]any, err error) {
	if extra, err = kept(kind, at, given); err != nil {
		return nil, nil, err
	}
	if on, ok := extra["on_disk"].(bool); ok {
		onDisk = &on
		delete(extra, "on_disk")
	}
	if len(extra) == 0 {
		extra = nil
	}
	return onDisk, extra, nil
}

// readPatch turns the body of a request to change a collection into the change.
func readPatch(body collection.Payload) (collection.UpdateCollection, error) {
	var op collection.UpdateCollection
	settings, err := kept("patch.", "", body)
	if err != nil {
		return op, err
	}
	params, ok := body["params"].(map[string]any)
	if !ok && body["params"] != nil {
		return op, wrongType("params", "a map")
	}
	changed, err := kept("params.", "params.", params)
	if err != nil {
		return op, err
	}
	maps.Copy(settings, changed)
	op.Settings = settings
	err = eachVector("vectors", body["vectors"], func(at, name string, given map[string]any) error {
		p := collection.VectorPatch{Name: name}
		if p.OnDisk, p.Settings, err = vectorSettings("patch.vectors.", at+".", given); err != nil {
			return err
		}
		op.Vectors = append(op.Vectors, p)
		return nil
	})
	if err != nil {
		return op, err
	}
	err = eachVector("sparse_vectors", body["sparse_vectors"], func(at, name string, given map[string]any) error {
		p := collection.VectorPatch{Name: name}
		if p.Settings, err = kept("sparse_vectors.", at+".", given); err != nil {
			return err
		}
		if modifier, ok := p.Settings["modifier"]; ok {
			idf := modifier == "idf"
			p.IDF = &idf
		}
		op.Sparse = append(op.Sparse, p)
		return nil
	})
	return op, err
}

func (s *Server) getCollection(r *request, tc tenant.Context) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	info, err := s.engine.GetCollection(r.ctx, tc, name)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte { return appendInfo(dst, &info) })
}
