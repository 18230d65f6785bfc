package nodelog

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync/atomic"
)

// A spare is a file of zeros that the next segment will be made of. In a file
// that was only allocated, the first write to every block changes metadata, so
// that its sync waits for the file system's journal, and with it for whatever
// else is being written: a checkpoint of a partition made the slowest flushes
// wait for tens of milliseconds. In a file that was written before, a flush
// is its own bytes and no more.
const (
	spareName  = "spare.new"
	spareChunk = 1 << 20
)

// spareState says who may touch the spare file: a Prepare under way, the
// writer, or nobody.
type spareState = int32

const (
	spareNone spareState = iota
	sparePreparing
	spareReady
)

// WantsSpare reports whether the active segment is so full that a spare should
// be made for the next one.
func (l *Log) WantsSpare() bool {
	return len(l.segments) > 0 && l.end > l.active().bytes/4 && atomic.LoadInt32(&l.spare) == spareNone
}

// Prepare makes the spare, unless there is one. It takes as long as writing a
// segment and may run beside Write; Close must wait for it. A failure costs
// nothing but speed.
func (l *Log) Prepare() error {
	if !atomic.CompareAndSwapInt32(&l.spare, spareNone, sparePreparing) {
		return nil
	}
	if err := l.writeSpare(); err != nil {
		atomic.StoreInt32(&l.spare, spareNone)
		return fmt.Errorf("prepare a segment: %w", err)
	}
	atomic.StoreInt32(&l.spare, spareReady)
	return nil
}

func (l *Log) writeSpare() (err error) {
	if err := l.removeSpare(); err != nil {
		return err
	}
	f, err := l.disk.Create(path.Join(l.dir, spareName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zeros := make([]byte, spareChunk)
	for at := int64(0); at < l.o.SegmentBytes; at += spareChunk {
		if _, err := f.WriteAt(zeros[:min(spareChunk, l.o.SegmentBytes-at)], at); err != nil {
			return err
		}
		if err := f.Sync(); err != nil { // a little at a time: flushes of the log go between
			return err
		}
	}
	return nil
}

func (l *Log) removeSpare() error {
	if err := l.disk.Remove(path.Join(l.dir, spareName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeFile makes the file of s: of the spare if there is one of its size.
func (l *Log) makeFile(s *segment) (err error) {
	if s.bytes == l.o.SegmentBytes && atomic.LoadInt32(&l.spare) == spareReady {
		if err := l.disk.Rename(path.Join(l.dir, spareName), l.path(s)); err != nil {
			return err
		}
		atomic.StoreInt32(&l.spare, spareNone)
		s.file, err = l.disk.Open(l.path(s))
		return err
	}
	if s.file, err = l.disk.Create(l.path(s)); err != nil {
		return err
	}
	return s.file.Allocate(s.bytes)
}
