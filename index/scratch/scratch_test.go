package scratch

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hivehub/waggle/index"
)

func open(tb testing.TB) *Space {
	tb.Helper()
	s, err := Open(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// What is written is read, beside growth and other reads, and has no name.
func TestReadsWhatWasWritten(t *testing.T) {
	const rows, rowBytes = 2000, 1000
	s := open(t)
	var _ index.Scratch = s
	row := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, rowBytes/2) }
	var readers sync.WaitGroup
	written := make(chan int, rows)
	for range 2 {
		readers.Go(func() {
			got := make([]byte, rowBytes)
			for i := range written {
				if _, err := s.ReadAt(got, int64(i)*rowBytes); err != nil || !bytes.Equal(got, row(i)) {
					t.Errorf("row %d: %v, error %v", i, got[:4], err)
				}
			}
		})
	}
	for i := range rows {
		if err := s.Allocate(int64(i+1) * rowBytes); err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteAt(row(i), int64(i)*rowBytes); err != nil {
			t.Fatal(err)
		}
		written <- i
		written <- rand.IntN(i + 1)
	}
	close(written)
	readers.Wait()
	if err := s.Allocate(1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(make([]byte, rowBytes), (rows-1)*rowBytes); err != nil {
		t.Errorf("after a smaller size: %v", err)
	}
	for _, off := range []int64{-1, rows*rowBytes - 1, 1 << 40} {
		if n, err := s.ReadAt(make([]byte, 2), off); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("at %d: %d bytes, error %v", off, n, err)
		}
	}
}

func TestHasNoName(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Pattern+"left"), []byte("by a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Clean(dir); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func(string) (io.Closer, error){
		func(dir string) (io.Closer, error) { return Open(dir) },
		func(dir string) (io.Closer, error) { return named(dir) },
	} {
		s, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
			t.Errorf("%v in the directory, error %v", names, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such directory: error %v", err)
	}
}
