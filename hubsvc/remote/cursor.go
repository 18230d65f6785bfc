package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hivehub/waggle/tenant"
)

// cursor says how far this node has read the hub's events, and which tenants'
// data has to go for it. It is a file of one JSON object, which is replaced as a
// whole: a deletion that was read is in it before the version behind it, so no
// crash loses one, and each node does them all, which does no harm.
type cursor struct {
	path string // "" keeps nothing
	mu   sync.Mutex
	kept kept
	next chan struct{} // closed when there is another deletion
}

// kept is the file.
type kept struct {
	URL     string      `json:"hub"` // of another hub the version means nothing
	Version uint64      `json:"version"`
	Deleted []tenant.ID `json:"deleted"`
}

// cursorBytesMax is more than a file with deletedMax tenants has.
const (
	cursorBytesMax = 1 << 20
	deletedMax     = 10_000
)

func openCursor(path, url string) (*cursor, error) {
	c := &cursor{path: path, kept: kept{URL: url}, next: make(chan struct{})}
	if path == "" {
		return c, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read how far the hub's events are known: %w", err)
	}
	k, err := decodeCursor(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; when it is deleted the events are read from the first one on", path, err)
	}
	if k.URL == url {
		c.kept = k
	}
	return c, nil
}

func decodeCursor(b []byte) (kept, error) {
	var k kept
	if len(b) > cursorBytesMax {
		return kept{}, errForm
	}
	if err := decodeJSON(b, &k); err != nil {
		return kept{}, err
	}
	for _, id := range k.Deleted {
		if _, err := tenant.ParseID(string(id)); err != nil {
			return kept{}, err
		}
	}
	return k, nil
}

func (c *cursor) version() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.Version
}

// deletions are the tenants whose data has yet to go.
func (c *cursor) deletions() []tenant.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.kept.Deleted)
}

// wake returns a channel that is closed when there are more deletions.
func (c *cursor) wake() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// advance keeps that events up to version were read, and what they deleted. On
// an error nothing was.
func (c *cursor) advance(version uint64, deleted []tenant.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := kept{URL: c.kept.URL, Version: version, Deleted: slices.Clone(c.kept.Deleted)}
	for _, id := range deleted {
		if !slices.Contains(k.Deleted, id) {
			k.Deleted = append(k.Deleted, id)
		}
	}
	if len(k.Deleted) > deletedMax {
		return errors.New("too many tenants were deleted whose data is still there")
	}
	if err := c.keep(k); err != nil {
		return err
	}
	if len(deleted) > 0 {
		close(c.next)
		c.next = make(chan struct{})
	}
	return nil
}

// erased keeps that a tenant's data is gone.
func (c *cursor) erased(id tenant.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.kept
	k.Deleted = slices.DeleteFunc(slices.Clone(k.Deleted), func(d tenant.ID) bool { return d == id })
	return c.keep(k)
}

// keep writes the file. mu is held.
func (c *cursor) keep(k kept) error {
	if c.path != "" {
		b, err := json.Marshal(k)
		if err != nil {
			return err
		}
		if err := replaceSynced(c.path, append(b, '\n')); err != nil {
			return fmt.Errorf("keep how far the hub's events are known: %w", err)
		}
	}
	c.kept = k
	return nil
}

// replaceSynced leaves either what was at path or all of b, durably.
func replaceSynced(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
