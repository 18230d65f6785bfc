package nodelog

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"github.com/hivehub/waggle/persistence/disk"
)

// segment is one file of the log.
type segment struct {
	number uint64 // of its first batch
	file   disk.File
	bytes  int64
}

func segmentName(number uint64) string { return fmt.Sprintf("%016x.seg", number) }

// parseSegmentName is the inverse of segmentName. Other files are not ours.
func parseSegmentName(name string) (number uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%016x.seg", &number); err != nil {
		return 0, false
	}
	return number, name == segmentName(number)
}

func (l *Log) path(s *segment) string { return path.Join(l.dir, segmentName(s.number)) }

// active returns the segment that is written to. There is one once makeRoom
// was called.
func (l *Log) active() *segment { return l.segments[len(l.segments)-1] }

// makeRoom begins a new segment when the last one has no room for a batch.
func (l *Log) makeRoom(size int64) error {
	if len(l.segments) > 0 && l.end+size <= l.active().bytes {
		return nil
	}
	groups, err := l.roll(size)
	if err != nil {
		return err
	}
	return l.prune(groups)
}

// roll begins a new segment with room for a batch, and returns the groups that
// its head names.
func (l *Log) roll(size int64) ([]*Group, error) {
	groups, starts := l.retained()
	records := 0
	for range groups {
		records += recordBytes + groupBytes
	}
	f := frame{flags: flagHead, id: l.id, number: l.number + 1, previous: l.crc, since: l.number + 1}
	f.bytes = uint64(tables{}.batch(records))
	b := appendHeader(l.buffer(int(f.bytes)), &f)
	for i, g := range groups {
		s := g.standing()
		s.start = starts[i]
		b = appendStanding(b, g.id, s)
	}
	b, crc := appendTrailer(b, &f)
	if err := l.begin(b, f.number, size); err != nil {
		return nil, fmt.Errorf("begin segment: %w", err)
	}
	l.number, l.crc = f.number, crc
	for i, g := range groups {
		g.advance(starts[i])
	}
	return groups, nil
}

// retained returns all groups of the log in order of their ids, and where
// their logs begin when only what Options keep stays.
func (l *Log) retained() ([]*Group, []Position) {
	oldest, total := uint64(0), l.o.SegmentBytes
	for _, s := range slices.Backward(l.segments) {
		if total += s.bytes; total > l.o.KeepTotal {
			oldest = s.number + 1
			break
		}
	}
	ids := l.Groups()
	groups, starts := make([]*Group, len(ids)), make([]Position, len(ids))
	for i, id := range ids {
		groups[i] = l.Group(id)
		starts[i] = groups[i].retained(l.o.KeepEntries, l.o.KeepBytes, oldest)
	}
	return groups, starts
}

// begin makes the segment that begins with the given head, twice, durable in
// its file and in the directory, with room for a batch of the given size.
func (l *Log) begin(head []byte, number uint64, size int64) error {
	s := &segment{number: number, bytes: max(l.o.SegmentBytes, 2*int64(len(head))+size)}
	err := l.makeFile(s)
	if s.file != nil {
		l.segments = append(l.segments, s)
	}
	if err != nil {
		return err
	}
	for i := range int64(2) {
		if _, err := s.file.WriteAt(head, i*int64(len(head))); err != nil {
			return err
		}
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	l.end = 2 * int64(len(head))
	return l.disk.SyncDir(l.dir)
}

// prune removes the segments, oldest first, that hold nothing a group needs.
// Each removal is durable before the next, so that no crash leaves a hole.
func (l *Log) prune(groups []*Group) error {
	needed := l.active().number
	for _, g := range groups {
		if s := g.oldestSegment(); s != nil {
			needed = min(needed, s.number)
		}
	}
	for l.segments[0].number < needed {
		if err := l.remove(0); err != nil {
			return fmt.Errorf("remove segment: %w", err)
		}
	}
	return nil
}

// remove closes and deletes the i-th segment, durably.
func (l *Log) remove(i int) error {
	s := l.segments[i]
	l.segments = slices.Delete(l.segments, i, i+1)
	if err := s.file.Close(); err != nil {
		return err
	}
	if err := l.disk.Remove(l.path(s)); err != nil {
		return err
	}
	return l.disk.SyncDir(l.dir)
}

// openSegments opens the files of the log, oldest first.
func (l *Log) openSegments() error {
	if err := l.disk.MkdirAll(l.dir); err != nil {
		return err
	}
	if err := l.removeSpare(); err != nil { // a crash may have left it half written
		return err
	}
	names, err := l.disk.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		number, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		f, err := l.disk.Open(path.Join(l.dir, name))
		if err != nil {
			return err
		}
		s := &segment{number: number, file: f}
		l.segments = append(l.segments, s)
		if s.bytes, err = f.Size(); err != nil {
			return err
		}
	}
	slices.SortFunc(l.segments, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return nil
}
