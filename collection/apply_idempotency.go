package collection

import (
	"bytes"
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

const (
	idempotencyMs = 24 * 60 * 60 * 1000 // how long a key is remembered, in log time
	sweepMost     = 2                   // expired keys, and nonces, removed by one entry: more than it can add
)

// request is the row of an idempotency key: what was asked and answered.
type request struct {
	hash   [32]byte
	time   int64
	answer Answer
}

func (q request) encode() []byte {
	v := append(make([]byte, 0, 61), q.hash[:]...)
	v = binary.LittleEndian.AppendUint64(v, uint64(q.time))
	v = binary.LittleEndian.AppendUint64(v, q.answer.Operation)
	v = binary.LittleEndian.AppendUint32(v, uint32(q.answer.Affected))
	v = binary.LittleEndian.AppendUint64(v, q.answer.Collection)
	if q.answer.Existed {
		return append(v, 1)
	}
	return append(v, 0)
}

func decodeRequest(b []byte) (request, error) {
	var q request
	d := decoder{b: b}
	copy(q.hash[:], d.take(len(q.hash)))
	q.time = int64(d.u64())
	q.answer = Answer{Operation: d.u64(), Affected: d.u32(), Collection: d.u64(), Existed: d.u8() == 1}
	if !d.done() {
		return request{}, corrupt("idempotency key", b)
	}
	return q, nil
}

// recall looks the entry's key up. A request that is known is answered as it
// was before; another request under the same key is refused. An expired key is
// as good as none: it is taken out of the order of time, and replaced later.
func (a *applier) recall() (Answer, bool, error) {
	v, err := a.tx.Get(BucketIdempotency, tenantKey(rowKey, a.cmd.Tenant, a.cmd.Key))
	if v == nil || err != nil {
		return Answer{}, false, err
	}
	known, err := decodeRequest(v)
	if err != nil {
		return Answer{}, false, err
	}
	if known.time+idempotencyMs <= a.clock.time {
		return Answer{}, false, a.tx.Delete(BucketIdempotency, sweepKey(rowKeyTime, known.time, a.cmd.Tenant, a.cmd.Key))
	}
	if known.hash != a.cmd.Hash {
		e := Errorf(FailedPrecondition, "the idempotency key was used for another request")
		e.Reason = ReasonIdempotencyReused
		return Answer{}, false, e
	}
	return known.answer, true, nil
}

// remember stores the answer under the entry's key.
func (a *applier) remember(answer Answer) error {
	row := request{hash: a.cmd.Hash, time: a.clock.time, answer: answer}
	if err := a.tx.Put(BucketIdempotency, tenantKey(rowKey, a.cmd.Tenant, a.cmd.Key), row.encode()); err != nil {
		return err
	}
	a.expires(a.clock.time + idempotencyMs)
	return a.tx.Put(BucketIdempotency, sweepKey(rowKeyTime, a.clock.time, a.cmd.Tenant, a.cmd.Key), []byte{1})
}

// expires notes that something is to be swept at that time.
func (a *applier) expires(at int64) {
	if a.clock.sweep == 0 || at < a.clock.sweep {
		a.clock.sweep = at
	}
}

// sweep removes the oldest expired keys and nonces. The clock row says when
// there is one, so that an entry need not look.
func (a *applier) sweep() error {
	if a.clock.sweep == 0 || a.clock.time < a.clock.sweep {
		return nil
	}
	a.clock.sweep = 0
	if err := a.sweepAged(rowKey, idempotencyMs); err != nil {
		return err
	}
	return a.sweepAged(rowNonce, nonceMs)
}

// sweepAged removes the oldest expired rows of one kind, and notes when the
// next one expires.
func (a *applier) sweepAged(row byte, lifeMs int64) error {
	oldest, err := a.oldest(row, sweepMost+1)
	if err != nil {
		return err
	}
	for i, k := range oldest {
		if at := k.time + lifeMs; i == sweepMost || at > a.clock.time {
			a.expires(at)
			return nil
		}
		if err := a.forget(k); err != nil {
			return err
		}
	}
	return nil
}

// agedKey is one idempotency key, or one nonce, in the order of time.
type agedKey struct {
	row    byte // rowKey or rowNonce; the row after it is the order of time
	time   int64
	tenant tenant.ID
	key    string
}

func (a *applier) forget(k agedKey) error {
	if err := a.tx.Delete(BucketIdempotency, tenantKey(k.row, k.tenant, k.key)); err != nil {
		return err
	}
	return a.tx.Delete(BucketIdempotency, sweepKey(k.row+1, k.time, k.tenant, k.key))
}

// oldest returns up to most idempotency keys, or nonces, oldest first.
func (a *applier) oldest(row byte, most int) ([]agedKey, error) {
	var keys []agedKey
	var broken error
	err := a.tx.Scan(BucketIdempotency, []byte{row + 1}, []byte{row + 2}, func(key, _ []byte) bool {
		if len(key) < 9 {
			broken = corrupt("order of time", key)
			return false
		}
		t, rest, err := tenantOf(key[8:]) // as behind the kind of a row
		broken = err
		keys = append(keys, agedKey{row, int64(binary.BigEndian.Uint64(key[1:])), t, rest})
		return err == nil && len(keys) < most
	})
	if err == nil {
		err = broken
	}
	return keys, err
}

// keysOf returns up to most of the tenant's idempotency keys.
func (a *applier) keysOf(t tenant.ID, most int) ([]agedKey, error) {
	return a.agedOf(rowKey, t, most, func(v []byte) (int64, error) {
		q, err := decodeRequest(v)
		return q.time, err
	})
}

// agedOf returns up to most of the tenant's rows of one kind.
func (a *applier) agedOf(row byte, t tenant.ID, most int, timeOf func(value []byte) (int64, error)) ([]agedKey, error) {
	prefix := tenantKey(row, t, "")
	var keys []agedKey
	var broken error
	err := a.tx.Scan(BucketIdempotency, prefix, prefixEnd(prefix), func(key, value []byte) bool {
		if len(keys) == most {
			return false
		}
		at, err := timeOf(value)
		if err != nil {
			broken = err
			return false
		}
		keys = append(keys, agedKey{row, at, t, string(bytes.TrimPrefix(key, prefix))})
		return true
	})
	if err == nil {
		err = broken
	}
	return keys, err
}
