package tally

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// Slots is how many slots an area has by default: 2 MB.
const Slots = 1 << 14

// Open maps the tally at path, and makes it when there is none, with so many
// slots (a power of two, 64 to 2^20) that count from now on, in Unix
// milliseconds. A file that cannot be used is set aside under the name with
// ".damaged" behind it.
func Open(path string, slots uint32, now int64) (*Tally, error) {
	t := &Tally{file: path}
	err := t.open()
	switch {
	case errors.Is(err, os.ErrNotExist):
	case errors.Is(err, errHeader):
		t.damaged++
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, fmt.Errorf("set the damaged tally aside: %w", err)
		}
	case err != nil:
		return nil, fmt.Errorf("open the tally: %w", err)
	default:
		return t, nil
	}
	if err := create(path, slots, now); err != nil {
		return nil, fmt.Errorf("make the tally: %w", err)
	}
	if err := t.open(); err != nil {
		return nil, fmt.Errorf("open the tally: %w", err)
	}
	return t, nil
}

// create makes an empty file: under another name, so that there is a whole one
// or none.
func create(path string, slots uint32, now int64) error {
	h := header{generation: 1, sequence: 1, birth: newBirth(), slots: slots, start: now}
	begin := make([]byte, areasBegin)
	h.encode(begin[headerBytes:])
	if _, ok := decodeHeader(begin[headerBytes:]); !ok {
		panic(fmt.Sprintf("BUG: a tally of %d slots", slots))
	}
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	// A write into the mapping must find its block: a full disk would end the process.
	err = unix.Fallocate(int(f.Fd()), 0, 0, int64(fileBytes(slots)))
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, fileBytes(slots)))
	}
	if err == nil {
		_, err = f.WriteAt(begin, 0)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func newBirth() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.LittleEndian.Uint64(b[:])
}

// open maps a file that is there. What is in it is read once before: a page that
// the disk cannot give would end the process later.
func (t *Tally) open() error {
	whole, err := os.ReadFile(t.file)
	if errors.Is(err, unix.EIO) {
		return errors.Join(errHeader, err)
	}
	if err != nil {
		return err
	}
	if t.header, err = readHeader(whole); err != nil {
		return err
	}
	f, err := os.OpenFile(t.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	t.mem, err = unix.Mmap(int(f.Fd()), 0, len(whole), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for i := range t.areas {
		t.areas[i].slots = slotsOf(t.mem, i, t.header.slots)
	}
	if err := t.recover(); err != nil {
		return errors.Join(err, unix.Munmap(t.mem))
	}
	return nil
}

// recover brings the file into the order that the header says.
func (t *Tally) recover() error {
	t.inspect(t.header.active)
	h := t.header
	switch frozen := 1 - h.active; {
	case h.frozen && h.reports == 0:
		t.inspect(frozen)
	case h.frozen && xxhash.Sum64(t.areaBytes(frozen)) == h.sum:
		t.inspect(frozen) // for how many there are
	default:
		if h.frozen {
			t.damaged++
			h.birth, h.sequence = newBirth(), 1
			h.frozen, h.reports, h.done, h.sum, h.frozenStart, h.frozenTo = false, 0, 0, 0, 0, 0
			if err := t.write(h); err != nil {
				return err
			}
		}
		t.empty(frozen)
	}
	if err := t.Sync(); err != nil {
		return err
	}
	t.active.Store(uint32(h.active))
	if h.frozen {
		return t.settle()
	}
	return nil
}

// inspect empties the slots of an area that no Add has left so, and counts the
// others.
func (t *Tally) inspect(number uint8) {
	a := &t.areas[number]
	used := 0
	for i := range a.slots {
		s := &a.slots[i]
		id, _, ok := s.read()
		if id != "" {
			used++
			continue
		}
		if !ok {
			t.damaged++
		}
		if *s != (slot{}) {
			*s = slot{}
		}
	}
	a.used.Store(int64(used))
}

// Flush writes to the disk what a crash of the machine must not forget. It may
// be called from anywhere until Close: the disk may have any moment of the file.
func (t *Tally) Flush() error {
	if err := unix.Msync(t.mem, unix.MS_SYNC); err != nil {
		return fmt.Errorf("sync the tally: %w", err)
	}
	return nil
}

// Sync is a Flush of the owner, who then knows that the header is on the disk.
func (t *Tally) Sync() error {
	if err := t.Flush(); err != nil {
		return err
	}
	t.unsynced = false
	t.at("synced")
	return nil
}

// Close ends the use of the file. What is added afterwards is dropped.
func (t *Tally) Close() error {
	t.active.Store(noArea)
	for i := range t.areas {
		t.areas[i].wait()
	}
	err := t.Sync()
	return errors.Join(err, unix.Munmap(t.mem))
}
