package disk

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
)

// SectorBytes is the unit in which a crash keeps or loses what was written.
const SectorBytes = 512

// Mem is a Disk in memory that can crash and fail, for tests and the
// simulation. What a crash keeps depends on the seed and the calls only.
type Mem struct {
	mu sync.Mutex
	// Guarded by mu.
	rng     *rand.Rand
	life    int // crashes so far: a file opened in an earlier life is closed
	names   map[string]*node
	durable map[string]*node // names as a crash that keeps nothing leaves them
	pending []nameChange     // from durable to names, oldest first
	dirs    map[string]bool
	ops     int
	failAt  int // the operation (as counted by ops) from which all fail; 0 = none
	failErr error
}

// nameChange takes from away (unless "") and puts node at to (unless "").
type nameChange struct {
	from, to string
	node     *node
}

func (c nameChange) dir() string {
	if c.to != "" {
		return path.Dir(c.to)
	}
	return path.Dir(c.from)
}

func (c nameChange) apply(names map[string]*node) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// NewMem returns an empty disk. The seed decides what crashes keep.
func NewMem(seed uint64) *Mem {
	return &Mem{
		rng:     rand.New(rand.NewPCG(seed, 0)),
		names:   map[string]*node{},
		durable: map[string]*node{},
		dirs:    map[string]bool{".": true},
	}
}

// Clone returns a copy of the disk as it is now, with nothing failing. Its
// crashes follow the given seed.
func (m *Mem) Clone(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	copies := map[*node]*node{}
	copyOf := func(n *node) *node {
		if n != nil && copies[n] == nil {
			copies[n] = &node{data: bytes.Clone(n.data), syncedSize: n.syncedSize, unsynced: maps.Clone(n.unsynced)}
		}
		return copies[n]
	}
	c := NewMem(seed)
	c.dirs = maps.Clone(m.dirs)
	for name, n := range m.names {
		c.names[name] = copyOf(n)
	}
	for name, n := range m.durable {
		c.durable[name] = copyOf(n)
	}
	for _, change := range m.pending {
		c.pending = append(c.pending, nameChange{change.from, change.to, copyOf(change.node)})
	}
	return c
}

// Crash is a loss of power: of what was not synced, each sector and each
// change of a name is kept or lost at random. Open files are closed, and
// operations no longer fail.
func (m *Mem) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, change := range m.pending {
		if m.rng.IntN(2) == 0 {
			change.apply(m.durable)
		}
	}
	m.pending = nil
	m.names = maps.Clone(m.durable)
	for _, name := range slices.Sorted(maps.Keys(m.names)) {
		m.names[name].crash(m.rng)
	}
	m.life++
	m.failAt, m.failErr = 0, nil
}

// FailAt makes the n-th operation from now (1 = the next) and all after it
// fail with err. A failed write may have written a part, a failed Sync has
// written nothing. n = 0 lets operations succeed again.
func (m *Mem) FailAt(n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failAt, m.failErr = 0, nil
	if n > 0 {
		m.failAt, m.failErr = m.ops+n, err
	}
}

// Ops returns how many operations there were so far. An operation is a call
// that changes the disk or makes a change durable, in success or failure;
// opening and reading are not counted and do not fail.
func (m *Mem) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// Mutate replaces a file's bytes, durably, behind the back of those who have
// it open: decay, for tests of corruption. change may work in place.
func (m *Mem) Mutate(name string, change func(data []byte) []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[path.Clean(name)]
	if n == nil {
		return notExist("mutate", name)
	}
	n.data = change(n.data)
	n.syncedSize = int64(len(n.data))
	n.unsynced = map[int64]sector{}
	return nil
}

// op counts an operation and returns the error it has to fail with.
func (m *Mem) op() error {
	m.ops++
	if m.failAt > 0 && m.ops >= m.failAt {
		return m.failErr
	}
	return nil
}

func notExist(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Create makes a new file, or fails with fs.ErrExist.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = path.Clean(name)
	if err := m.op(); err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	if m.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if !m.dirs[path.Dir(name)] {
		return nil, notExist("create", name)
	}
	n := &node{unsynced: map[int64]sector{}}
	m.change(nameChange{to: name, node: n})
	return &memFile{m, n, name, m.life, false}, nil
}

func (m *Mem) change(c nameChange) {
	c.apply(m.names)
	m.pending = append(m.pending, c)
}

// Open opens an existing file for reading and writing.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = path.Clean(name)
	n := m.names[name]
	if n == nil {
		return nil, notExist("open", name)
	}
	return &memFile{m, n, name, m.life, false}, nil
}

// Rename replaces newName. A crash keeps it whole or not at all.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldName, newName = path.Clean(oldName), path.Clean(newName)
	if err := m.op(); err != nil {
		return fmt.Errorf("rename %s: %w", oldName, err)
	}
	n := m.names[oldName]
	if n == nil || !m.dirs[path.Dir(newName)] {
		return notExist("rename", oldName)
	}
	if oldName != newName {
		m.change(nameChange{from: oldName, to: newName, node: n})
	}
	return nil
}

// Remove deletes a file.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = path.Clean(name)
	if err := m.op(); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	if m.names[name] == nil {
		return notExist("remove", name)
	}
	m.change(nameChange{from: name})
	return nil
}

// List returns the names in a directory, sorted.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = path.Clean(dir)
	if !m.dirs[dir] {
		return nil, notExist("list", dir)
	}
	var names []string
	for name := range m.names {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	for name := range m.dirs {
		if name != "." && path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// MkdirAll makes a directory and its parents, durably.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.op(); err != nil {
		return fmt.Errorf("mkdir %s: %w", dir, err)
	}
	for dir = path.Clean(dir); !m.dirs[dir]; dir = path.Dir(dir) {
		m.dirs[dir] = true
	}
	return nil
}

// SyncDir makes the changes of names in dir durable, and no others.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = path.Clean(dir)
	if err := m.op(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if !m.dirs[dir] {
		return notExist("sync", dir)
	}
	m.pending = slices.DeleteFunc(m.pending, func(c nameChange) bool {
		if c.dir() == dir {
			c.apply(m.durable)
		}
		return c.dir() == dir
	})
	return nil
}
