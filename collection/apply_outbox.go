package collection

import (
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

const (
	// outboxMost is how many rows one entry takes out of the outbox.
	outboxMost = 1000
	// outboxRowsMax bounds the outbox of a partition while the hub is away: past
	// it nothing is created. What is there can always be deleted.
	outboxRowsMax = 100_000
)

// Notice is what the hub is told of a collection: that it was made,
// and later that it was deleted. Each is complete, so that the hub needs the
// last one only, and may get any of them again.
type Notice struct {
	Tenant     tenant.ID
	Collection uint64
	Name       string
	Created    int64 // log time, Unix milliseconds
	Deleted    int64 // 0: it is there
}

func (c Notice) encode() []byte {
	v := appendBytes(appendTenant([]byte{rowVersion}, c.Tenant), c.Name)
	v = binary.LittleEndian.AppendUint64(v, c.Collection)
	v = binary.LittleEndian.AppendUint64(v, uint64(c.Created))
	return binary.LittleEndian.AppendUint64(v, uint64(c.Deleted))
}

func decodeNotice(b []byte) (Notice, error) {
	d := decoder{b: b}
	version := d.u8()
	c := Notice{Tenant: tenant.ID(d.take(int(d.u8()))), Name: string(d.take(d.u32()))}
	c.Collection, c.Created, c.Deleted = d.u64(), int64(d.u64()), int64(d.u64())
	if !d.done() || version != rowVersion {
		return Notice{}, corrupt("outbox", b)
	}
	return c, nil
}

// outboxSum is what is kept of the outbox besides its rows.
type outboxSum struct {
	last uint64 // sequence number given out last
	rows uint64
}

func readOutboxSum(r Reader) (outboxSum, error) {
	v, err := r.Get(BucketCatalog, []byte{rowOutboxSum})
	if v == nil || err != nil {
		return outboxSum{}, err
	}
	d := decoder{b: v}
	s := outboxSum{last: d.u64(), rows: d.u64()}
	if !d.done() {
		return outboxSum{}, corrupt("outbox", v)
	}
	return s, nil
}

func (a *applier) storeOutboxSum(s outboxSum) error {
	v := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), s.last)
	return a.tx.Put(BucketCatalog, []byte{rowOutboxSum}, binary.LittleEndian.AppendUint64(v, s.rows))
}

// tell puts a record into the outbox, in the entry that makes it true.
func (a *applier) tell(c Notice) error {
	s, err := readOutboxSum(a.tx)
	if err != nil {
		return err
	}
	if s.rows >= outboxRowsMax && c.Deleted == 0 {
		return Errorf(Unavailable, "%d changes of collections wait for the hub; retry when it can be reached", s.rows)
	}
	s.last++
	s.rows++
	if err := a.tx.Put(BucketCatalog, collectionKey(rowOutbox, s.last), c.encode()); err != nil {
		return err
	}
	return a.storeOutboxSum(s)
}

// outboxDone removes what the hub has.
func (a *applier) outboxDone(op OutboxDone) (Answer, error) {
	var keys []uint64
	err := scanOutbox(a.tx, func(sequence uint64, _ Notice) bool {
		if sequence > op.Upto || len(keys) == outboxMost {
			return false
		}
		keys = append(keys, sequence)
		return true
	})
	if err != nil {
		return Answer{}, err
	}
	return Answer{Affected: len(keys), Existed: len(keys) == outboxMost}, a.takeOut(keys)
}

// outboxOf returns up to most sequence numbers of the tenant's records.
func (a *applier) outboxOf(t tenant.ID, most int) ([]uint64, error) {
	var keys []uint64
	if most == 0 {
		return nil, nil
	}
	err := scanOutbox(a.tx, func(sequence uint64, c Notice) bool {
		if c.Tenant == t {
			keys = append(keys, sequence)
		}
		return len(keys) < most
	})
	return keys, err
}

func (a *applier) takeOut(keys []uint64) error {
	if len(keys) == 0 {
		return nil
	}
	s, err := readOutboxSum(a.tx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := a.tx.Delete(BucketCatalog, collectionKey(rowOutbox, k)); err != nil {
			return err
		}
	}
	s.rows -= uint64(len(keys))
	return a.storeOutboxSum(s)
}

// scanOutbox calls fn for what waits in the outbox, oldest first, until fn
// returns false.
func scanOutbox(r Reader, fn func(sequence uint64, c Notice) bool) error {
	var broken error
	err := r.Scan(BucketCatalog, []byte{rowOutbox}, []byte{rowOutbox + 1}, func(key, value []byte) bool {
		sequence, err := collectionOf(key)
		if err != nil {
			broken = err
			return false
		}
		c, err := decodeNotice(value)
		if err != nil {
			broken = err
			return false
		}
		return fn(sequence, c)
	})
	if err == nil {
		err = broken
	}
	return err
}
