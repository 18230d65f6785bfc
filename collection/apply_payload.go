package collection

const (
	// maxRewriteBytes bounds the work of one payload change, counted in bytes
	// that it reads and writes: a short request may touch 10,000 large points.
	maxRewriteBytes = 256 << 20
	pathCost        = 64 // of looking for one path in a payload, besides the payload's length
)

func (a *applier) setPayload(op SetPayload) (Answer, error) {
	change, err := DecodePayload(op.Payload)
	if err != nil {
		return Answer{}, err
	}
	return a.rewrite(op.IDs, 1, func(old Record) ([]byte, error) {
		p, err := old.Payload()
		if err != nil {
			return nil, err
		}
		p, err = p.Merge(op.Path, change)
		return encodePayload(p, err)
	})
}

func (a *applier) overwritePayload(op OverwritePayload) (Answer, error) {
	return a.rewrite(op.IDs, 0, func(Record) ([]byte, error) { return op.Payload, nil })
}

func (a *applier) deletePayload(op DeletePayload) (Answer, error) {
	return a.rewrite(op.IDs, len(op.Keys), func(old Record) ([]byte, error) {
		p, err := old.Payload()
		if err != nil {
			return nil, err
		}
		p, err = p.Without(op.Keys)
		return encodePayload(p, err)
	})
}

func (a *applier) clearPayload(op ClearPayload) (Answer, error) {
	return a.rewrite(op.IDs, 0, func(Record) ([]byte, error) { return nil, nil })
}

// changeTexts changes payloads and the texts that they are.
func (a *applier) changeTexts(op ChangeTexts) (Answer, error) {
	a.texts = op.Texts
	answer, err := a.changePoints(op.Op)
	a.texts = nil
	return answer, err
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
// record, looking for that many paths in it, under a new version. The vector's
// bytes stay as they are.
func (a *applier) rewrite(ids []PointID, paths int, edit func(Record) ([]byte, error)) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	affected := 0
	for i, id := range ids {
		old, version, found, err := GetPoint(a.tx, t.id, id)
		if err != nil {
			return Answer{}, err
		}
		if !found || a.moved(id, version) {
			continue
		}
		if err := a.work(len(old.raw) + paths*(len(old.PayloadBytes())+pathCost)); err != nil {
			return Answer{}, err
		}
		payload, err := edit(old)
		if err != nil {
			return Answer{}, err
		}
		if int(old.payload)+len(payload) > maxRecordBytes {
			return Answer{}, tooLarge("point %s would grow too large", id)
		}
		affected++
		now := old.withPayload(payload)
		if a.texts != nil {
			if now, err = now.withTexts(a.texts); err != nil {
				return Answer{}, err
			}
		}
		if err := a.work(len(now.raw) - int(old.payload)); err != nil {
			return Answer{}, err
		}
		if err := a.put(&t, now, t.version(i)); err != nil {
			return Answer{}, err
		}
	}
	return t.answer(affected), a.close(&t)
}
