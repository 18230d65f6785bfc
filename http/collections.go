package httpedge

import (
	"maps"
	"slices"
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

func (s *Server) createCollection(r *request, tc tenant.Context) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	var body collection.Payload
	err = r.decode(func(p *pointReader) (err error) {
		body, err = p.payload()
		return err
	})
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
	if !config.Plain() {
		return collection.Errorf(collection.Unimplemented, "named vectors and collections without a vector are not supported yet")
	}
	if err := s.engine.CreateCollection(r.ctx, tc, name, config); err != nil {
		return err
	}
	return r.answerBool(true)
}

// readConfig turns the body of a create request into a configuration. What is
// not null and not the vector's size and distance is kept in Extra, the vector's
// or the collection's.
func readConfig(body collection.Payload) (collection.Config, error) {
	extra, err := kept("", body)
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
	return config, nil
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
	at := "vectors"
	if name != "" {
		at += "." + name
	}
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
	if params.Extra, err = kept("vectors.", object); err != nil {
		return err
	}
	if on, ok := params.Extra["on_disk"].(bool); ok {
		params.OnDisk = &on
		delete(params.Extra, "on_disk")
	}
	if len(params.Extra) == 0 {
		params.Extra = nil
	}
	config.Vectors = append(config.Vectors, params)
	return nil
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

// appendInfo writes a collection as Qdrant describes one: what was set is
// shown, what was not is left out, except where Qdrant shows its defaults.
func appendInfo(dst []byte, info *collection.Info) []byte {
	status := "green"
	if info.Building {
		status = "yellow"
	}
	dst = append(append(dst, `{"status":"`...), status...)
	dst = append(dst, `","optimizer_status":"ok","indexed_vectors_count":`...)
	dst = strconv.AppendUint(dst, info.Indexed, 10)
	dst = append(dst, `,"points_count":`...)
	dst = strconv.AppendUint(dst, info.Points, 10)
	dst = append(dst, `,"segments_count":1,"config":`...)
	dst = configEcho(info.Config).AppendJSON(dst)
	return append(dst, `,"payload_schema":{}}`...)
}

func configEcho(c collection.Config) collection.Payload {
	params := map[string]any{
		"vectors": vectorsEcho(c), "shard_number": int64(1), "replication_factor": int64(1),
		"write_consistency_factor": int64(1), "on_disk_payload": true,
	}
	for _, key := range []string{"shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload"} {
		if value, ok := c.Extra[key]; ok {
			params[key] = value
		}
	}
	echo := collection.Payload{
		"params": params, "hnsw_config": maps.Clone(hnswDefaults), "optimizer_config": maps.Clone(optimizerDefaults),
		"wal_config": maps.Clone(walDefaults), "quantization_config": c.Extra["quantization_config"],
	}
	overlay(echo["hnsw_config"], c.Extra["hnsw_config"])
	overlay(echo["optimizer_config"], c.Extra["optimizers_config"])
	overlay(echo["wal_config"], c.Extra["wal_config"])
	for _, key := range []string{"strict_mode_config", "metadata"} {
		if value, ok := c.Extra[key]; ok {
			echo[key] = value
		}
	}
	return echo
}

// vectorsEcho is one vector, or a map of them by name.
func vectorsEcho(c collection.Config) map[string]any {
	byName := map[string]any{}
	for _, v := range c.Vectors {
		vector := map[string]any{"size": int64(v.Size), "distance": string(v.Distance)}
		overlay(vector, v.Extra)
		if v.OnDisk != nil {
			vector["on_disk"] = *v.OnDisk
		}
		byName[v.Name] = vector
	}
	if one, ok := byName[""].(map[string]any); ok && len(byName) == 1 {
		return one
	}
	return byName
}

// overlay puts what was set over what is there; a null sets nothing.
func overlay(onto, set any) {
	object, _ := set.(map[string]any)
	for key, value := range object {
		if value != nil {
			onto.(map[string]any)[key] = value
		}
	}
}

// What Qdrant shows for settings that were not set.
var (
	hnswDefaults = map[string]any{
		"m": int64(16), "ef_construct": int64(100), "full_scan_threshold": int64(10_000),
		"max_indexing_threads": int64(0), "on_disk": false,
	}
	optimizerDefaults = map[string]any{
		"deleted_threshold": 0.2, "vacuum_min_vector_number": int64(1000), "default_segment_number": int64(0),
		"max_segment_size": nil, "memmap_threshold": nil, "indexing_threshold": int64(10_000),
		"flush_interval_sec": int64(5), "max_optimization_threads": nil,
	}
	walDefaults = map[string]any{"wal_capacity_mb": int64(32), "wal_segments_ahead": int64(0), "wal_retain_closed": int64(1)}
)
