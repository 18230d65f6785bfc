package collection

import (
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

// nonceMs is how long a nonce is remembered, in log time. A signature is good
// for 300 s before and after its time, so that a request could be repeated for
// 600 s. The two minutes are for clocks of nodes that differ by less than one:
// of the two edges that let it in, and of the two leaders whose time the log
// had, before a fail-over and after it.
const nonceMs = 720 * 1000

// nonceRow is what is kept of a nonce.
type nonceRow struct {
	time  int64
	claim uint64
}

func (n nonceRow) encode() []byte {
	v := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), uint64(n.time))
	return binary.LittleEndian.AppendUint64(v, n.claim)
}

func decodeNonce(b []byte) (nonceRow, error) {
	d := decoder{b: b}
	n := nonceRow{time: int64(d.u64()), claim: d.u64()}
	if !d.done() {
		return nonceRow{}, corrupt("nonce", b)
	}
	return n, nil
}

// use records the entry's nonce, and refuses one that was recorded before:
// insert or fail, in log order, so exact across the cluster. A nonce is the
// tenant's, whichever service sent it, because a signature does not say which.
// The entries of one request share a claim: the second is no repetition.
// Like every change it is undone when the entry is refused after it, so that a
// nonce is used up by what took effect.
func (a *applier) use(nonce string) error {
	key := tenantKey(rowNonce, a.cmd.Tenant, nonce)
	v, err := a.tx.Get(BucketIdempotency, key)
	if err != nil {
		return err
	}
	if v != nil {
		known, err := decodeNonce(v)
		switch {
		case err != nil:
			return err
		case known.time+nonceMs <= a.clock.time: // expired: as good as none
			err = a.tx.Delete(BucketIdempotency, sweepKey(rowNonceTime, known.time, a.cmd.Tenant, nonce))
			if err != nil {
				return err
			}
		case known.claim == a.cmd.Claim && known.claim != 0:
			return nil
		default:
			e := Errorf(Unauthenticated, "the nonce of this signed request was used before")
			e.Reason = ReasonNonceReplayed
			return e
		}
	}
	if err := a.tx.Put(BucketIdempotency, key, nonceRow{time: a.clock.time, claim: a.cmd.Claim}.encode()); err != nil {
		return err
	}
	a.expires(a.clock.time + nonceMs)
	return a.tx.Put(BucketIdempotency, sweepKey(rowNonceTime, a.clock.time, a.cmd.Tenant, nonce), []byte{1})
}

// noncesOf returns up to most of the tenant's nonces.
func (a *applier) noncesOf(t tenant.ID, most int) ([]agedKey, error) {
	return a.agedOf(rowNonce, t, most, func(v []byte) (int64, error) {
		n, err := decodeNonce(v)
		return n.time, err
	})
}
