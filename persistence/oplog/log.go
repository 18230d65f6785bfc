package oplog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// Options is what a Log is made of.
type Options struct {
	Dir       string
	BytesMax  int64         // of all files; the oldest go. 0: 256 MB
	AgeMax    time.Duration // of rows; 0: any
	Outbox    bool          // the rows have to be sent to a hub
	Hub       string        // its address: rows kept for another, or for none, are not sent to it
	SyncEvery time.Duration // 0: a second
	Logger    *slog.Logger

	segmentBytes int64             // of the tests; 0: by BytesMax
	step         func(what string) // of the tests: called before each step of the disk
	now          func() time.Time  // of the tests
}

const (
	bytesMaxDefault = 256 << 20
	segmentBytesMax = 4 << 20
	segmentBytesMin = 64 << 10
	// segmentsMax bounds the files, which are small where a node is started often.
	segmentsMax = 4096
	// retiredMax is how many full segments wait for the disk before rows are dropped.
	retiredMax = 8
)

// Log is an open log. Its zero value is none: see Open.
type Log struct {
	options Options
	log     *slog.Logger
	now     func() time.Time

	mu struct {
		sync.Mutex
		current  *segment      // written to; nil: rows are dropped
		spare    *segment      // the next one
		segments []*segment    // by number: the sealed, then those that are full
		next     uint64        // number of the next file
		room     chan struct{} // closed when the owner has made a spare, or could not
		stuck    bool          // it could not
		position Position      // up to where the hub has the rows
		closed   bool
	}
	rows, dropped, damaged atomic.Uint64
	waiting                atomic.Int64 // rows that the hub does not have

	positions positionFile // guarded by its own lock
	readers   chan struct{}
	turns     turns
	wake      chan struct{}   // the owner has something to do
	flushes   chan chan error // asks for a sync, and takes its result
	enough    chan struct{}   // a batch for the hub is there; has room for one
	stop      chan struct{}
	done      chan struct{}
}

// Stats is what a Log counts since it was opened; Bytes and Waiting are of now.
type Stats struct {
	Rows    uint64 // kept
	Dropped uint64 // not kept, or gone before the hub had them
	Damaged uint64 // places that could not be read
	Bytes   int64
	Waiting int64 // rows that the hub does not have
}

// readersMax is how many queries read at a time.
const readersMax = 2

// Open opens the log of a directory, or makes it. A file that cannot be read
// is left out and counted.
func Open(o Options) (*Log, error) {
	if o.BytesMax == 0 {
		o.BytesMax = bytesMaxDefault
	}
	if o.segmentBytes == 0 {
		o.segmentBytes = min(max(o.BytesMax/16&^(recordsAt-1), segmentBytesMin), segmentBytesMax)
	}
	if o.SyncEvery == 0 {
		o.SyncEvery = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	if o.now == nil {
		o.now = time.Now
	}
	l := &Log{
		options: o, log: o.Logger, now: o.now, readers: make(chan struct{}, readersMax), wake: make(chan struct{}, 1),
		flushes: make(chan chan error), enough: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the operation log: %w", err)
	}
	go l.own()
	return l, nil
}

func (l *Log) open() error {
	if err := os.MkdirAll(l.options.Dir, 0o700); err != nil {
		return err
	}
	if err := l.openSegments(); err != nil {
		return err
	}
	if err := l.openPosition(); err != nil {
		return err
	}
	l.retain()
	s, err := l.makeSegment()
	if err != nil {
		return errors.Join(err, l.positions.close())
	}
	l.mu.current, l.mu.room = s, make(chan struct{})
	return nil
}

// openSegments reads what earlier processes left, and seals what they could not.
func (l *Log) openSegments() error {
	names, err := os.ReadDir(l.options.Dir)
	if err != nil {
		return err
	}
	l.mu.next = 1
	for _, e := range names {
		number, ok := numberOf(e.Name())
		if !ok {
			continue
		}
		path := filepath.Join(l.options.Dir, e.Name())
		l.mu.next = max(l.mu.next, number+1)
		s, damaged, ok, err := openSegment(path, number)
		if err != nil {
			return err
		}
		l.damaged.Add(uint64(damaged))
		if !ok {
			l.damaged.Add(1)
			l.log.Warn("a file of the operation log cannot be read, and is removed", "file", path)
		}
		if !ok || s.rows == 0 {
			l.options.step("remove an empty segment")
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if s.sealed == 0 {
			l.options.step("seal after a crash")
			if err := s.finish(l.now()); err != nil {
				return err
			}
			s.sealed = l.now().UnixMilli()
		}
		if s.bytes > int64(s.end) {
			l.options.step("cut a sealed segment")
			if err := s.cut(); err != nil {
				return err
			}
			s.bytes = int64(s.end)
		}
		l.mu.segments = append(l.mu.segments, s)
	}
	return nil
}

// numberOf reads the name of a segment.
func numberOf(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil
}

// makeSegment makes the next file.
func (l *Log) makeSegment() (*segment, error) {
	l.mu.Lock()
	number := l.mu.next
	l.mu.next++
	l.mu.Unlock()
	l.options.step("make a segment")
	return newSegment(l.options.Dir, number, l.options.segmentBytes)
}

// Append keeps a row. It never waits for the disk: a row that comes while the
// segment is full and the next one is not ready is counted as dropped.
func (l *Log) Append(o *tenant.LoggedOperation) {
	t := textsOf(o)
	size := sizeOf(&t)
	l.mu.Lock()
	ok := l.append(o, &t, size)
	l.mu.Unlock()
	if !ok {
		l.dropped.Add(1)
		return
	}
	l.kept(o)
}

// append writes the row where there is room. The lock is held.
func (l *Log) append(o *tenant.LoggedOperation, t *[texts]string, size int) bool {
	s := l.mu.current
	if s == nil || s.end+size > len(s.data) {
		if s = l.turn(); s == nil {
			return false
		}
	}
	b := s.data[s.end : s.end+size]
	if !guardedPut(b, s.base, o, t) {
		return false
	}
	s.note(record(b).tenant(), o.Time)
	if o.Tenant == "" {
		s.accepted++ // the hub does not want it
	}
	s.end += size
	return true
}

// guardedPut is putRecord where the disk below the mapping may fail.
func guardedPut(b []byte, base uint32, o *tenant.LoggedOperation, t *[texts]string) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if !ok {
			_ = recover() // a page that cannot be had: the row is lost, and nothing else
		}
	}()
	putRecord(b, base, o, t)
	return true
}

