package collection

import "math"

// Finalize turns a write into the operation that goes into the log, with
// everything decided that apply must not decide: dimensions are checked,
// vectors normalised, points encoded. Selections are by ids: whoever calls has
// replaced a filter by the ids it selects. The operation has at most
// BatchPoints points. All arithmetic on floats is here.
func Finalize(info Info, w Write, l Limits) (Op, error) {
	switch {
	case w.Upsert != nil:
		return finalizeUpsert(info.Config.Vector(), w.Upsert, l)
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

func finalizeUpsert(params VectorParams, points []Point, l Limits) (Op, error) {
	if err := checkBatch(len(points), l); err != nil {
		return nil, err
	}
	size := 0
	for _, p := range points {
		size += recordHeader + 16 + 4*len(p.Vector)
	}
	raw := make([]byte, 0, size)
	records := make([]Record, len(points))
	for i, p := range points {
		if p.ID.IsZero() {
			return nil, invalid("points[%d].id: missing", i)
		}
		vector, err := prepare(params, p.Vector)
		if err != nil {
			return nil, err
		}
		start := len(raw)
		p.Vector = vector
		if raw, err = EncodeRecord(raw, p); err != nil {
			return nil, err
		}
		if len(raw) > l.BodyBytes {
			return nil, tooLarge("the points are larger than %d bytes", l.BodyBytes)
		}
		if records[i], err = DecodeRecord(raw[start:len(raw):len(raw)]); err != nil {
			return nil, err
		}
	}
	return Upsert{Records: records}, nil
}

// prepare returns a vector as it is stored and searched: checked, and of unit
// length for Cosine. It does not change v. A point may have none.
func prepare(params VectorParams, v []float32) ([]float32, error) {
	if v == nil {
		return nil, nil
	}
	if len(v) != params.Size {
		return nil, Errorf(InvalidArgument, "Vector dimension error: expected dim: %d, got %d", params.Size, len(v))
	}
	for i, x := range v {
		if x-x != 0 { // NaN for NaN and the infinities, 0 for every other
			return nil, invalid("vector[%d]: %v is not a finite number", i, x)
		}
	}
	if params.Distance == Cosine {
		return normalised(v), nil
	}
	return v, nil
}

// PrepareQuery returns a caller's vector as it is searched for.
func PrepareQuery(info Info, v []float32) ([]float32, error) {
	if v == nil {
		v = []float32{}
	}
	return prepare(info.Config.Vector(), v)
}

// normalised returns v at unit length. The zero vector has no direction and
// stays what it is.
func normalised(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return v
	}
	norm := math.Sqrt(sum)
	unit := make([]float32, len(v))
	for i, x := range v {
		unit[i] = float32(float64(x) / norm)
	}
	return unit
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
