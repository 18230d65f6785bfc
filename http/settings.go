package httpedge

import (
	"maps"
	"slices"
	"strconv"

	"github.com/hivehub/waggle/collection"
)

// rule says what is wrong with the value of a setting; at is its path.
type rule func(at string, v any) error

// settings are the members of a request to create a collection beside the
// vectors' size and distance: those of a vector under "vectors.". Others are
// ignored, as Qdrant ignores them.
var settings = map[string]rule{
	"hnsw_config": hnswRule, "vectors.hnsw_config": hnswRule,
	"quantization_config": object(nil), "vectors.quantization_config": object(nil),
	"vectors.on_disk": flag, "on_disk_payload": flag,
	"vectors.datatype": float32Only, "vectors.multivector_config": later,
	"sparse_vectors": later, "init_from": later, "sharding_method": later,
	"shard_number": atLeast(1), "replication_factor": atLeast(1), "write_consistency_factor": atLeast(1),
	"strict_mode_config": object(nil), "metadata": object(nil),
	"optimizers_config": object(map[string]rule{
		"deleted_threshold": fraction, "vacuum_min_vector_number": atLeast(100), "default_segment_number": atLeast(0),
		"max_segment_size": atLeast(0), "memmap_threshold": atLeast(0), "indexing_threshold": atLeast(0),
		"flush_interval_sec": atLeast(0),
	}),
	"wal_config": object(map[string]rule{
		"wal_capacity_mb": atLeast(1), "wal_segments_ahead": atLeast(0), "wal_retain_closed": atLeast(1),
	}),
}

var hnswRule = object(map[string]rule{
	"m": atLeast(0), "ef_construct": atLeast(4), "full_scan_threshold": atLeast(0), "max_indexing_threads": atLeast(0),
	"payload_m": atLeast(0), "on_disk": flag, "inline_storage": flag,
})

// kept returns the members of given that are settings and not null, checked.
func kept(prefix string, given map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		check, ok := settings[prefix+key]
		if !ok || given[key] == nil {
			continue
		}
		if err := check(prefix+key, given[key]); err != nil {
			return nil, err
		}
		out[key] = given[key]
	}
	return out, nil
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

func fraction(at string, v any) error {
	f, ok := v.(float64)
	if n, isInt := v.(int64); isInt {
		f, ok = float64(n), true
	}
	if !ok {
		return wrongType(at, "a number")
	}
	if f < 0 || f > 1 {
		return errValue(at + ": value " + strconv.FormatFloat(f, 'g', -1, 64) + " invalid, must be from 0.0 to 1.0")
	}
	return nil
}

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
