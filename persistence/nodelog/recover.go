package nodelog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
)

var (
	errChain  = errors.New("a batch of the node log with a row of the group is damaged or missing")
	errDoubt  = errors.New("a batch of the node log that had, or may have had, a row of the group cannot be read")
	errPrefix = errors.New("the oldest entries of the group are missing from the node log")
	errBefore = errors.New("an earlier recovery of the node log found damage")
)

// recovery reads a log from its oldest batch to its newest.
type recovery struct {
	l      *Log
	number uint64 // of the last batch that is accounted for
	crc    uint32 // of that batch, when crcKnown
	// crcKnown is false after a batch that is not as it was written.
	crcKnown bool
	tail     *block // the last batch that was acknowledged, without its bytes
	// pending is a bad batch: corrupt when a later batch turns up, else torn.
	pending *block
	// doubt has the groups that had, or may have had, a row in a batch that
	// cannot be read, with the number of the first such batch.
	doubt map[uint64]uint64
	// gone has the groups that were removed and not made anew, with the number
	// of the batch that did it. They are not in Log.mu.groups.
	gone map[uint64]uint64
	hole uint64 // of the batches after it all rows are known
	// unknownFrom is the first batch that may have had rows of groups that
	// were never met, while Log.mu.unknown; 0 = the log's oldest head.
	unknownFrom uint64
	buf         []byte

	broken    error // of reading, at the latest place where it failed
	brokenSeg uint64
	brokenAt  int64
}

// load reads the log and makes it ready to be written to.
func (l *Log) load() error {
	if err := l.openSegments(); err != nil {
		return err
	}
	if len(l.segments) == 0 {
		return l.create()
	}
	r := recovery{l: l, number: l.segments[0].number - 1, doubt: map[uint64]uint64{}, gone: map[uint64]uint64{}}
	l.mu.unknown = true
	for _, s := range l.segments {
		if err := r.segment(s); err != nil {
			return err
		}
	}
	return r.finish()
}

// create begins an empty log.
func (l *Log) create() (err error) {
	l.mu.unknown = false
	if l.id, err = newID(); err != nil {
		return err
	}
	return l.disk.SyncDir(l.dir)
}

func (r *recovery) segment(seg *segment) error {
	s := scanner{seg: seg, id: r.l.id, buf: r.buf[:0]}
	b := s.next(0)
	if b == nil && s.foreign() {
		return fmt.Errorf("segment %x has a format that this version does not know", seg.number)
	}
	for b != nil {
		r.meet(b)
		next := b.end()
		if b.bad { // it may be in the wrong place: its size says nothing
			next = b.at + pageBytes
		}
		b = s.next(next)
	}
	r.l.id, r.buf = s.id, s.buf
	if s.broken != nil {
		r.broken, r.brokenSeg, r.brokenAt = s.broken, seg.number, s.brokenAt
	}
	return nil
}

// meet takes the next batch that could be found. That it was begun means that
// all before it were durable.
func (r *recovery) meet(b *block) {
	if b.number <= r.number {
		return // the second copy of a head
	}
	if p := r.pending; p != nil && p.number < b.number {
		r.replay(p)
	}
	r.pending = nil
	if b.number > r.number+1 {
		r.unreadable(b.number - 1)
	}
	r.vouch(b)
	if b.bad {
		b.bytes = bytes.Clone(b.bytes)
		r.pending = b
		return
	}
	if r.crcKnown && b.previous != r.crc {
		r.disown(r.number)
	}
	r.replay(b)
	r.crc, r.crcKnown = b.crc, true
}

// replay takes over what can be read of a batch that was acknowledged.
func (r *recovery) replay(b *block) {
	if b.flags == flagHead && !b.bad {
		r.head(b)
	}
	for i := range b.rows {
		r.row(b, &b.rows[i])
	}
	r.number, r.crcKnown = b.number, false
	tail := *b
	tail.bytes = nil
	r.tail = &tail
}

// unreadable accounts for the batches up to number: nothing can be read of
// them. Later tables and heads show which groups had no row in them.
func (r *recovery) unreadable(number uint64) {
	from := r.number + 1
	for id := range r.l.mu.groups {
		if _, ok := r.doubt[id]; !ok {
			r.doubt[id] = from
		}
	}
	if !r.l.mu.unknown {
		r.l.mu.unknown, r.unknownFrom = true, from
	}
	r.number, r.crcKnown, r.hole = number, false, number
}

