package collection

import "slices"

// Finalize turns a write into the operation that goes into the log, with
// everything decided that apply must not decide: dimensions are checked,
// vectors normalised, points encoded. Selections are by ids: whoever calls has
// replaced a filter by the ids it selects. The operation has at most
// BatchPoints points. All arithmetic on floats is here.
func Finalize(info Info, w Write, l Limits) (Op, error) {
	switch {
	case w.Batch != nil:
		return finalizeBatch(info, w.Batch, l)
	case w.Upsert != nil:
		return finalizeUpsert(&info.Config, w.Upsert, l)
	case w.UpdateVectors != nil:
		return finalizeUpdateVectors(&info.Config, w.UpdateVectors, l)
	case w.DeleteVectors != nil:
		return finalizeDeleteVectors(&info.Config, *w.DeleteVectors, l)
	case w.Delete != nil:
		return DeletePoints{IDs: w.Delete.IDs}, checkIDs(*w.Delete, l)
	case w.ClearPayload != nil:
		return finalizeClearPayload(&info.Config, *w.ClearPayload, l)
	case w.SetPayload != nil:
		return finalizeSetPayload(&info.Config, *w.SetPayload, l)
	case w.OverwritePayload != nil:
		return finalizeOverwrite(&info.Config, *w.OverwritePayload, l)
	case w.DeletePayload != nil:
		return finalizeDeletePayload(&info.Config, *w.DeletePayload, l)
	}
	return nil, Errorf(Internal, "a write without an operation")
}

func finalizeUpsert(c *Config, points []Point, l Limits) (Op, error) {
	records, err := finalRecords(c, points, l)
	return Upsert{Records: records}, err
}

func finalRecords(c *Config, points []Point, l Limits) ([]Record, error) {
	if err := checkBatch(len(points), l); err != nil {
		return nil, err
	}
	size := 0
	for i := range points {
		size += recordHeader + 16 + 4*len(points[i].Vector) + sizeOfNamed(points[i].Vectors)
	}
	reader := textReader{config: c}
	raw := make([]byte, 0, min(size, l.BodyBytes+maxRecordBytes))
	records := make([]Record, len(points))
	for i := range points {
		if points[i].ID.IsZero() {
			return nil, invalid("points[%d].id: missing", i)
		}
		start := len(raw)
		var err error
		if raw, err = finalRecord(raw, &reader, &points[i]); err != nil {
			return nil, err
		}
		if len(raw) > l.BodyBytes {
			return nil, tooLarge("the points are larger than %d bytes", l.BodyBytes)
		}
		if records[i], err = DecodeRecord(raw[start:len(raw):len(raw)]); err != nil {
			return nil, err
		}
	}
	return records, nil
}

func finalizeSetPayload(c *Config, w PayloadChange, l Limits) (Op, error) {
	if err := checkIDs(w.Selection, l); err != nil {
		return nil, err
	}
	touched := func(field string) bool {
		_, is := w.Payload[field]
		return is
	}
	into := w.Payload
	if w.Path != "" {
		path, err := ParsePath(w.Path)
		if err != nil {
			return nil, err
		}
		into = nil // an object is put there, and no text
		touched = func(field string) bool {
			is, _ := rootOf(path, field)
			return is
		}
	}
	raw, err := AppendPayload(nil, w.Payload)
	if err != nil {
		return nil, err
	}
	return withTextChanges(c, SetPayload{IDs: w.IDs, Payload: raw, Path: w.Path}, into, touched)
}

// finalizeOverwrite leaves the path aside, as Qdrant does: the payload that is
// replaced is the whole one.
func finalizeOverwrite(c *Config, w PayloadChange, l Limits) (Op, error) {
	if err := checkIDs(w.Selection, l); err != nil {
		return nil, err
	}
	raw, err := encodePayload(w.Payload, nil)
	if err != nil {
		return nil, err
	}
	return withTextChanges(c, OverwritePayload{IDs: w.IDs, Payload: raw}, w.Payload, all)
}

func finalizeDeletePayload(c *Config, w KeysChange, l Limits) (Op, error) {
	if err := checkIDs(w.Selection, l); err != nil {
		return nil, err
	}
	paths := make([]Path, len(w.Keys))
	for i, key := range w.Keys {
		var err error
		if paths[i], err = ParsePath(key); err != nil {
			return nil, err
		}
	}
	return withTextChanges(c, DeletePayload{IDs: w.IDs, Keys: w.Keys}, nil, func(field string) bool {
		return slices.ContainsFunc(paths, func(p Path) bool {
			is, further := rootOf(p, field)
			return is && !further // in a text there is nothing to remove
		})
	})
}

func finalizeClearPayload(c *Config, s Selection, l Limits) (Op, error) {
	if err := checkIDs(s, l); err != nil {
		return nil, err
	}
	return withTextChanges(c, ClearPayload{IDs: s.IDs}, nil, all)
}

func checkIDs(s Selection, l Limits) error {
	if s.Filter != nil {
		return Errorf(Internal, "a filter in a final write")
	}
	for i, id := range s.IDs {
		if id.IsZero() {
			return invalid("points[%d]: missing id", i)
		}
	}
	return checkBatch(len(s.IDs), l)
}

func checkBatch(n int, l Limits) error {
	if most := min(l.BatchPoints, MaxBatchPoints); n > most {
		return tooLarge("%d points in one request, at most %d are allowed", n, most)
	}
	return nil
}

func tooLarge(format string, args ...any) *Error {
	e := Errorf(InvalidArgument, format, args...)
	e.Reason = ReasonTooLarge
	return e
}
