package hubsvc

import (
	"bytes"

	"github.com/hivehub/waggle/tenant"
)

// The tables that entries write beside the records: audit, events, nonces,
// collection records. Each has a bound, and each entry does bounded work.

// consumeNonce refuses the entry when its nonce has been used.
func (a *apply) consumeNonce() error {
	if err := a.sweepNonces(); err != nil || a.actor.Nonce == "" {
		return err
	}
	key := nonceKey(a.actor.Service, a.actor.Nonce)
	row, used, err := get[nonceRow](a.tx, key)
	if err != nil {
		return err
	}
	if used && row.Until > a.now {
		return errReplayed
	}
	if used { // and not swept yet
		if err := a.dropNonce(nonceUntilKey(row.Until, a.actor.Service, a.actor.Nonce)); err != nil {
			return err
		}
	}
	if a.ledger.Nonces >= NoncesMax {
		return errorf(CodeUnavailable, "%d signed requests in %d s, the most there can be", a.ledger.Nonces, NonceKeptMs/1000)
	}
	a.ledger.Nonces++
	row.Until = a.now + NonceKeptMs
	if err := a.tx.Put(Bucket, key, encodeRecord(row)); err != nil {
		return err
	}
	return a.tx.Put(Bucket, nonceUntilKey(row.Until, a.actor.Service, a.actor.Nonce), []byte{1})
}

// sweepNonces forgets some whose time has passed: more than an entry adds.
func (a *apply) sweepNonces() error {
	if a.ledger.Nonces == 0 {
		return nil
	}
	keys, err := firstKeys(a.tx, []byte{tagNonceUntil}, sweptNoncesEntry)
	if err != nil {
		return err
	}
	end := be64([]byte{tagNonceUntil}, uint64(a.now)+1)
	for _, key := range keys {
		if bytes.Compare(key, end) >= 0 {
			return nil
		}
		if err := a.dropNonce(key); err != nil {
			return err
		}
	}
	return nil
}

// dropNonce forgets the nonce of a key of the order of expiry.
func (a *apply) dropNonce(untilKey []byte) error {
	a.ledger.Nonces--
	if err := a.tx.Delete(Bucket, untilKey); err != nil {
		return err
	}
	return a.tx.Delete(Bucket, append([]byte{tagNonce}, untilKey[1+8:]...))
}

// audit writes a row about what the entry's actor did.
func (a *apply) audit(t tenant.ID, action, target, detail string) error {
	return a.auditRow(AuditEntry{
		Tenant: t, Actor: a.actor.String(), Address: a.actor.Address, RequestID: a.actor.RequestID,
		Action: action, Target: target, Outcome: OutcomeOK, Detail: detail,
	})
}

func (a *apply) auditRow(e AuditEntry) error {
	e.Index, e.Ordinal, e.Time = a.change.Index, a.rows, a.now
	a.rows++
	name := e.Pool()
	pool, err := poolOf(a.tx, name)
	if err != nil {
		return err
	}
	e.Chain = tenant.ChainAudit(pool.Chain, &e)
	pool.Chain = e.Chain
	pool.Rows++
	if err := a.tx.Put(Bucket, auditKey(&e), encodeRecord(e)); err != nil {
		return err
	}
	if err := a.tx.Put(Bucket, appendAuditPosition(auditPoolPrefix(name), &e), []byte{1}); err != nil {
		return err
	}
	if err := a.tx.Put(Bucket, auditPoolKey(name), encodeRecord(pool)); err != nil {
		return err
	}
	a.ledger.AuditRows++
	if pool.Rows > AuditRowsTenantMax {
		return a.trimAudit(auditPoolPrefix(name))
	}
	if a.ledger.AuditRows > AuditRowsMax {
		return a.trimAudit([]byte{tagAudit})
	}
	return nil
}

// trimAudit forgets the oldest row whose key, or key in its pool, begins with prefix.
func (a *apply) trimAudit(prefix []byte) error {
	keys, err := firstKeys(a.tx, prefix, 1)
	if err != nil || len(keys) == 0 {
		return err
	}
	position := keys[0][len(prefix):]
	key := append([]byte{tagAudit}, position...)
	e, ok, err := get[AuditEntry](a.tx, key)
	if err != nil {
		return err
	}
	if !ok {
		return errorf(CodeDataLoss, "an audit row of a pool is not there")
	}
	name := e.Pool()
	pool, err := poolOf(a.tx, name)
	if err != nil {
		return err
	}
	pool.Rows--
	pool.Gone++
	pool.Until = e.Time
	a.ledger.AuditRows--
	a.ledger.AuditGone++
	a.ledger.AuditUntil = e.Time
	if err := a.tx.Delete(Bucket, key); err != nil {
		return err
	}
	if err := a.tx.Delete(Bucket, append(auditPoolPrefix(name), position...)); err != nil {
		return err
	}
	return a.putPool(name, pool)
}

// putPool stores a pool, unless it is that of a tenant of which nothing is left.
func (a *apply) putPool(name string, pool auditPool) error {
	if pool.Rows == 0 && name != "" && name != tenantlessAuthPool {
		there, err := a.tx.Get(Bucket, recordKey(tagTenant, name))
		if err != nil {
			return err
		}
		if there == nil {
			return a.tx.Delete(Bucket, auditPoolKey(name))
		}
	}
	return a.tx.Put(Bucket, auditPoolKey(name), encodeRecord(pool))
}

