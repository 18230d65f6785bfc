package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Usage returns how many bytes of the file system that dir is on are used, and
// how many this process could use in all: what only root may fill counts as
// neither. So used/total is 1 when a write fails for lack of space.
func Usage(dir string) (used, total uint64, err error) {
	var s unix.Statfs_t
	for {
		if err = unix.Statfs(dir, &s); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("usage of the file system of %s: %w", dir, err)
	}
	used = (s.Blocks - s.Bfree) * uint64(s.Bsize)
	return used, used + s.Bavail*uint64(s.Bsize), nil
}