// vouch takes over what the tables of a batch say of the batches before it,
// which is good even when the batch itself is torn: where the latest row is of
// each group that has one since b.since, so that no other group has.
func (r *recovery) vouch(b *block) {
	for id, from := range r.doubt {
		if from >= b.since {
			delete(r.doubt, id)
		}
	}
	if r.unknownFrom >= b.since {
		r.l.mu.unknown = false
	}
	for i := range b.latest {
		r.expect(b, b.latest[i])
	}
	for i := range b.rows {
		v := &b.rows[i]
		if v.previous == 0 && slices.ContainsFunc(b.rows[:i], func(w row) bool { return w.group == v.group }) {
			continue // removed by the one before in this batch
		}
		if v.previous < b.number {
			r.expect(b, latest{group: v.group, batch: v.previous})
		}
	}
}

// expect doubts a group unless its latest row before b is where b says. A head
// may still make up for it. When b says that the group was removed, or has no
// row since, that is all there is to know.
func (r *recovery) expect(b *block, row latest) {
	known := uint64(0)
	g := r.l.mu.groups[row.group]
	if g != nil {
		known = g.mu.batch
	}
	if row.batch == 0 || row.removed && known <= row.batch {
		if g != nil {
			r.hole = b.number - 1
		}
		r.remove(row.group, row.batch)
		return
	}
	if known != row.batch {
		r.group(row.group)
		r.hole = b.number - 1
		r.doubt[row.group] = min(row.batch, r.hole)
	}
}

// disown stops the groups with a row in a batch that is valid but not the one
// that the next batch was written after.
func (r *recovery) disown(number uint64) {
	r.hole = number
	for _, g := range r.l.mu.groups {
		if g.mu.batch == number {
			g.lose(errChain)
		}
	}
	for id, batch := range r.gone {
		if batch == number {
			delete(r.gone, id)
			r.group(id).lose(errChain)
		}
	}
}

// head takes over how every group stands. Of a group that missed a batch it is
// all that is known; judge tells whether that is enough.
func (r *recovery) head(b *block) {
	named := map[uint64]bool{}
	for rest := b.bytes[tables{}.header():]; ; {
		rec, err := decodeRecord(rest)
		if err != nil || rec.kind != kindGroup {
			break // the zeros after the last one
		}
		rest = rest[rec.size():]
		named[rec.group] = true
		s, g := rec.standing(), r.group(rec.group)
		if g.mu.batch != s.batch {
			g.restore(s)
		}
		g.mu.hard, g.mu.hasHard = s.hard, s.hasHard
		g.mu.origin, g.mu.replica = s.origin, s.replica
		g.advance(s.start)
		delete(r.doubt, rec.group)
		if s.lost || s.start.Index > s.last.Index {
			g.lose(errBefore)
		}
	}
	for id := range r.l.mu.groups {
		if !named[id] { // removed where it could not be read
			delete(r.l.mu.groups, id)
			delete(r.doubt, id)
		}
	}
	r.l.mu.unknown = false
}

// remove forgets a group that was removed by a row in the given batch; 0 = it
// is not known in which.
func (r *recovery) remove(id, batch uint64) {
	delete(r.l.mu.groups, id)
	delete(r.doubt, id)
	if batch > 0 {
		r.gone[id] = batch
	}
}

func (r *recovery) group(id uint64) *Group {
	g := r.l.mu.groups[id]
	if g == nil {
		g = &Group{id: id}
		r.l.mu.groups[id] = g
	}
	return g
}

func (g *Group) restore(s standing) {
	g.mu.start, g.mu.last, g.mu.batch = s.start, s.last, s.batch
	g.mu.runs = nil
}

// row takes over a removal, or the records of one row.
func (r *recovery) row(b *block, row *row) {
	if row.removes() {
		r.remove(row.group, b.number)
		return
	}
	g := r.group(row.group)
	delete(r.gone, row.group)
	if row.previous != g.mu.batch {
		g.lose(errChain)
	}
	delete(r.doubt, row.group)
	g.mu.batch = b.number
	if err := g.replay(b, row); err != nil {
		g.lose(fmt.Errorf("batch %d of the node log: %w", b.number, err))
	}
}

func (g *Group) replay(b *block, row *row) error {
	n := uint64(len(b.bytes))
	if row.offset > n || row.bytes > n-row.offset {
		return errRecord
	}
	next, at, newHard := row.first, row.offset, false
	for end := at + row.bytes; at < end; {
		rec, err := decodeRecord(b.bytes[at:end])
		if err != nil {
			return err
		}
		switch {
		case rec.group != g.id:
			return errRecord
		case rec.kind == kindStart:
			g.begin(rec.Position, rec.replica(), newHard)
		case rec.kind == kindHard:
			g.mu.hard, g.mu.hasHard, newHard = rec.hard(), true, true
		case rec.kind != kindEntry || rec.Index != next || row.first == 0:
			return errRecord
		default:
			if err := g.replayEntry(rec.Position, b, at, rec.size()); err != nil {
				return err
			}
			next++
		}
		at += uint64(rec.size())
	}
	if row.first != 0 && next != row.last+1 {
		return errRecord
	}
	return nil
}

