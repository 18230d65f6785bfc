package disk_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/hivehub/waggle/persistence/disk"
)

// The contract that every Disk keeps.
func TestDisk(t *testing.T) {
	contract := map[string]func(*testing.T, disk.Disk){
		"files": testFiles, "names": testNames, "directories": testDirectories, "closed": testClosed,
	}
	for name, test := range contract {
		t.Run("os/"+name, func(t *testing.T) {
			d, err := disk.OS(t.TempDir() + "/new")
			must(t, err)
			test(t, d)
		})
		t.Run("mem/"+name, func(t *testing.T) { test(t, disk.NewMem(1)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, d disk.Disk, name, content string) disk.File {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err)
	return f
}

func content(t *testing.T, d disk.Disk, name string) string {
	t.Helper()
	f, err := d.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	must(t, f.Close())
	return string(b)
}

func testFiles(t *testing.T, d disk.Disk) {
	f := create(t, d, "a", "hello")
	_, err := f.WriteAt([]byte("XY"), 7)
	must(t, err)
	must(t, f.Sync())
	if got := content(t, d, "a"); got != "hello\x00\x00XY" {
		t.Fatalf("read %q", got)
	}
	must(t, f.Truncate(3))
	must(t, f.Allocate(6))
	must(t, f.Allocate(2))
	if got := content(t, d, "a"); got != "hel\x00\x00\x00" {
		t.Fatalf("after truncate and allocate: %q", got)
	}
	b := make([]byte, 4)
	if n, err := f.ReadAt(b, 4); n != 2 || !errors.Is(err, io.EOF) {
		t.Fatalf("short read: %d, %v", n, err)
	}
	if _, err := f.ReadAt(b, 40); !errors.Is(err, io.EOF) {
		t.Fatalf("read past the end: %v", err)
	}
}

func testNames(t *testing.T, d disk.Disk) {
	create(t, d, "a", "1")
	create(t, d, "b", "2")
	if _, err := d.Create("a"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("create what exists: %v", err)
	}
	must(t, d.Rename("a", "b"))
	if got := content(t, d, "b"); got != "1" {
		t.Fatalf("renamed file has %q", got)
	}
	if _, err := d.Open("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open a renamed file: %v", err)
	}
	must(t, d.Remove("b"))
	for _, err := range []error{d.Remove("b"), d.Rename("b", "c")} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("of a removed file: %v", err)
		}
	}
}

func testDirectories(t *testing.T, d disk.Disk) {
	must(t, d.MkdirAll("x/y"))
	must(t, d.MkdirAll("x/y"))
	create(t, d, "x/y/2", "")
	create(t, d, "x/y/1", "")
	must(t, d.SyncDir("x/y"))
	names, err := d.List("x/y")
	must(t, err)
	if !slices.Equal(names, []string{"1", "2"}) {
		t.Fatalf("list: %v", names)
	}
	if names, err = d.List("."); err != nil || !slices.Equal(names, []string{"x"}) {
		t.Fatalf("list of the root: %v, %v", names, err)
	}
	_, errCreate := d.Create("none/a")
	_, errList := d.List("none")
	for _, err := range []error{errCreate, errList, d.SyncDir("none")} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("in no directory: %v", err)
		}
	}
}

func testClosed(t *testing.T, d disk.Disk) {
	f := create(t, d, "a", "1")
	must(t, f.Close())
	_, errRead := f.ReadAt(make([]byte, 1), 0)
	_, errWrite := f.WriteAt([]byte{1}, 0)
	for _, err := range []error{errRead, errWrite, f.Sync(), f.Truncate(0), f.Allocate(9), f.Close()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Fatalf("on a closed file: %v", err)
		}
	}
}

func TestOSStaysInside(t *testing.T) {
	d, err := disk.OS(t.TempDir())
	must(t, err)
	if _, err := d.Create("../out"); err == nil {
		t.Fatal("a name led out of the root")
	}
}

// outcomes crashes clones of m with many seeds and counts what is in a file.
func outcomes(t *testing.T, m *disk.Mem, name string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for seed := range uint64(200) {
		c := m.Clone(seed)
		c.Crash()
		if _, err := c.Open(name); errors.Is(err, fs.ErrNotExist) {
			seen["absent"]++
			continue
		}
		seen[content(t, c, name)]++
	}
	return seen
}

