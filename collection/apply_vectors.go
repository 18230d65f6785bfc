package collection

// updateVectors gives each point the vectors of its record. A point that is not
// there refuses the entry, as in Qdrant.
func (a *applier) updateVectors(op UpdateVectors) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	for i, change := range op.Records {
		old, _, found, err := GetPoint(a.tx, t.id, change.id)
		if err != nil {
			return Answer{}, err
		}
		if !found {
			return Answer{}, noPoint(change.id)
		}
		if err := a.work(len(old.raw) + len(change.raw)); err != nil {
			return Answer{}, err
		}
		now, err := old.withVectors(change)
		if err != nil {
			return Answer{}, err
		}
		if err := a.put(&t, now, t.version(i)); err != nil {
			return Answer{}, err
		}
	}
	return t.answer(len(op.Records)), a.close(&t)
}

// deleteVectors removes vectors from points that have them. A point that the
// caller named and that is not there refuses the entry.
func (a *applier) deleteVectors(op DeleteVectors) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	affected := 0
	for i, id := range op.IDs {
		old, version, found, err := GetPoint(a.tx, t.id, id)
		if err != nil {
			return Answer{}, err
		}
		if !found && a.cmd.Basis == 0 {
			return Answer{}, noPoint(id)
		}
		if !found || a.moved(id, version) {
			continue
		}
		if err := a.work(len(old.raw)); err != nil {
			return Answer{}, err
		}
		now, had, err := old.withoutVectors(op.Vectors)
		if err != nil {
			return Answer{}, err
		}
		if !had {
			continue
		}
		affected++
		if err := a.put(&t, now, t.version(i)); err != nil {
			return Answer{}, err
		}
	}
	return t.answer(affected), a.close(&t)
}

func noPoint(id PointID) *Error { return Errorf(NotFound, "No point with id %s found", id) }

// batch performs operations one after the other. The answer is the last one's,
// with the points that all of them affected.
func (a *applier) batch(op Batch) (Answer, error) {
	t, err := a.open() // a batch of nothing has to have a collection, too
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Operation: t.before.changes, Collection: t.id}
	for _, op := range op.Ops {
		one, err := a.changePoints(op)
		if err != nil {
			return Answer{}, err
		}
		one.Affected += answer.Affected
		answer = one
	}
	return answer, nil
}