func (a *apply) recordAuth(op *RecordAuth) (any, error) {
	for i := range op.Seen {
		s := &op.Seen[i]
		e := AuditEntry{
			Tenant: s.Tenant, Actor: string(s.KeyID), Address: s.Address, Target: s.KeyPrefix,
			Action: ActionAuthSuccess, Outcome: OutcomeOK, Detail: s.Reason,
			Count: s.Count, First: s.First, Last: s.Last,
		}
		if s.Reason != "" {
			e.Action, e.Outcome = ActionAuthFailure, OutcomeRefused
		}
		if err := a.auditRow(e); err != nil {
			return nil, err
		}
	}
	return len(op.Seen), nil
}

// event tells those who cache keys and limits.
func (a *apply) event(e Event) error {
	a.ledger.Event++
	e.Version, e.At = a.ledger.Event, a.now
	a.change.Events = append(a.change.Events, e)
	if err := a.tx.Put(Bucket, eventKey(e.Version), encodeRecord(e)); err != nil {
		return err
	}
	for a.ledger.Event-a.ledger.EventFirst >= EventsMax {
		if err := a.tx.Delete(Bucket, eventKey(a.ledger.EventFirst)); err != nil {
			return err
		}
		a.ledger.EventFirst++
	}
	return nil
}

func (a *apply) recordCollections(op *RecordCollections) (any, error) {
	for _, r := range op.Records {
		if err := a.recordCollection(r); err != nil {
			return nil, err
		}
	}
	return len(op.Records), nil
}

// recordCollection merges r into what is known. A tenant that is gone has no
// records any more: its outbox may still be on the way.
func (a *apply) recordCollection(r CollectionRecord) error {
	there, err := a.tx.Get(Bucket, recordKey(tagTenant, r.Tenant))
	if err != nil || there == nil {
		return err
	}
	key := collectionKey(r.Tenant, r.Collection)
	known, ok, err := get[CollectionRecord](a.tx, key)
	if err != nil {
		return err
	}
	if ok {
		if r.Created == 0 {
			r.Created = known.Created
		}
		if known.Deleted != 0 || r == known {
			return nil
		}
	}
	if err := a.tx.Put(Bucket, key, encodeRecord(r)); err != nil || r.Deleted == 0 {
		return err
	}
	return a.collectionDeleted(r)
}

// collectionDeleted notes a deletion, and forgets the oldest past the limit.
func (a *apply) collectionDeleted(r CollectionRecord) error {
	if err := a.tx.Put(Bucket, collectionGoneKey(r.Tenant, a.change.Index, r.Collection), []byte{1}); err != nil {
		return err
	}
	countKey := recordKey(tagCollectionCount, r.Tenant)
	count, _, err := get[collectionCount](a.tx, countKey)
	if err != nil {
		return err
	}
	if count.Deleted++; count.Deleted > deletedRecordsMax {
		keys, err := firstKeys(a.tx, collectionPrefix(tagCollectionGone, r.Tenant), 1)
		if err != nil {
			return err
		}
		for _, key := range keys {
			id := key[len(key)-8:]
			if err := a.tx.Delete(Bucket, append(collectionPrefix(tagCollection, r.Tenant), id...)); err != nil {
				return err
			}
			if err := a.tx.Delete(Bucket, key); err != nil {
				return err
			}
			count.Deleted--
		}
	}
	return a.tx.Put(Bucket, countKey, encodeRecord(count))
}

// sweepCollections forgets up to n rows of a purged tenant's collections and their usage, and
// marks it for later entries when there may be more.
func (a *apply) sweepCollections(t tenant.ID, n int) error {
	left := n
	for _, tag := range [...]byte{tagCollection, tagCollectionGone, tagUsageCollection, tagUsageGone, tagUsageDay} {
		keys, err := firstKeys(a.tx, collectionPrefix(tag, t), left)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := a.tx.Delete(Bucket, key); err != nil {
				return err
			}
		}
		left -= len(keys)
	}
	mark := recordKey(tagSweep, t)
	marked, err := a.tx.Get(Bucket, mark)
	if err != nil {
		return err
	}
	switch {
	case left == 0 && marked == nil:
		a.ledger.Sweeps++
		return a.tx.Put(Bucket, mark, []byte{1})
	case left == 0:
		return nil
	case marked != nil:
		a.ledger.Sweeps--
		if err := a.tx.Delete(Bucket, mark); err != nil {
			return err
		}
	}
	return a.tx.Delete(Bucket, recordKey(tagCollectionCount, t))
}

// sweep goes on with a purged tenant of which rows are left.
func (a *apply) sweep() error {
	if a.ledger.Sweeps == 0 {
		return nil
	}
	keys, err := firstKeys(a.tx, []byte{tagSweep}, 1)
	if err != nil || len(keys) == 0 {
		return err
	}
	return a.sweepCollections(tenant.ID(keys[0][1:]), sweptRowsEntry)
}
