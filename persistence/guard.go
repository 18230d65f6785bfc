package persistence

import (
	"encoding/binary"
	"hash/crc32"
	"runtime/debug"
)

// guarded runs fn, which reads a memory-mapped file: what bbolt panics about
// on a bad page, and the fault of a page that cannot be read (an I/O error, a
// truncated file), become a DataLoss error of this one store instead of the
// end of the process. fn must touch nothing but the store, and must copy what
// it takes from the map: a fault outside this function is not caught.
func guarded(path, what string, fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = corrupt("%s %s: %v", what, path, r)
		}
	}()
	return fn()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcBytes = 4

// checksum covers the bucket and the key too, so that a value under a wrong
// key is found out.
func checksum(bucket byte, key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte{bucket})
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

// appendSealed appends value with its checksum before it.
func appendSealed(dst []byte, bucket byte, key, value []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, checksum(bucket, key, value))
	return append(dst, value...)
}

// valueBytesMax bounds what a bad page may make us copy; no value comes near it.
const valueBytesMax = 256 << 20

// bounded cuts a stored value that unseal is going to refuse for its length.
func bounded(sealed []byte) []byte { return sealed[:min(len(sealed), valueBytesMax+1)] }

// unseal checks a stored value and returns it without its checksum.
func unseal(bucket byte, key, sealed []byte) ([]byte, error) {
	if len(sealed) <= crcBytes || len(sealed) > valueBytesMax {
		return nil, corrupt("bucket %d key %x: stored value of %d bytes", bucket, key, len(sealed))
	}
	want, value := binary.LittleEndian.Uint32(sealed), sealed[crcBytes:]
	if got := checksum(bucket, key, value); got != want {
		return nil, corrupt("bucket %d key %x: checksum %08x, stored %08x", bucket, key, got, want)
	}
	return value, nil
}