// turn goes over to the next segment; nil where the owner has none ready: only
// it makes them, so that nobody waits for the disk with the lock held.
func (l *Log) turn() *segment {
	if l.mu.spare == nil {
		if !l.mu.stuck {
			l.nudge()
		}
		return nil
	}
	l.mu.segments = append(l.mu.segments, l.mu.current)
	l.mu.current, l.mu.spare = l.mu.spare, nil
	l.nudge()
	return l.mu.current
}

// unsealed counts the full segments that wait for the disk.
func (l *Log) unsealed() (n int) {
	for _, s := range slices.Backward(l.mu.segments) {
		if s.sealed != 0 {
			break
		}
		n++
	}
	return n
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// AppendAll keeps rows and returns when they are on the disk: all of them, or
// an error, and then some may be.
func (l *Log) AppendAll(ctx context.Context, rows []tenant.LoggedOperation) error {
	for i := range rows {
		if err := l.keep(ctx, &rows[i]); err != nil {
			return err
		}
	}
	return l.Flush(ctx)
}

// keep appends a row, and waits while the next segment is made.
func (l *Log) keep(ctx context.Context, o *tenant.LoggedOperation) error {
	t := textsOf(o)
	size := sizeOf(&t)
	for {
		l.mu.Lock()
		ok := l.append(o, &t, size)
		room, never := l.mu.room, l.mu.stuck || l.mu.closed || l.mu.spare != nil
		l.mu.Unlock()
		switch {
		case ok:
			l.kept(o)
			return nil
		case never: // it was not for want of a segment, or none can be made
			return errors.New("the operation log cannot be written")
		}
		select {
		case <-room:
		case <-l.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// kept counts a row.
func (l *Log) kept(o *tenant.LoggedOperation) {
	l.rows.Add(1)
	if l.options.Outbox && o.Tenant != "" && l.waiting.Add(1) == tenant.LogBatchMax {
		select {
		case l.enough <- struct{}{}:
		default:
		}
	}
}

// Flush returns when what was appended before is on the disk.
func (l *Log) Flush(ctx context.Context) error {
	result := make(chan error, 1)
	select {
	case l.flushes <- result:
	case <-l.done:
		return errors.New("the operation log is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	s := Stats{Rows: l.rows.Load(), Dropped: l.dropped.Load(), Damaged: l.damaged.Load(), Waiting: max(l.waiting.Load(), 0)}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Bytes = l.bytes()
	return s
}

// bytes are those of all files. The lock is held.
func (l *Log) bytes() (n int64) {
	for _, s := range l.mu.segments {
		n += s.bytes
	}
	for _, s := range []*segment{l.mu.current, l.mu.spare} {
		if s != nil {
			n += s.bytes
		}
	}
	return n
}

// Stop ends the log: what was appended is on the disk when it returns nil. Rows
// that come later are dropped.
func (l *Log) Stop(ctx context.Context) error {
	l.mu.Lock()
	closed := l.mu.closed
	l.mu.closed = true
	l.mu.Unlock()
	if !closed {
		close(l.stop)
	}
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
