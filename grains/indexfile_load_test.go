package grains

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// manyPoints is a reader of so many points of collection 1, with payloads of
// all lengths; it ends with err.
type manyPoints struct {
	n     int
	err   error
	panic bool
}

func (m manyPoints) Get(byte, []byte) ([]byte, error) { return nil, nil }

func (m manyPoints) Scan(_ byte, _, _ []byte, fn func(key, value []byte) bool) error {
	for i := range m.n {
		key := binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i))
		value, err := collection.EncodeRecord(nil, collection.Point{
			ID: collection.NumID(uint64(i)), Vector: []float32{float32(i), 2},
			Payload: collection.Payload{"text": string(make([]byte, i%301))},
		})
		if err != nil {
			return err
		}
		if !fn(key, value) {
			return nil
		}
		clear(value)
	}
	if m.panic {
		panic("scan")
	}
	return m.err
}

func TestScanBeside(t *testing.T) {
	errStop := errors.New("stop")
	none := func() {}
	for _, n := range []int{0, 1, 20_000} {
		next, begun := uint64(0), false
		err := scanBeside(t.Context(), manyPoints{n: n}, 1, func() { begun = true }, func(version uint64, rec collection.Record) error {
			if id, _ := rec.ID().Num(); !begun || version != next || id != next || rec.Vector()[0] != float32(next) {
				t.Fatalf("version %d of %v, want %d", version, rec.ID(), next)
			}
			next++
			return nil
		})
		if err != nil || next != uint64(n) {
			t.Fatalf("%d of %d points, %v", next, n, err)
		}
	}
	err := scanBeside(t.Context(), manyPoints{n: 10, err: errStop}, 1, none, func(uint64, collection.Record) error { return nil })
	if !errors.Is(err, errStop) {
		t.Errorf("an error of the scan: %v", err)
	}
	err = scanBeside(t.Context(), manyPoints{n: 20_000}, 1, none, func(version uint64, _ collection.Record) error {
		if version == 5000 {
			return errStop
		}
		return nil
	})
	if !errors.Is(err, errStop) {
		t.Errorf("an error of the index: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = scanBeside(ctx, manyPoints{n: 20_000}, 1, cancel, func(uint64, collection.Record) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a load that is not wanted any more: %v", err)
	}
	for _, in := range []manyPoints{{n: 20_000}, {n: 10, panic: true}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = scanBeside(t.Context(), in, 1, none, func(version uint64, _ collection.Record) error {
				if version == 4000 {
					panic("index")
				}
				return nil
			})
		}()
	}
}
