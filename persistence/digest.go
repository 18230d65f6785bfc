package persistence

import (
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// The seeds of the digest's two halves: constants of the format (the first
// digits of pi).
const (
	digestSeedHigh = 0x243f6a8885a308d3
	digestSeedLow  = 0x13198a2e03707344
)

// digest is a 128-bit sum of hashes; the empty state's is zero.
type digest struct{ high, low uint64 }

func digestOf(b [16]byte) digest {
	return digest{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (d digest) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], d.high)
	binary.BigEndian.PutUint64(b[8:], d.low)
	return b
}

func (d *digest) add(bucket byte, key, value []byte) {
	high, low := hash(digestSeedHigh, bucket, key, value), hash(digestSeedLow, bucket, key, value)
	var carry uint64
	d.low, carry = bits.Add64(d.low, low, 0)
	d.high, _ = bits.Add64(d.high, high, carry)
}

func (d *digest) sub(bucket byte, key, value []byte) {
	high, low := hash(digestSeedHigh, bucket, key, value), hash(digestSeedLow, bucket, key, value)
	var borrow uint64
	d.low, borrow = bits.Sub64(d.low, low, 0)
	d.high, _ = bits.Sub64(d.high, high, borrow)
}

func hash(seed uint64, bucket byte, key, value []byte) uint64 {
	var head [5]byte
	head[0] = bucket
	binary.LittleEndian.PutUint32(head[1:], uint32(len(key)))
	var h xxhash.Digest
	h.ResetWithSeed(seed)
	_, _ = h.Write(head[:])
	_, _ = h.Write(key)
	_, _ = h.Write(value)
	return h.Sum64()
}
