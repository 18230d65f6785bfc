package oplog

import (
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/hivehub/waggle/tenant"
)

const (
	magicPosition = 0x50504f57 // "WOPP"
	slotBytes     = 4 + 4 + 5*8 + 4
	slotApart     = 4096
)

// Position is a place between two rows of the log, in the order in which they
// were kept. The zero Position is before all of them.
type Position struct {
	Segment uint64
	Offset  uint64
}

func (p Position) before(other Position) bool {
	return p.Segment < other.Segment || p.Segment == other.Segment && p.Offset < other.Offset
}

// positionFile keeps a Position, and how many rows were dropped, of one hub.
type positionFile struct {
	mu       sync.Mutex
	file     *os.File // nil: there is no outbox
	sequence uint64
	hub      uint64 // hubMark of its address
}

// hubMark tells hubs apart.
func hubMark(address string) uint64 {
	sum := sha256.Sum256([]byte(address))
	return le.Uint64(sum[:])
}

// open returns what is kept of the hub with a mark. known is false where nothing
// is, such as for the first time and after another hub.
func (f *positionFile) open(path string, hub uint64) (p Position, dropped uint64, known bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hub = hub
	if f.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return p, 0, false, err
	}
	for slot := range int64(2) {
		b := make([]byte, slotBytes)
		if _, err := f.file.ReadAt(b, slot*slotApart); err != nil && !errors.Is(err, io.EOF) {
			return p, 0, false, errors.Join(err, f.file.Close())
		}
		if le.Uint32(b) != magicPosition || le.Uint32(b[slotBytes-4:]) != crc32.Checksum(b[:slotBytes-4], castagnoli) {
			continue
		}
		if sequence := le.Uint64(b[8:]); sequence > f.sequence {
			f.sequence, p, dropped = sequence, Position{le.Uint64(b[16:]), le.Uint64(b[24:])}, le.Uint64(b[32:])
			known = le.Uint64(b[40:]) == hub
		}
	}
	return p, dropped, known, nil
}

// put makes a position durable. It goes into the slot that does not count, so
// that a torn write leaves the one before.
func (f *positionFile) put(p Position, dropped uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return errors.New("the outbox is closed")
	}
	b := le.AppendUint32(le.AppendUint32(make([]byte, 0, slotBytes), magicPosition), 0)
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, f.sequence+1), p.Segment), p.Offset)
	b = le.AppendUint64(le.AppendUint64(b, dropped), f.hub)
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := f.file.WriteAt(b, int64((f.sequence+1)%2)*slotApart); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	f.sequence++
	return nil
}

func (f *positionFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// openPosition finds out which rows the hub does not have. Rows from before it
// was this node's hub are not for it: they may be of tenants whom it does not
// know, and whose business is not its.
func (l *Log) openPosition() error {
	path := filepath.Join(l.options.Dir, "position")
	if !l.options.Outbox {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil // whichever hub comes next, what is kept from now on is not for it
	}
	p, dropped, known, err := l.positions.open(path, hubMark(l.options.Hub))
	if err != nil {
		return err
	}
	if !known {
		p, dropped = Position{Segment: l.mu.next}, 0
		if len(l.mu.segments) > 0 {
			l.log.Info("the hub gets the operation log from now on; the rows before stay here", "hub", l.options.Hub)
		}
		if err := l.positions.put(p, dropped); err != nil {
			return errors.Join(err, l.positions.close())
		}
	}
	if err := syncDir(l.options.Dir); err != nil {
		return errors.Join(err, l.positions.close())
	}
	l.mu.position = p
	l.mu.next = max(l.mu.next, p.Segment+1) // also when all the files have gone: what comes is behind p
	l.dropped.Store(dropped)
	for _, s := range l.mu.segments {
		if s.number < p.Segment {
			s.accepted = s.rows
			continue
		}
		err := s.read(s.end, func(at int, r record) bool {
			if len(r.tenant()) == 0 || !p.before(Position{s.number, uint64(at + len(r))}) {
				s.accepted++
			}
			return true
		})
		if err != nil {
			return errors.Join(err, l.positions.close())
		}
		l.waiting.Add(int64(s.rows - s.accepted))
	}
	return nil
}

// Batch is rows for the hub, in the order in which they were kept.
type Batch struct {
	Rows []tenant.LoggedOperation
	next Position
	of   map[uint64]int // how many of the rows are in each segment
}

// Batch returns the oldest rows that the hub does not have, at most so many; none
// when there are none. The same ones are returned until they are accepted, or
// have gone because there was no room.
func (l *Log) Batch(most int) (Batch, error) {
	l.mu.Lock()
	from := l.mu.position
	list := append([]*segment{}, l.mu.segments...)
	if l.mu.current != nil {
		list = append(list, l.mu.current)
	}
	ends := make([]int, len(list))
	for i, s := range list {
		ends[i] = s.end
	}
	l.mu.Unlock()
	b := Batch{next: from, of: map[uint64]int{}}
	for i, s := range list {
		if s.number < from.Segment || s.number == from.Segment && uint64(ends[i]) <= from.Offset {
			continue
		}
		err := s.read(ends[i], func(at int, r record) bool {
			end := Position{s.number, uint64(at + len(r))}
			if !from.before(end) {
				return true
			}
			if len(r.tenant()) > 0 {
				b.Rows = append(b.Rows, r.row())
				b.of[s.number]++
			}
			b.next = end
			return len(b.Rows) < most
		})
		if err != nil {
			return Batch{}, err
		}
		if len(b.Rows) >= most {
			break
		}
	}
	return b, nil
}

// Accept notes durably that the hub has a batch, or that dropped rows of it can
// never be had by it.
func (l *Log) Accept(b Batch, dropped int) error {
	l.options.step("accept")
	l.dropped.Add(uint64(dropped) - l.taken(b))
	if err := l.positions.put(b.next, l.dropped.Load()); err != nil {
		return err
	}
	l.options.step("accepted")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.position = b.next
	l.settle(b)
	return nil
}

// taken counts the rows of a batch that were given up for lost while they were
// on their way.
func (l *Log) taken(b Batch) (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := uint64(0)
	if len(l.mu.segments) > 0 {
		oldest = l.mu.segments[0].number
	} else if l.mu.current != nil {
		oldest = l.mu.current.number
	}
	for number, rows := range b.of {
		if number < oldest {
			n += uint64(rows)
		}
	}
	return n
}

// settle counts the rows of a batch as those of their segments that the hub
// has. What a segment that is done with has beyond them cannot be read any
// more. The lock is held.
func (l *Log) settle(b Batch) {
	list := l.mu.segments
	if l.mu.current != nil {
		list = append(list[:len(list):len(list)], l.mu.current)
	}
	for _, s := range list {
		n := b.of[s.number]
		if s.number < b.next.Segment {
			l.dropped.Add(uint64(s.rows - s.accepted - n))
			n = s.rows - s.accepted
		}
		s.accepted += n
		l.waiting.Add(-int64(n))
	}
}
