package nodelog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/persistence/disk"
)

// Options of a log. The zero value means the defaults.
type Options struct {
	// SegmentBytes is the size in which files are made and removed (64 MB). A
	// larger batch gets a larger segment.
	SegmentBytes int64
	// KeepBytes and KeepEntries are what stays of a group after a cut, for
	// followers that are behind: its newest entries up to one of the two
	// (64 MB, 10,000).
	KeepBytes   int64
	KeepEntries uint64
	// KeepTotal is how much of the disk the log may use for entries that are
	// kept only for followers, all groups together (512 MB). It wins over the
	// two above, so that a busy group is not kept because of idle ones.
	KeepTotal int64
	// CacheBytes bounds the entries held in memory, all groups together (64 MB).
	CacheBytes int64
	// Logger gets what recovery found (slog.Default()).
	Logger *slog.Logger
}

func (o *Options) ensureDefaults() {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.KeepBytes == 0 {
		o.KeepBytes = 64 << 20
	}
	if o.KeepEntries == 0 {
		o.KeepEntries = 10_000
	}
	if o.KeepTotal == 0 {
		o.KeepTotal = 512 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Position is a place in a group's log.
type Position struct{ Index, Term uint64 }

// Append is what one group adds in one flush. The log keeps the entries and
// does not change them; the caller must not either.
type Append struct {
	Group     uint64
	HardState *raftpb.HardState // nil = unchanged
	// Entries follow the group's last one, or overwrite its log from the first
	// of them on, which must be after everything that was cut.
	Entries []*raftpb.Entry
	// Start, of a newborn group, an empty one that joins or an installed image,
	// drops the group's log, which then begins after this position. The hard
	// state stays unless it is set, or Replica says that the group is another
	// replica's from here on. With a HardState beside it, a lost group is whole
	// again.
	Start *Position
	// Replica, with Start, is whose log the group is on this node; 0 = whose it
	// was. What another replica has promised means nothing: its hard state goes.
	Replica uint64
	// Remove, alone in its Append, takes the group off this node: from here on
	// it is as if it had never been written. It may be made anew, also further
	// on in the same batch.
	Remove bool
}

// Log is an open node log. Write and Close have one caller at a time, the
// writer; everything else is safe beside them and each other.
type Log struct {
	disk disk.Disk
	dir  string
	o    Options
	id   uint64

	// Owned by the writer.
	segments []*segment // oldest first; the last one is written to
	end      int64      // where the next batch begins in it
	number   uint64     // of the last batch
	crc      uint32     // of the last batch
	buf      []byte     // the batch being written
	parts    []part     // the appends being written
	rows     []row      // of the batch being written
	recent   recent
	cache    cache

	spare spareState // atomic

	mu struct {
		sync.RWMutex
		groups map[uint64]*Group
		err    error // the log is closed for good
		// unknown: groups that are not in the log may have been, before
		// corruption.
		unknown bool
	}
}

// part is one Append on its way to the disk.
type part struct {
	group     *Group
	replica   uint64 // whose the group is with it
	entriesAt int    // offset of the entries' records in the batch
}

// ErrClosed is what a closed log answers.
var ErrClosed = errors.New("node log is closed")

// Open opens the log in dir, and makes it when it is absent. It recovers what
// was acknowledged, as the package comment says: a torn last batch is cut, and
// groups that lost something to corruption get an Err. An error means that the
// disk cannot be read or written now; nothing was cut then.
func Open(d disk.Disk, dir string, o Options) (*Log, error) {
	o.ensureDefaults()
	l := &Log{disk: d, dir: dir, o: o}
	l.mu.groups = map[uint64]*Group{}
	if err := l.load(); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("open node log %s: %w", dir, err)
	}
	return l, nil
}

func newID() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, err
	}
	return le.Uint64(b[:]), nil
}

// Write makes batch durable in one flush: when it returns nil everything in
// it is on the disk, and no crash undoes it. An error is final: what of batch
// is on the disk is unknown, and the log refuses everything after it.
// Entries that do not follow on from their group's log are a fault of the
// caller, and panic.
func (l *Log) Write(batch []Append) error {
	if err := l.closed(); err != nil || len(batch) == 0 {
		return err
	}
	records := l.plan(batch)
	size := int64(tables{len(l.rows), len(l.recent.table)}.batch(records))
	err := l.makeRoom(size)
	if err == nil {
		err = l.flush(batch, size)
	}
	if err != nil {
		return l.close(fmt.Errorf("write node log: %w", err))
	}
	for i := range batch {
		l.publish(&batch[i], &l.parts[i])
	}
	l.end += size
	return nil
}

