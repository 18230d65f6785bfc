package httpedge

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hivehub/waggle/collection"
)

// rule says what is wrong with the value of a setting; at is its path.
type rule func(at string, v any) error

// settings are the members of requests about collections that are kept to be
// shown again: "" of a request to create one, "patch." of one to change it,
// "params." of the latter's params, and those of the vectors. Others are
// ignored, as Qdrant ignores them.
var settings = map[string]rule{
	"hnsw_config": hnswRule, "optimizers_config": optimizersRule, "quantization_config": quantization,
	"wal_config": walRule, "strict_mode_config": object(nil), "metadata": object(nil),
	"on_disk_payload": flag, "init_from": later, "sharding_method": later,
	"shard_number": atLeast(1), "replication_factor": atLeast(1), "write_consistency_factor": atLeast(1),

	"vectors.hnsw_config": hnswRule, "vectors.quantization_config": quantization, "vectors.on_disk": flag,
	"vectors.datatype": float32Only, "vectors.multivector_config": later,

	"sparse_vectors.index":    object(map[string]rule{"full_scan_threshold": atLeast(0), "on_disk": flag, "datatype": float32Only}),
	"sparse_vectors.modifier": oneOf("none", "idf"),

	"patch.hnsw_config": hnswRule, "patch.optimizers_config": optimizersRule, "patch.quantization_config": quantizationDiff,
	"patch.strict_mode_config": object(nil), "patch.metadata": object(nil),

	"params.replication_factor": atLeast(1), "params.write_consistency_factor": atLeast(1), "params.on_disk_payload": flag,
	"params.read_fan_out_factor": atLeast(0), "params.read_fan_out_delay_ms": atLeast(0),

	"patch.vectors.hnsw_config": hnswRule, "patch.vectors.quantization_config": quantizationDiff, "patch.vectors.on_disk": flag,
}

var optimizersRule = object(map[string]rule{
	"deleted_threshold": between(0, 1), "vacuum_min_vector_number": atLeast(100), "default_segment_number": atLeast(0),
	"max_segment_size": atLeast(0), "memmap_threshold": atLeast(0), "indexing_threshold": atLeast(0),
	"flush_interval_sec": atLeast(0),
})

var walRule = object(map[string]rule{
	"wal_capacity_mb": atLeast(1), "wal_segments_ahead": atLeast(0), "wal_retain_closed": atLeast(1),
})

var hnswRule = object(map[string]rule{
	"m": atLeast(0), "ef_construct": atLeast(4), "full_scan_threshold": atLeast(0), "max_indexing_threads": atLeast(0),
	"payload_m": atLeast(0), "on_disk": flag, "inline_storage": flag,
})

// quantizations are the kinds of quantization and the settings of each.
var quantizations = map[string]rule{
	"scalar":  object(map[string]rule{"type": oneOf("int8"), "quantile": between(0.5, 1), "always_ram": flag}),
	"product": object(map[string]rule{"compression": oneOf("x4", "x8", "x16", "x32", "x64"), "always_ram": flag}),
	"binary": object(map[string]rule{
		"always_ram": flag, "encoding": oneOf("one_bit", "two_bits", "one_and_half_bits"),
		"query_encoding": oneOf("default", "binary", "scalar4bits", "scalar8bits"),
	}),
}

// quantization is {kind: settings} with one kind.
func quantization(at string, v any) error {
	given, _ := v.(map[string]any)
	for _, kind := range slices.Sorted(maps.Keys(quantizations)) {
		if given[kind] != nil {
			return quantizations[kind](at+"."+kind, given[kind])
		}
	}
	if given["turbo"] != nil {
		return later(at+".turbo", given["turbo"])
	}
	return errFormat(at + ": data did not match any variant of untagged enum QuantizationConfig")
}

// quantizationDiff is a quantization, or the word that there is none.
func quantizationDiff(at string, v any) error {
	if v == "Disabled" {
		return nil
	}
	return quantization(at, v)
}

// kept returns the members of given that are settings of a kind and not null,
// checked. at is the path of given, "" or with a point at the end.
func kept(kind, at string, given map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		check, ok := settings[kind+key]
		if !ok || given[key] == nil {
			continue
		}
		if err := check(at+key, given[key]); err != nil {
			return nil, err
		}
		out[key] = given[key]
		if key != "metadata" { // there a null is a value, or takes one away
			out[key] = withoutNulls(given[key])
		}
	}
	return out, nil
}

// withoutNulls is a setting as it is shown: what is null was not set.
func withoutNulls(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(object))
	for key, v := range object {
		if v != nil {
			out[key] = withoutNulls(v)
		}
	}
	return out
}

func wrongType(at, wanted string) error { return errFormat(at + ": invalid type, expected " + wanted) }

func flag(at string, v any) error {
	if _, ok := v.(bool); !ok {
		return wrongType(at, "a boolean")
	}
	return nil
}

func atLeast(least int64) rule {
	return func(at string, v any) error {
		n, ok := v.(int64)
		if !ok {
			return wrongType(at, "an integer")
		}
		if n < least {
			return errValue(at + ": value " + strconv.FormatInt(n, 10) + " invalid, must be " + strconv.FormatInt(least, 10) + " or larger")
		}
		return nil
	}
}

func between(least, most float64) rule {
	return func(at string, v any) error {
		f, ok := v.(float64)
		if n, isInt := v.(int64); isInt {
			f, ok = float64(n), true
		}
		if !ok {
			return wrongType(at, "a number")
		}
		if f < least || f > most {
			return errValue(at + ": value " + decimal(f) + " invalid, must be from " + decimal(least) + " to " + decimal(most))
		}
		return nil
	}
}

func decimal(f float64) string { return string(collection.AppendJSONFloat(nil, f, 64)) }

func oneOf(words ...string) rule {
	return func(at string, v any) error {
		word, ok := v.(string)
		if !ok {
			return wrongType(at, "a string")
		}
		if !slices.Contains(words, word) {
			return errFormat(at + ": unknown variant, expected one of `" + strings.Join(words, "`, `") + "`")
		}
		return nil
	}
}

func anything(string, any) error { return nil }

// object checks the members that it knows and lets the others pass.
func object(members map[string]rule) rule {
	return func(at string, v any) error {
		given, ok := v.(map[string]any)
		if !ok {
			return wrongType(at, "a map")
		}
		for _, key := range slices.Sorted(maps.Keys(given)) {
			check := members[key]
			if check == nil || given[key] == nil {
				continue
			}
			if err := check(at+"."+key, given[key]); err != nil {
				return err
			}
		}
		return nil
	}
}

// later refuses what is known and not built, except where nothing is asked for.
func later(at string, v any) error {
	if given, ok := v.(map[string]any); ok && len(given) == 0 {
		return nil
	}
	return collection.Errorf(collection.Unimplemented, "%s is not supported yet", at)
}

func float32Only(at string, v any) error {
	switch v {
	case "float32":
		return nil
	case "float16", "uint8":
		return collection.Errorf(collection.Unimplemented, "%s %v is not supported yet", at, v)
	}
	return errFormat(at + ": unknown variant, expected one of `float32`, `uint8`, `float16`")
}
