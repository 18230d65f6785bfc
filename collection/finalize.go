package collection

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
		return ClearPayload{IDs: w.ClearPayload.IDs}, checkIDs(*w.ClearPayload, l)
	case w.SetPayload != nil:
		return finalizeSetPayload(*w.SetPayload, l)
	case w.OverwritePayload != nil:
		return finalizeOverwrite(*w.OverwritePayload, l)
	case w.DeletePayload != nil:
		return finalizeDeletePayload(*w.DeletePayload, l)
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
	raw := make([]byte, 0, min(size, l.BodyBytes+maxRecordBytes))
	records := make([]Record, len(points))
	for i := range points {
		if points[i].ID.IsZero() {
			return nil, invalid("points[%d].id: missing", i)
		}
		start := len(raw)
		var err error
		if raw, err = finalRecord(raw, c, &points[i]); err != nil {
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

func finalizeSetPayload(w PayloadChange, l Limits) (Op, error) {
	if err := checkIDs(w.Selection, l); err != nil {
		return nil, err
	}
	if w.Path != "" {
		if _, err := ParsePath(w.Path); err != nil {
			return nil, err
		}
	}
	raw, err := AppendPayload(nil, w.Payload)
	return SetPayload{IDs: w.IDs, Payload: raw, Path: w.Path}, err
}

// finalizeOverwrite leaves the path aside, as Qdrant does: the payload that is
// replaced is the whole one.
func finalizeOverwrite(w PayloadChange, l Limits) (Op, error) {
	if err := checkIDs(w.Selection, l); err != nil {
		return nil, err
	}
	raw, err := encodePayload(w.Payload, nil)
	return OverwritePayload{IDs: w.IDs, Payload: raw}, err
}

func finalizeDeletePayload(w KeysChange, l Limits) (Op, error) {
	if err := checkIDs(w.Selection, l); err != nil {
		return nil, err
	}
	for _, key := range w.Keys {
		if _, err := ParsePath(key); err != nil {
			return nil, err
		}
	}
	return DeletePayload{IDs: w.IDs, Keys: w.Keys}, nil
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
