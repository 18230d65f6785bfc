package persistence

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/collection"
)

func FuzzMeta(f *testing.F) {
	f.Add(encodeMeta(Meta{}))
	f.Add(encodeMeta(Meta{Applied: 1, Term: 2, ConfState: []byte("conf"), Digest: [16]byte{3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			if collection.CodeOf(err) != collection.DataLoss {
				t.Error(err)
			}
			return
		}
		if again := encodeMeta(m); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	f.Add(byte(5), []byte("key"), appendSealed(nil, 5, []byte("key"), []byte("value")))
	f.Add(byte(0), []byte{}, []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, bucket byte, key, b []byte) {
		value, err := unseal(bucket, key, b)
		if err != nil {
			if collection.CodeOf(err) != collection.DataLoss {
				t.Error(err)
			}
			return
		}
		if again := appendSealed(nil, bucket, key, value); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func FuzzImage(f *testing.F) {
	s := &memState{meta: Meta{Applied: 9, ConfState: []byte("conf")}, data: new(delta)}
	f.Add(encodeImage(s))
	s.data.apply(put(2, "a", "1"))
	s.data.apply(put(8, "b", "22"))
	f.Add(encodeImage(s))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= crcBytes { // fuzz what lies behind the checksum
			b = resealed(b)
		}
		s, err := decodeImage(b)
		if err != nil {
			if collection.CodeOf(err) != collection.DataLoss {
				t.Error(err)
			}
			return
		}
		again, err := decodeImage(encodeImage(s))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(must(read(memView{s}))(t), must(read(memView{again}))(t)); diff != "" {
			t.Error(diff)
		}
	})
}

// resealed puts the right checksum at the end of an image.
func resealed(b []byte) []byte {
	body := b[:len(b)-crcBytes]
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
}

// FuzzCheckBolt changes bytes of a bbolt file at a given place.
func FuzzCheckBolt(f *testing.F) {
	_, sound, _, _ := boltStates(f, 3)
	if err := checkBolt(bytes.NewReader(sound), int64(len(sound))); err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(2*testPage), []byte{1}, uint32(0))
	f.Add(uint32(3*testPage+16), []byte{255, 255, 255}, uint32(100))
	f.Fuzz(func(t *testing.T, at uint32, change []byte, cut uint32) {
		b := bytes.Clone(sound)
		copy(b[int(at)%len(b):], change)
		b = b[:len(b)-int(cut)%len(b)]
		if err := checkBolt(bytes.NewReader(b), int64(len(b))); err != nil && collection.CodeOf(err) != collection.DataLoss {
			t.Error(err)
		}
	})
}
