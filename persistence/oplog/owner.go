package oplog

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"
)

// own is the log's goroutine: it syncs every now and then, makes the next
// segment before it is needed, seals what is full and removes what is too old.
func (l *Log) own() {
	defer close(l.done)
	every := time.NewTicker(l.options.SyncEvery)
	defer every.Stop()
	l.tend()
	for {
		select {
		case <-every.C:
			l.tell(l.sync())
			l.retain()
			l.tend()
		case <-l.wake:
			l.tend()
		case result := <-l.flushes:
			err := l.sync()
			l.tell(err)
			result <- err
		case <-l.stop:
			l.end()
			return
		}
	}
}

func (l *Log) tell(err error) {
	if err != nil {
		l.log.Error("the operation log is not on the disk", "err", err)
	}
}

// mapped returns the segments that are written to or wait to be sealed.
func (l *Log) mapped() (all []*segment, ends []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.mu.segments {
		if s.data != nil {
			all = append(all, s)
		}
	}
	if l.mu.current != nil {
		all = append(all, l.mu.current)
	}
	for _, s := range all {
		ends = append(ends, s.end)
	}
	return all, ends
}

// sync puts every row that is appended onto the disk. Of segments only the
// owner unmaps one, so that those stay which it has found.
func (l *Log) sync() error {
	var err error
	all, ends := l.mapped()
	for i, s := range all {
		if ends[i] <= s.synced {
			continue
		}
		l.options.step("sync")
		if e := s.sync(s.synced, ends[i]); e != nil {
			err = errors.Join(err, e)
			continue
		}
		s.synced = ends[i]
	}
	return err
}

// tend has the next segment ready, and seals what is full.
func (l *Log) tend() {
	l.prepare()
	all, _ := l.mapped()
	for _, s := range all {
		if s != l.currentSegment() {
			l.tell(l.seal(s))
			l.prepare() // sealing takes its time
		}
	}
}

// prepare makes the next segment, unless it is there, and lets those try again
// who wait for it.
func (l *Log) prepare() {
	l.mu.Lock()
	ready, full := l.mu.spare != nil || l.mu.closed, l.unsealed() >= retiredMax
	l.mu.Unlock()
	if ready {
		return
	}
	var s *segment
	if !full {
		var err error
		if s, err = l.makeSegment(); err != nil {
			l.log.Error("the operation log has no room for more rows", "err", err)
			s = nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.spare, l.mu.stuck = s, s == nil
	close(l.mu.room)
	l.mu.room = make(chan struct{})
}

func (l *Log) currentSegment() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.current
}

// seal ends a segment that is full.
func (l *Log) seal(s *segment) error {
	l.options.step("seal")
	now := l.now()
	if err := s.sync(s.synced, s.end); err != nil {
		return err
	}
	if err := s.finish(now); err != nil {
		return err
	}
	l.options.step("unmap a sealed segment")
	err := s.unmap()
	l.options.step("cut a sealed segment")
	if e := s.cut(); e == nil {
		l.mu.Lock()
		s.bytes = int64(s.end)
		l.mu.Unlock()
	} else {
		err = errors.Join(err, e)
	}
	l.mu.Lock()
	s.sealed = now.UnixMilli()
	l.mu.Unlock()
	return err
}

// retain removes the oldest segments while there are too many, and those that
// are too old. Rows that the hub does not have are counted as dropped.
func (l *Log) retain() {
	for {
		s, lost := l.takeOldest()
		if s == nil {
			return
		}
		l.options.step("remove an old segment")
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.log.Error("an old file of the operation log stays", "err", err)
		}
		if lost > 0 {
			l.dropped.Add(uint64(lost))
			l.waiting.Add(-int64(lost))
			l.log.Warn("rows of the operation log have gone before the hub had them", "rows", lost)
		}
	}
}

// takeOldest takes the oldest segment out of the list, if it has to go. The
// files that the next rows need count, too.
func (l *Log) takeOldest() (s *segment, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.segments) == 0 || l.mu.segments[0].sealed == 0 {
		return nil, 0
	}
	s = l.mu.segments[0]
	old := l.options.AgeMax > 0 && s.sealed < l.now().Add(-l.options.AgeMax).UnixMilli()
	if !old && len(l.mu.segments) < segmentsMax && l.bytes() <= l.options.BytesMax {
		return nil, 0
	}
	l.mu.segments = slices.Delete(l.mu.segments, 0, 1)
	if l.options.Outbox {
		lost = s.rows - s.accepted
	}
	return s, lost
}

// end seals everything, and takes away what is empty.
func (l *Log) end() {
	l.mu.Lock()
	last := []*segment{}
	for _, s := range l.mu.segments {
		if s.data != nil {
			last = append(last, s)
		}
	}
	for _, s := range []*segment{l.mu.current, l.mu.spare} {
		if s != nil {
			last = append(last, s)
			if s.rows > 0 {
				l.mu.segments = append(l.mu.segments, s)
			}
		}
	}
	l.mu.current, l.mu.spare = nil, nil
	l.mu.Unlock()
	for _, s := range last {
		if s.rows == 0 {
			l.tell(errors.Join(s.unmap(), os.Remove(s.path)))
			continue
		}
		l.tell(l.seal(s))
	}
	l.tell(l.positions.close())
}