func wantOutcomes(t *testing.T, m *disk.Mem, name string, want ...string) {
	t.Helper()
	got := outcomes(t, m, name)
	for _, w := range want {
		if got[w] == 0 {
			t.Errorf("%s: %.20q never seen", name, w)
		}
		delete(got, w)
	}
	for g, n := range got {
		t.Errorf("%s: unexpected %.20q (%d bytes), %d times", name, g, len(g), n)
	}
}

func TestCrashOfNames(t *testing.T) {
	m := disk.NewMem(1)
	f := create(t, m, "a", "1")
	must(t, f.Sync())
	wantOutcomes(t, m, "a", "absent", "1")
	must(t, m.SyncDir("."))
	wantOutcomes(t, m, "a", "1")
	f = create(t, m, "tmp", "2")
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	must(t, m.Rename("tmp", "a"))
	wantOutcomes(t, m, "a", "1", "2")
	wantOutcomes(t, m, "tmp", "absent", "2")
	must(t, m.SyncDir("."))
	wantOutcomes(t, m, "a", "2")
	must(t, m.Remove("a"))
	wantOutcomes(t, m, "a", "absent", "2")
	must(t, m.SyncDir("."))
	wantOutcomes(t, m, "a", "absent")
}

func TestCrashTearsBySector(t *testing.T) {
	page := func(s string) string {
		return string(bytes.Repeat([]byte(s[:1]), 512)) + string(bytes.Repeat([]byte(s[1:]), 512))
	}
	m := disk.NewMem(1)
	f := create(t, m, "a", page("ab"))
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	_, err := f.WriteAt([]byte(page("cd")), 0)
	must(t, err)
	wantOutcomes(t, m, "a", page("ab"), page("cb"), page("ad"), page("cd"))
	must(t, f.Sync())
	wantOutcomes(t, m, "a", page("cd"))
	must(t, f.Truncate(512))
	wantOutcomes(t, m, "a", page("cd"), page("cd")[:512], page("c\x00"))
	must(t, f.Sync())
	must(t, f.Allocate(1024))
	wantOutcomes(t, m, "a", page("cd")[:512], page("c\x00"))
}

func TestCrashClosesFiles(t *testing.T) {
	m := disk.NewMem(1)
	f := create(t, m, "a", "1")
	must(t, m.SyncDir("."))
	m.FailAt(1, io.ErrShortWrite)
	m.Crash()
	if _, err := f.WriteAt([]byte{1}, 0); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("write after a crash: %v", err)
	}
	create(t, m, "b", "operations succeed again")
}

func TestFailAt(t *testing.T) {
	fail := errors.New("broken")
	m := disk.NewMem(1)
	f := create(t, m, "a", "1")
	before := m.Ops()
	m.FailAt(2, fail)
	must(t, f.Sync())
	_, errWrite := f.WriteAt([]byte{1}, 0)
	_, errCreate := m.Create("b")
	failed := []error{
		errWrite, errCreate, f.Sync(), f.Truncate(0), f.Allocate(9),
		m.Rename("a", "b"), m.Remove("a"), m.SyncDir("."), m.MkdirAll("d"),
	}
	for i, err := range failed {
		if !errors.Is(err, fail) {
			t.Errorf("operation %d: %v", i, err)
		}
	}
	if got := m.Ops() - before; got != 1+len(failed) {
		t.Errorf("%d operations counted, want %d", got, 1+len(failed))
	}
	m.FailAt(0, nil)
	must(t, f.Sync())
}

// After a failed Sync only writing again makes bytes durable.
func TestFailedSyncIsNotRepeated(t *testing.T) {
	m := disk.NewMem(1)
	f := create(t, m, "a", "1")
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	_, err := f.WriteAt([]byte("2"), 0)
	must(t, err)
	m.FailAt(1, io.ErrShortWrite)
	if f.Sync() == nil {
		t.Fatal("Sync did not fail")
	}
	m.FailAt(0, nil)
	must(t, f.Sync())
	wantOutcomes(t, m, "a", "1", "2")
	_, err = f.WriteAt([]byte("2"), 0)
	must(t, err)
	must(t, f.Sync())
	wantOutcomes(t, m, "a", "2")
}

func TestMutate(t *testing.T) {
	m := disk.NewMem(1)
	f := create(t, m, "a", "12")
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	must(t, m.Mutate("a", func(b []byte) []byte { b[0] ^= 1; return b[:1] }))
	wantOutcomes(t, m, "a", "0")
	if err := m.Mutate("b", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("mutate of no file: %v", err)
	}
}
