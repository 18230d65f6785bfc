package httpedge

import (
	"maps"
	"strconv"

	"github.com/hivehub/waggle/collection"
)

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
	dst = append(dst, `,"payload_schema":{`...)
	for i := range info.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendField(dst, &info.Fields[i])
	}
	return append(dst, `}}`...)
}

func appendField(dst []byte, f *collection.FieldInfo) []byte {
	dst = append(appendString(dst, f.Field), `:{"data_type":"`...)
	dst = append(append(dst, f.Type...), '"')
	if f.Params != nil {
		dst = collection.Payload(f.Params).AppendJSON(append(dst, `,"params":`...))
	}
	return append(strconv.AppendUint(append(dst, `,"points":`...), f.Points, 10), '}')
}

func configEcho(c collection.Config) collection.Payload {
	params := map[string]any{
		"vectors": vectorsEcho(c), "shard_number": int64(1), "replication_factor": int64(1),
		"write_consistency_factor": int64(1), "on_disk_payload": true,
	}
	for _, key := range paramKeys {
		if value, ok := c.Extra[key]; ok {
			params[key] = value
		}
	}
	if len(c.Sparse) > 0 {
		params["sparse_vectors"] = sparseEcho(c)
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

// paramKeys are the settings that are shown among the params.
var paramKeys = []string{
	"shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload", "read_fan_out_factor", "read_fan_out_delay_ms",
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

func sparseEcho(c collection.Config) map[string]any {
	byName := map[string]any{}
	for _, v := range c.Sparse {
		vector := map[string]any{}
		overlay(vector, v.Extra)
		byName[v.Name] = vector
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
