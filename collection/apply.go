package collection

// Machine is the state machine of a partition: it decides the entries that
// EncodeCommand wrote. It has no state of its own.
//
// The files apply*.go, rows.go and the codecs hold the decision. Nothing in
// them may depend on anything but the transaction and the entry, which a test
// over their source holds: no clock, no randomness, no order of a map.
type Machine struct{}

// Apply decides one entry. An entry that cannot be read is a DataLoss: passing
// over it would let this replica drift from those that could read it.
func (Machine) Apply(tx Txn, e Entry) Outcome {
	cmd, err := DecodeCommand(e.Data)
	if err != nil {
		return Outcome{Err: err}
	}
	a := applier{tx: tx, cmd: cmd}
	answer, err := a.run()
	if err != nil {
		return Outcome{Err: err}
	}
	return Outcome{Answer: answer, Events: a.events}
}

// applier is the work on one entry.
type applier struct {
	tx     Txn
	cmd    Command
	clock  clock
	usage  TenantUsage // the tenant's, as this entry leaves it
	events []Event
	rows   slab
	passed []PointID // selected by a filter, and changed since: see moved
	texts  []TextChange
	worked int // bytes that changes of points read and wrote: see work
}

// run decides the entry. The order is part of the contract: a repeated request
// is answered before anything else is looked at.
func (a *applier) run() (Answer, error) {
	before, err := readClock(a.tx)
	if err != nil {
		return Answer{}, err
	}
	a.clock = before
	a.clock.time = max(before.time, a.cmd.Time)
	if a.cmd.Nonce != "" {
		if err := a.use(a.cmd.Nonce); err != nil {
			return Answer{}, err
		}
	}
	if a.cmd.Key != "" {
		answer, known, err := a.recall()
		if err != nil {
			return Answer{}, err
		}
		if known {
			return answer, a.keepNonce(before)
		}
	}
	answer, err := a.decide()
	if err != nil {
		return Answer{}, err
	}
	if answer.Moved = a.passed; len(a.passed) > 0 && a.cmd.Key != "" {
		return Answer{}, Errorf(Aborted, "%d of the points that the filter selects changed meanwhile", len(a.passed))
	}
	if err := a.sweep(); err != nil {
		return Answer{}, err
	}
	if a.cmd.Key != "" {
		if err := a.remember(answer); err != nil {
			return Answer{}, err
		}
	}
	return answer, a.storeClock(before)
}

// keepNonce ends an entry that repeats a request: it changes nothing, but for
// the nonce that it may have.
func (a *applier) keepNonce(before clock) error {
	if a.cmd.Nonce == "" {
		return nil
	}
	if err := a.sweep(); err != nil {
		return err
	}
	return a.storeClock(before)
}

func (a *applier) storeClock(before clock) error {
	if a.clock == before {
		return nil
	}
	return a.tx.Put(BucketCatalog, []byte{rowClock}, a.clock.encode())
}

// decide performs the operation and counts it against the tenant.
func (a *applier) decide() (Answer, error) {
	switch op := a.cmd.Op.(type) {
	case Purge:
		return a.purge(op)
	case CheckDigest:
		return Answer{}, nil
	case OutboxDone:
		return a.outboxDone(op)
	case CutUsage:
		return a.cutUsage()
	case UsageDone:
		return a.usageDone(op)
	}
	if a.cmd.Tenant == "" {
		return Answer{}, Errorf(Internal, "an operation without a tenant")
	}
	before, err := Usage(a.tx, a.cmd.Tenant)
	if err != nil {
		return Answer{}, err
	}
	if _, again := a.cmd.Op.(DropTenant); before.Gone && !again {
		return Answer{}, Errorf(NotFound, "the tenant is deleted")
	}
	a.usage = before
	answer, err := a.perform()
	if err != nil {
		return Answer{}, err
	}
	if err := a.withinQuota(before); err != nil {
		return Answer{}, err
	}
	return answer, a.storeUsage(before)
}

func (a *applier) perform() (Answer, error) {
	switch op := a.cmd.Op.(type) {
	case CreateCollection:
		return a.createCollection(op)
	case DeleteCollection:
		return a.deleteCollection(op)
	case UpdateCollection:
		return a.updateCollection(op)
	case UpdateAliases:
		return a.updateAliases(op)
	case IfMatch:
		return a.ifMatch(op)
	case PutPayloadIndex:
		return a.putPayloadIndex(op)
	case DeletePayloadIndex:
		return a.deletePayloadIndex(op)
	case Batch:
		return a.batch(op)
	case DropTenant:
		return a.dropTenant(op)
	}
	return a.changePoints(a.cmd.Op)
}

// changePoints performs an operation on points.
func (a *applier) changePoints(op Op) (Answer, error) {
	switch op := op.(type) {
	case Upsert:
		return a.upsert(op)
	case DeletePoints:
		return a.deletePoints(op)
	case UpdateVectors:
		return a.updateVectors(op)
	case DeleteVectors:
		return a.deleteVectors(op)
	case SetPayload:
		return a.setPayload(op)
	case OverwritePayload:
		return a.overwritePayload(op)
	case DeletePayload:
		return a.deletePayload(op)
	case ClearPayload:
		return a.clearPayload(op)
	case ChangeTexts:
		return a.changeTexts(op)
	}
	return Answer{}, Errorf(Internal, "operation %T cannot be applied", op)
}

// work counts bytes that the entry reads or writes of points for a change of
// payloads or vectors, and refuses too many.
func (a *applier) work(bytes int) error {
	if a.worked += bytes; a.worked > maxRewriteBytes {
		return tooLarge("the points are too large for one request: change fewer at a time")
	}
	return nil
}

// withinQuota refuses an entry that made something grow past its limit. What
// shrinks passes although it stays above a limit that was lowered.
func (a *applier) withinQuota(before TenantUsage) error {
	for _, q := range [...]struct {
		name          string
		before, after uint64
		limit         int64
	}{
		{"vector_count", before.Points, a.usage.Points, a.cmd.Limits.Vectors},
		{"storage_bytes", before.Bytes, a.usage.Bytes, a.cmd.Limits.Bytes},
		{"collection_count", before.Collections, a.usage.Collections, a.cmd.Limits.Collections},
	} {
		if q.limit >= 0 && q.after > q.before && q.after > uint64(q.limit) {
			return quotaExceeded(q.name, q.before, q.after-q.before, uint64(q.limit))
		}
	}
	return nil
}

func quotaExceeded(name string, current, requested, quota uint64) error {
	e := Errorf(ResourceExhausted, "%s: %d of %d in use, %d more requested", name, current, quota, requested)
	e.Reason = ReasonQuota
	e.Details = map[string]any{"usage": map[string]any{
		"type":      name,
		"current":   current,
		"quota":     quota,
		"requested": requested,
		"available": quota - min(quota, current),
	}}
	return e
}

// storeUsage stores the tenant's counters, none when there is nothing to
// count, so that a tenant that is gone leaves nothing.
func (a *applier) storeUsage(before TenantUsage) error {
	switch a.usage {
	case before:
		return nil
	case TenantUsage{}:
		return a.tx.Delete(BucketCounters, tenantKey(rowTenant, a.cmd.Tenant, ""))
	}
	return a.tx.Put(BucketCounters, tenantKey(rowTenant, a.cmd.Tenant, ""), a.usage.encode())
}