// plan checks the appends, lays out their rows, and returns the size of all
// records.
func (l *Log) plan(batch []Append) int {
	l.parts, l.rows = l.parts[:0], l.rows[:0]
	for i := range batch {
		g := l.Group(batch[i].Group)
		g.admit(&batch[i])
		g.planned.writing = true
		l.parts = append(l.parts, part{group: g, replica: g.planned.replica})
	}
	l.recent.plan(l.number + 1)
	at := tables{len(batch), len(l.recent.table)}.header()
	begin := at
	for i := range batch {
		a := &batch[i]
		r := row{group: a.Group, offset: uint64(at)}
		if a.Remove {
			r.last = removedLast
		}
		if a.Start != nil {
			at += recordBytes + startBytes
		}
		if a.HardState != nil {
			at += recordBytes + voteBytes
		}
		l.parts[i].entriesAt = at
		if n := len(a.Entries); n > 0 {
			r.first, r.last = a.Entries[0].GetIndex(), a.Entries[n-1].GetIndex()
		}
		for _, e := range a.Entries {
			at += recordBytes + len(e.Data)
		}
		r.bytes = uint64(at) - r.offset
		l.rows = append(l.rows, r)
	}
	return at - begin
}

// flush writes the batch, whose layout is planned, and syncs it.
func (l *Log) flush(batch []Append, size int64) error {
	number := l.number + 1
	for i := range l.rows {
		g := l.parts[i].group
		l.rows[i].previous, g.planned.batch = g.planned.batch, number
		g.planned.writing = false
		if l.rows[i].removes() {
			l.recent.remove(g, number)
		} else {
			l.recent.add(g)
		}
	}
	f := frame{
		id: l.id, number: number, bytes: uint64(size), previous: l.crc, rows: l.rows,
		since: l.recent.since, latest: l.recent.table,
	}
	b := appendHeader(l.buffer(int(size)), &f)
	for i := range batch {
		a := &batch[i]
		if a.HardState != nil {
			b = appendHard(b, a.Group, hardStateOf(a.HardState))
		}
		if a.Start != nil {
			b = appendStart(b, a.Group, *a.Start, l.parts[i].replica)
		}
		for _, e := range a.Entries {
			b = appendEntry(b, a.Group, e)
		}
	}
	b, crc := appendTrailer(b, &f)
	s := l.active()
	if _, err := s.file.WriteAt(b, l.end); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	l.number, l.crc = number, crc
	return nil
}

// buffer returns an empty slice with room for a batch. A very large one is
// not kept.
func (l *Log) buffer(size int) []byte {
	const keep = 16 << 20
	if cap(l.buf) < size || cap(l.buf) > keep && size <= keep {
		l.buf = make([]byte, 0, max(size, 64<<10))
	}
	return l.buf[:0]
}

// publish shows readers what is durable now.
func (l *Log) publish(a *Append, p *part) {
	g := p.group
	size := entriesBytes(a.Entries)
	l.cache.makeRoom(size, l.o.CacheBytes)
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.plan()
	if a.Remove {
		l.cache.bytes -= g.remove()
		return
	}
	g.mu.batch = l.number
	if a.HardState != nil {
		g.mu.hard, g.mu.hasHard = hardStateOf(a.HardState), true
	}
	if a.Start != nil {
		l.cache.bytes -= g.begin(*a.Start, p.replica, a.HardState != nil)
	}
	if len(a.Entries) == 0 {
		return
	}
	l.cache.bytes -= g.truncate(a.Entries[0].GetIndex())
	s, off := l.active(), l.end+int64(p.entriesAt)
	for _, e := range a.Entries {
		n := recordBytes + len(e.Data)
		g.add(Position{e.GetIndex(), e.GetTerm()}, s, off, n)
		off += int64(n)
	}
	g.mu.recent = append(g.mu.recent, a.Entries...)
	l.cache.push(g, g.mu.last.Index, size)
}

// Group returns a group of the log. One that was never written, or is removed,
// has an empty log from index 1 on.
func (l *Log) Group(id uint64) *Group {
	l.mu.RLock()
	g := l.mu.groups[id]
	l.mu.RUnlock()
	if g != nil {
		return g
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if g = l.mu.groups[id]; g == nil {
		g = &Group{id: id}
		if l.mu.unknown {
			g.lose(errUnknown)
			g.plan()
		}
		l.mu.groups[id] = g
	}
	return g
}

// Groups returns, sorted, the ids of the groups that the log has something of,
// lost ones included.
func (l *Log) Groups() []uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	ids := slices.Sorted(maps.Keys(l.mu.groups))
	return slices.DeleteFunc(ids, func(id uint64) bool {
		g := l.mu.groups[id]
		g.mu.RLock()
		defer g.mu.RUnlock()
		return g.mu.batch == 0 && !g.mu.lost
	})
}

// Cut says that the group's entries up to index are in its store. They stay
// readable until a new segment begins, and then as long as Options keep them.
// The cut is forgotten when the log is opened again: cut again.
func (l *Log) Cut(group, index uint64) error {
	if err := l.closed(); err != nil {
		return err
	}
	g := l.Group(group)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.cut = max(g.mu.cut, index)
	return nil
}

// Close closes the files. Everything written is durable already.
func (l *Log) Close() error {
	_ = l.close(ErrClosed)
	var errs []error
	for _, s := range l.segments {
		if err := s.file.Close(); !errors.Is(err, fs.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (l *Log) closed() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.err
}

// close makes the log refuse everything from now on with err, and returns it.
func (l *Log) close(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.err == nil {
		l.mu.err = err
	}
	return err
}
