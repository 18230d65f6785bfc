package persistence

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/hivehub/waggle/collection"
)

const (
	imageMagic  = "WGLIMG01"
	imageRecord = 1 + 4 + 4 // bytes of a record before its key
)

// encodeImage is the memory store's image, drawn in the package comment.
func encodeImage(s *memState) []byte {
	var dst []byte
	meta := encodeMeta(s.meta)
	dst = append(dst, imageMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(meta)))
	dst = append(dst, meta...)
	countAt, count := len(dst), uint64(0)
	dst = binary.LittleEndian.AppendUint64(dst, 0)
	for c := range s.data.changes() {
		count++
		dst = append(dst, c.Bucket)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(c.Key)))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(c.Value)))
		dst = append(dst, c.Key...)
		dst = append(dst, c.Value...)
	}
	binary.LittleEndian.PutUint64(dst[countAt:], count)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// decodeImage is the inverse of encodeImage. The state keeps b.
func decodeImage(b []byte) (*memState, error) {
	if len(b) < len(imageMagic)+4+8+crcBytes || string(b[:len(imageMagic)]) != imageMagic {
		return nil, corrupt("image of %d bytes does not begin as one", len(b))
	}
	body := b[:len(b)-crcBytes]
	if got, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(b[len(body):]); got != want {
		return nil, corrupt("image checksum %08x, stored %08x", got, want)
	}
	body = body[len(imageMagic):]
	n := uint64(binary.LittleEndian.Uint32(body))
	if body = body[4:]; n+8 > uint64(len(body)) {
		return nil, corrupt("image with %d bytes of meta in %d", n, len(body))
	}
	meta, err := decodeMeta(body[:n])
	if err != nil {
		return nil, err
	}
	s := &memState{meta: meta, data: new(delta)}
	count := binary.LittleEndian.Uint64(body[n:])
	rest, err := s.decodeRecords(body[n+8:], count)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, corrupt("image with %d bytes behind its records", len(rest))
	}
	return s, nil
}

func (s *memState) decodeRecords(b []byte, count uint64) (rest []byte, err error) {
	for range count {
		if len(b) < imageRecord {
			return nil, corrupt("image record of %d bytes", len(b))
		}
		bucket := b[0]
		k, v := uint64(binary.LittleEndian.Uint32(b[1:])), uint64(binary.LittleEndian.Uint32(b[5:]))
		b = b[imageRecord:]
		if k+v > uint64(len(b)) || v == 0 || bucket == 0 || bucket >= collection.BucketEnd {
			return nil, corrupt("image record: bucket %d, key of %d, value of %d bytes, %d left", bucket, k, v, len(b))
		}
		if _, dup := s.data.set(bucket, item{b[:k:k], b[k : k+v : k+v]}); dup {
			return nil, corrupt("image with key %x twice", b[:k])
		}
		b = b[k+v:]
	}
	return b, nil
}