func (g *Group) replayEntry(p Position, b *block, at uint64, bytes int) error {
	if g.mu.lost {
		return nil
	}
	if p.Index <= g.mu.start.Index || p.Index > g.mu.last.Index+1 {
		return errChain
	}
	g.truncate(p.Index)
	g.add(p, b.seg, b.at+int64(at), bytes)
	return nil
}

// finish cuts what is torn, stops the groups that lost something, and makes
// the end of the log ready for the next batch.
func (r *recovery) finish() error {
	l := r.l
	if err := r.checkEnd(); err != nil {
		return err
	}
	if r.tail == nil {
		if err := l.removeAfter(0); err != nil {
			return err
		}
		return l.create()
	}
	r.judge()
	if err := l.removeAfter(r.tail.seg.number); err != nil {
		return err
	}
	l.number = r.number
	if r.crcKnown {
		l.crc = r.crc
	}
	if r.hole >= r.tail.number { // only what is cut below tells of it
		if _, err := l.roll(0); err != nil {
			return err
		}
	}
	return r.renew()
}

// checkEnd refuses to cut what may be good: bytes that could not be read now,
// and a log of which nothing is left.
func (r *recovery) checkEnd() error {
	switch t := r.tail; {
	case t == nil && r.broken != nil,
		t != nil && r.broken != nil && (r.brokenSeg > t.seg.number || r.brokenSeg == t.seg.number && r.brokenAt >= t.end()):
		return fmt.Errorf("read the end of the log: %w", r.broken)
	case t == nil && (len(r.l.segments) > 1 || r.l.segments[0].number != 1 || r.hole > 0):
		return errors.New("no batch of the log can be read")
	}
	return nil
}

// judge stops the groups of which something is missing, and leaves the others
// to the writer.
func (r *recovery) judge() {
	r.l.recent.floor = r.hole + 1
	for id, g := range r.l.mu.groups {
		first := g.mu.last.Index + 1
		if len(g.mu.runs) > 0 {
			first = g.mu.runs[0].Index
		}
		_, doubted := r.doubt[id]
		switch {
		case g.mu.lost:
		case doubted:
			g.lose(errDoubt)
		case first > g.mu.start.Index+1:
			g.lose(errPrefix)
		}
		g.plan()
		r.l.recent.add(g)
		if g.mu.lost {
			r.l.o.Logger.Error("log of a group is damaged", slog.Uint64("group", id), slog.Any("err", g.mu.err))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.gone)) {
		r.l.recent.gone = append(r.l.recent.gone, latest{id, r.gone[id], true})
		if r.gone[id] > r.hole { // nothing can have made it anew
			r.l.mu.groups[id] = &Group{id: id}
		}
	}
}

// removeAfter removes the segments after the one with the given number, of
// which nothing was acknowledged.
func (l *Log) removeAfter(number uint64) error {
	for i := len(l.segments) - 1; i >= 0 && l.segments[i].number > number; i-- {
		if err := l.remove(i); err != nil {
			return err
		}
	}
	return nil
}

// renew writes the last batch again, and clears what follows it: after a crash
// of the process the operating system may show bytes that never reached, or
// after a failed sync never will reach, the disk.
func (r *recovery) renew() error {
	l, t := r.l, r.tail
	s, end := t.seg, t.end()
	b := make([]byte, t.frame.bytes)
	if _, err := s.file.ReadAt(b, t.at); err != nil {
		return err
	}
	places := []int64{t.at}
	if t.flags == flagHead && t.at <= int64(len(b)) {
		end = 2 * int64(len(b))
		places = []int64{0, int64(len(b))}
	}
	if r.pending != nil {
		l.o.Logger.Warn("torn batch at the end of the node log is cut", slog.Uint64("batch", r.pending.number))
	}
	if err := s.file.Truncate(end); err != nil {
		return err
	}
	if s == l.active() {
		l.end = end
	}
	s.bytes = max(end, l.o.SegmentBytes)
	if err := s.file.Allocate(s.bytes); err != nil {
		return err
	}
	for _, at := range places {
		if _, err := s.file.WriteAt(b, at); err != nil {
			return err
		}
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	return l.disk.SyncDir(l.dir)
}
