package grains

import (
	"context"

	"github.com/hivehub/waggle/collection"
)

const (
	batchBytes = 512 << 10 // of records handed on at a time, about
	batches    = 4         // there at a time
)

// batch is records of a scan, copied one behind the other.
type batch struct {
	buf      []byte
	versions []uint64
	ends     []int
}

// add copies a record to where its vector can be read as it lies: that is a
// multiple of 4 bytes from where the record begins.
func (b *batch) add(version uint64, record []byte) {
	for len(b.buf)%4 != 0 {
		b.buf = append(b.buf, 0)
	}
	b.buf = append(b.buf, record...)
	b.versions, b.ends = append(b.versions, version), append(b.ends, len(b.buf))
}

// each calls fn with the records.
func (b *batch) each(fn func(version uint64, rec collection.Record) error) error {
	start := 0
	for i, end := range b.ends {
		rec, err := collection.DecodeRecord(b.buf[start:end])
		if err == nil {
			err = fn(b.versions[i], rec)
		}
		if err != nil {
			return err
		}
		start = (end + 3) &^ 3
	}
	return nil
}

// scanBeside calls fn with a collection's live points, by version, while
// another goroutine reads on: a load from a cold disk takes as long as the
// disk or the index, not as both. begin is called first, beside the reading.
// A record belongs to its scan once fn returns.
func scanBeside(ctx context.Context, view collection.Reader, id uint64, begin func(), fn func(version uint64, rec collection.Record) error) error {
	ctx, stop := context.WithCancel(ctx)
	full, empty := make(chan *batch, batches), make(chan *batch, batches)
	for range batches {
		empty <- &batch{}
	}
	var scanned error
	var panicked any
	go func() {
		defer close(full)
		defer func() { panicked = recover() }()
		scanned = readBatches(ctx, view, id, empty, full)
	}()
	defer func() { // also after a panic: the view ends with this
		stop()
		for b := range full {
			empty <- b
		}
	}()
	begin()
	for b := range full {
		if err := b.each(fn); err != nil {
			return err
		}
		empty <- b
	}
	if panicked != nil {
		panic(panicked)
	}
	return scanned
}

// readBatches puts records into empty batches until the scan or ctx ends.
func readBatches(ctx context.Context, view collection.Reader, id uint64, empty <-chan *batch, full chan<- *batch) error {
	b := <-empty
	err := collection.ScanPoints(view, id, 0, func(version uint64, rec collection.Record) bool {
		b.add(version, rec.Bytes())
		if len(b.buf) < batchBytes {
			return true
		}
		full <- b
		b = <-empty          // all of them come back, also after a failure
		if cap(b.buf) == 0 { // there are many
			b.buf = make([]byte, 0, batchBytes+batchBytes/8)
		}
		*b = batch{buf: b.buf[:0], versions: b.versions[:0], ends: b.ends[:0]}
		return ctx.Err() == nil
	})
	full <- b
	if err == nil {
		err = ctx.Err()
	}
	return err
}
