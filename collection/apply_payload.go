package collection

// maxRewriteBytes bounds the records that one payload change writes: a few
// bytes of a request may touch 10,000 large points.
const maxRewriteBytes = 256 << 20

func (a *applier) setPayload(op SetPayload) (Answer, error) {
	change, err := DecodePayload(op.Payload)
	if err != nil {
		return Answer{}, err
	}
	return a.rewrite(op.IDs, func(old Record) ([]byte, error) {
		p, err := old.Payload()
		if err != nil {
			return nil, err
		}
		p, err = p.Merge(op.Path, change)
		return encodePayload(p, err)
	})
}

func (a *applier) overwritePayload(op OverwritePayload) (Answer, error) {
	return a.rewrite(op.IDs, func(Record) ([]byte, error) { return op.Payload, nil })
}

func (a *applier) deletePayload(op DeletePayload) (Answer, error) {
	return a.rewrite(op.IDs, func(old Record) ([]byte, error) {
		p, err := old.Payload()
		if err != nil {
			return nil, err
		}
		p, err = p.Without(op.Keys)
		return encodePayload(p, err)
	})
}

func (a *applier) clearPayload(op ClearPayload) (Answer, error) {
	return a.rewrite(op.IDs, func(Record) ([]byte, error) { return nil, nil })
}

// encodePayload encodes an edited payload as it stands in a record: as nothing
// when it is empty.
func encodePayload(p Payload, err error) ([]byte, error) {
	if err != nil || len(p) == 0 {
		return nil, err
	}
	return AppendPayload(nil, p)
}

// rewrite gives each point that is there the payload that edit makes of its
// record, under a new version. The vector's bytes stay as they are.
func (a *applier) rewrite(ids []PointID, edit func(Record) ([]byte, error)) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	written := 0
	for i, id := range ids {
		old, _, found, err := GetPoint(a.tx, t.id, id)
		if err != nil {
			return Answer{}, err
		}
		if !found {
			continue
		}
		payload, err := edit(old)
		if err != nil {
			return Answer{}, err
		}
		size := old.payload + len(payload)
		if written += size; size > maxRecordBytes || written > maxRewriteBytes {
			e := Errorf(InvalidArgument, "the points with their new payload are too large: change fewer at a time")
			e.Reason = ReasonTooLarge
			return Answer{}, e
		}
		if err := a.put(&t, old.withPayload(payload), a.version(i)); err != nil {
			return Answer{}, err
		}
	}
	return Answer{Affected: len(a.events), Collection: t.id}, a.close(&t)
}
