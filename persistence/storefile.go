package persistence

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/hivehub/waggle/persistence/disk"
)

// StoreFile is the name of the store of a group that begins at the index start
// (nodelog.Group.Start): "0007-0000000000000001.db", the group in decimal and
// the index in hexadecimal digits. So a start in the log is what switches from
// one store to the other.
func StoreFile(group, start uint64) string { return fmt.Sprintf("%04d-%016x.db", group, start) }

// ParseStoreFile is the inverse of StoreFile. Other names are not a store's.
func ParseStoreFile(name string) (group, start uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%d-%016x.db", &group, &start); err != nil {
		return 0, 0, false
	}
	return group, start, name == StoreFile(group, start)
}

const (
	tempSuffix = ".image" // of an image that is being taken in
	newSuffix  = ".new"   // of a store that is being made
)

func tempFile(group uint64, n int) string { return fmt.Sprintf("%04d.%d%s", group, n, tempSuffix) }

// SweepStores removes from dir, durably, what a process that ended has left
// half made there, and every store whose name is not in keep. It is called
// before any store is opened. A group that is stopped still has a claim to its
// stores: of all of them, when its log does not tell which one it was.
func SweepStores(dir string, keep map[string]bool) error {
	d, err := disk.OS(dir)
	if err != nil {
		return err
	}
	return SweepMemStores(d, ".", keep)
}

// SweepMemStores is SweepStores for memory stores in a directory on d.
func SweepMemStores(d disk.Disk, dir string, keep map[string]bool) error {
	return removeFiles(d, dir, func(name string) bool {
		_, _, store := ParseStoreFile(name)
		return store && !keep[name] || strings.HasSuffix(name, tempSuffix) || strings.HasSuffix(name, newSuffix)
	})
}

// RemoveStore removes a store that is not open, durably: that of an image that
// the log did not switch to.
func RemoveStore(dir string, group, start uint64) error {
	return removeStores(dir, func(g, s uint64) bool { return g == group && s == start })
}

// RemoveStores removes every store of a group, none of which is open, durably:
// after the group has left this node, and before it is made anew, because a
// new replica may begin at the index of an old one.
func RemoveStores(dir string, group uint64) error {
	return removeStores(dir, func(g, _ uint64) bool { return g == group })
}

func removeStores(dir string, unwanted func(group, start uint64) bool) error {
	d, err := disk.OS(dir)
	if err != nil {
		return err
	}
	return removeFiles(d, ".", func(name string) bool {
		group, start, ok := ParseStoreFile(name)
		return ok && unwanted(group, start)
	})
}

func removeFiles(d disk.Disk, dir string, unwanted func(name string) bool) error {
	names, err := d.List(dir)
	if err != nil {
		return fmt.Errorf("sweep stores: %w", err)
	}
	removed := false
	for _, name := range names {
		if !unwanted(name) {
			continue
		}
		if err := d.Remove(path.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweep stores: %w", err)
		}
		removed = true
	}
	if !removed {
		return nil
	}
	if err := d.SyncDir(dir); err != nil {
		return fmt.Errorf("sweep stores: %w", err)
	}
	return nil
}
