package scratch

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// A page that is not there is an error of the read, and of nobody else: to the
// process it is the same signal as a page that the disk does not give.
func TestFaultIsAnError(t *testing.T) {
	s := open(t)
	const size = 1 << 16
	if err := s.Allocate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteAt(bytes.Repeat([]byte{7}, size), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.file.Truncate(size / 2); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	for range 3 {
		if _, err := s.ReadAt(got, size-100); !errors.Is(err, unix.EIO) {
			t.Fatalf("error %v", err)
		}
		if _, err := s.ReadAt(make([]byte, manyBytes), size/2-50); err == nil {
			t.Fatal("many bytes that are not there were read")
		}
		if _, err := s.ReadAt(got, size/2-50); !errors.Is(err, unix.EIO) {
			t.Fatalf("across the end: error %v", err)
		}
		if _, err := s.ReadAt(got, size/2-100); err != nil || got[99] != 7 {
			t.Fatalf("beside it: %v, error %v", got[99], err)
		}
	}
}

// A read may begin in one segment and end in the next.
func TestReadAcrossSegments(t *testing.T) {
	const segment = manyBytes / 4 // a page
	s := open(t)
	s.segment = segment
	if err := s.Allocate(3 * segment); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3*segment)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	if _, err := s.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int{{0, 3 * segment}, {segment - 5, segment + 6}, {segment, 2 * segment}, {7, 2*segment + 1}} {
		got := make([]byte, at[1]-at[0])
		if n, err := s.ReadAt(got, int64(at[0])); n != len(got) || err != nil || !bytes.Equal(got, want[at[0]:at[1]]) {
			t.Errorf("%v: %d bytes, error %v", at, n, err)
		}
	}
}

func TestFullDiskIsAnError(t *testing.T) {
	s := open(t)
	if err := s.Allocate(1 << 50); err == nil {
		t.Fatal("a petabyte was there")
	}
	if _, err := s.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("it may be read")
	}
}
