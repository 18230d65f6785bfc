package httpedge

import (
	"fmt"
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
	err = r.decode(func(sc *scanner) (err error) {
		body, err = sc.payload()
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
	if err := s.engine.CreateCollection(r.ctx, tc, name, config); err != nil {
		return err
	}
	return r.answerBool(true)
}

// readConfig turns the body of a create request into a configuration. What is
// not null and not the vector's size and distance is kept in Extra: of the
// vector under "vector", the rest under its own name.
func readConfig(body collection.Payload) (collection.Config, error) {
	config := collection.Config{Extra: map[string]any{}}
	for _, key := range slices.Sorted(maps.Keys(body)) {
		value := body[key]
		if value == nil || key == "vectors" || key == "vector" {
			continue
		}
		keep, err := checkSetting(key, value)
		if err != nil {
			return config, err
		}
		if keep {
			config.Extra[key] = value
		}
	}
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
	config.Vectors = append(config.Vectors, collection.VectorParams{
		Name: name, Distance: distance, Size: int(max(0, min(size, 1<<31-1))),
	})
	extra := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		value := object[key]
		if value == nil || key == "size" || key == "distance" {
			continue
		}
		keep, err := checkSetting("vectors."+key, value)
		if err != nil {
			return err
		}
		if keep {
			extra[key] = value
		}
	}
	if len(extra) > 0 {
		config.Extra["vector"] = extra
	}
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
	dst = append(dst, `{"status":"green","optimizer_status":"ok","indexed_vectors_count":0,"points_count":`...)
	dst = strconv.AppendUint(dst, info.Points, 10)
	dst = append(dst, `,"segments_count":1,"config":`...)
	dst = appendValue(dst, configEcho(info.Config))
	return append(dst, `,"payload_schema":{}}`...)
}

func configEcho(c collection.Config) map[string]any {
	vector := map[string]any{"size": int64(c.Vector().Size), "distance": string(c.Vector().Distance)}
	overlay(vector, c.Extra["vector"])
	params := map[string]any{
		"vectors": vector, "shard_number": int64(1), "replication_factor": int64(1),
		"write_consistency_factor": int64(1), "on_disk_payload": true,
	}
	for _, key := range []string{"shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload"} {
		if value, ok := c.Extra[key]; ok {
			params[key] = value
		}
	}
	echo := map[string]any{
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

// setting says what a value may be.
type setting struct {
	kind     string  // int, float, bool, object, any
	min, max float64 // of a number; max 0: none
	members  map[string]setting
	notYet   bool // known, and refused until it is built
}

var (
	count = func(least float64) setting { return setting{kind: "int", min: least} }
	flag  = setting{kind: "bool"}
	given = setting{kind: "any"}
	hnsw  = setting{kind: "object", members: map[string]setting{
		"m": count(0), "ef_construct": count(4), "full_scan_threshold": count(0), "max_indexing_threads": count(0),
		"on_disk": flag, "payload_m": count(0), "inline_storage": flag,
	}}
)

// settings are the members of a create request beside the vectors' size and
// distance. Others are ignored, as Qdrant ignores them.
var settings = map[string]setting{
	"hnsw_config":                 hnsw,
	"vectors.hnsw_config":         hnsw,
	"quantization_config":         {kind: "object"},
	"vectors.quantization_config": {kind: "object"},
	"vectors.on_disk":             flag,
	"vectors.datatype":            {kind: "datatype"},
	"vectors.multivector_config":  {notYet: true},
	"optimizers_config": {kind: "object", members: map[string]setting{
		"deleted_threshold": {kind: "float", max: 1}, "vacuum_min_vector_number": count(100),
		"default_segment_number": count(0), "max_segment_size": count(0), "memmap_threshold": count(0),
		"indexing_threshold": count(0), "flush_interval_sec": count(0), "max_optimization_threads": given,
	}},
	"wal_config": {kind: "object", members: map[string]setting{
		"wal_capacity_mb": count(1), "wal_segments_ahead": count(0), "wal_retain_closed": count(1),
	}},
	"shard_number": count(1), "replication_factor": count(1), "write_consistency_factor": count(1),
	"on_disk_payload": flag, "strict_mode_config": {kind: "object"}, "metadata": {kind: "object"},
	"sparse_vectors": {notYet: true}, "init_from": {notYet: true}, "sharding_method": {notYet: true},
}

// checkSetting reports whether a setting is one to keep, or what is wrong with it.
func checkSetting(at string, v any) (keep bool, err error) {
	rule, ok := settings[at]
	if !ok {
		return false, nil
	}
	return true, rule.check(at, v)
}

func (rule setting) check(at string, v any) error {
	if empty, isObject := v.(map[string]any); rule.notYet && !(isObject && len(empty) == 0) {
		return collection.Errorf(collection.Unimplemented, "%s is not supported yet", at)
	}
	number, ok := 0.0, true
	switch n := v.(type) {
	case int64:
		number, ok = float64(n), rule.kind == "int" || rule.kind == "float"
	case float64:
		number, ok = n, rule.kind == "float"
	case bool:
		ok = rule.kind == "bool"
	case map[string]any:
		if rule.kind == "object" {
			return rule.checkMembers(at, n)
		}
		ok = rule.notYet
	case string:
		if ok = rule.kind == "datatype"; ok && n != "float32" {
			return collection.Errorf(collection.Unimplemented, "%s %s is not supported yet", at, n)
		}
	default:
		ok = false
	}
	if rule.kind == "any" {
		return nil
	}
	if !ok {
		return errFormat(fmt.Sprintf("%s: invalid type, expected %s", at, rule.kind))
	}
	return rule.checkRange(at, number)
}

func (rule setting) checkRange(at string, n float64) error {
	if rule.kind != "int" && rule.kind != "float" {
		return nil
	}
	value := strconv.FormatFloat(n, 'g', -1, 64)
	switch {
	case rule.max > 0 && (n < rule.min || n > rule.max):
		return errValue(fmt.Sprintf("%s: value %s invalid, must be from %.1f to %.1f", at, value, rule.min, rule.max))
	case n < rule.min:
		return errValue(fmt.Sprintf("%s: value %s invalid, must be %g or larger", at, value, rule.min))
	}
	return nil
}

func (rule setting) checkMembers(at string, object map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		member, ok := rule.members[key]
		if !ok || object[key] == nil {
			continue
		}
		if err := member.check(at+"."+key, object[key]); err != nil {
			return err
		}
	}
	return nil
}
