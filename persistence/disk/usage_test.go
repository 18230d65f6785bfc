package disk_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/hivehub/waggle/persistence/disk"
)

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	used, total, err := disk.Usage(dir)
	if err != nil || total == 0 || used > total {
		t.Fatalf("%d of %d bytes used, %v", used, total, err)
	}
	if _, _, err := disk.Usage(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
