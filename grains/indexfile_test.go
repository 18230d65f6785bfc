package grains

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/hivehub/waggle/persistence/disk"
)

var someKey = fileKey{partition: 3, collection: 12}

func yes() bool { return true }

// saved writes text to the key's file.
func saved(f *indexFiles, k fileKey, text string) (bool, error) {
	return f.save(context.Background(), k, func(w io.Writer) (int64, error) {
		n, err := io.WriteString(w, text)
		return int64(n), err
	}, yes)
}

// content is what the key's file holds, nothing when there is none of use.
func content(f *indexFiles, k fileKey) string {
	var text []byte
	f.load(k, func(r io.Reader) (err error) {
		text, err = io.ReadAll(r)
		return err
	})
	return string(text)
}

func onDisk(d disk.Disk, log io.Writer) *indexFiles {
	return openIndexFiles(d, slog.New(slog.NewTextHandler(log, nil)))
}

// Whatever operation of the disk is the last one before the power goes, the
// next start finds the file before it or the new one, whole, and no other.
func TestIndexFileSurvivesEveryCrash(t *testing.T) {
	before, after := strings.Repeat("before", 1000), strings.Repeat("after!", 1001)
	errPower := errors.New("power")
	newest := 0
	for n := 1; ; n++ {
		m := disk.NewMem(uint64(n))
		if done, err := saved(onDisk(m, io.Discard), someKey, before); err != nil || !done {
			t.Fatal(done, err)
		}
		ops := m.Ops()
		m.FailAt(n, errPower)
		done, err := saved(onDisk(m, io.Discard), someKey, after)
		ended := m.Ops()-ops < n
		m.Crash()
		f := onDisk(m, io.Discard)
		got := content(f, someKey)
		if got != before && got != after || done && err == nil && got != after {
			t.Fatalf("after a crash at operation %d, %d bytes are there; done %v, %v", n, len(got), done, err)
		}
		if got == after {
			newest++
		}
		names, err := m.List(someKey.dir())
		if err != nil || len(names) != 1 {
			t.Fatalf("after a crash at operation %d: %v, %v", n, names, err)
		}
		if ended {
			break
		}
	}
	if newest < 2 {
		t.Errorf("the new file was there %d times", newest)
	}
}

// The disk may be full: the file that was there stays, and the next save works.
func TestIndexFileOnAFullDisk(t *testing.T) {
	m := disk.NewMem(1)
	f := onDisk(m, io.Discard)
	if _, err := saved(f, someKey, "before"); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 8; n++ {
		m.FailAt(n, errors.New("no space left on device"))
		done, err := saved(f, someKey, "after")
		m.FailAt(0, nil)
		if err == nil {
			break
		}
		if got := content(f, someKey); got != "before" && !done {
			t.Fatalf("operation %d failed, and %q is there", n, got)
		}
	}
	if done, err := saved(f, someKey, "later"); !done || err != nil || content(f, someKey) != "later" {
		t.Fatalf("done %v, %v, %q", done, err, content(f, someKey))
	}
}

// A bit flipped in the header, a file cut short and another collection's file
// are removed, with one warning. What is behind the header has checksums of its
// own, see package hnsw.
func TestDamagedIndexFileIsRemoved(t *testing.T) {
	other := fileKey{partition: 3, collection: 13}
	change := map[string]func([]byte) []byte{
		"cut":   func(b []byte) []byte { return b[:len(b)-1] },
		"empty": func([]byte) []byte { return nil },
		"long":  func(b []byte) []byte { return append(b, 0) },
		"other": func(b []byte) []byte {
			return append(other.header(int64(len(b)-fileHeaderBytes)), b[fileHeaderBytes:]...)
		},
	}
	for bit := range 8 * fileHeaderBytes {
		change["bit "+string(rune('0'+bit))] = func(b []byte) []byte {
			b = bytes.Clone(b)
			b[bit/8] ^= 1 << (bit % 8)
			return b
		}
	}
	for name, damage := range change {
		m, log := disk.NewMem(1), new(bytes.Buffer)
		f := onDisk(m, log)
		if _, err := saved(f, someKey, "text"); err != nil {
			t.Fatal(err)
		}
		if err := m.Mutate(someKey.name(1), damage); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := content(f, someKey); got != "" {
				t.Errorf("%s: read %q", name, got)
			}
		}
		if names, _ := m.List(someKey.dir()); len(names) > 0 || strings.Count(log.String(), "level=WARN") != 1 {
			t.Errorf("%s: %v is there, and the log says %s", name, names, log)
		}
	}
}

func TestOneSaveAtATime(t *testing.T) {
	f := onDisk(disk.NewMem(1), io.Discard)
	done, err := f.save(t.Context(), someKey, func(w io.Writer) (int64, error) {
		if done, err := saved(f, someKey, "inner"); done || err != nil {
			t.Errorf("a save during a save: %v, %v", done, err)
		}
		n, err := io.WriteString(w, "outer")
		return int64(n), err
	}, yes)
	if !done || err != nil || content(f, someKey) != "outer" {
		t.Fatalf("%v, %v, %q", done, err, content(f, someKey))
	}
}

// A collection that is deleted while its file is written gets none.
func TestUnwantedIndexFile(t *testing.T) {
	m := disk.NewMem(1)
	f := onDisk(m, io.Discard)
	none := func(io.Writer) (int64, error) { return 0, nil }
	if done, err := f.save(t.Context(), someKey, none, func() bool { return false }); done || err != nil {
		t.Fatal(done, err)
	}
	if names, _ := m.List(someKey.dir()); len(names) > 0 {
		t.Errorf("%v stays", names)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.save(ctx, someKey, func(w io.Writer) (int64, error) {
		n, err := w.Write([]byte("x"))
		return int64(n), err
	}, yes)
	if names, _ := m.List(someKey.dir()); !errors.Is(err, context.Canceled) || len(names) > 0 {
		t.Errorf("a save that is stopped: %v, %v", err, names)
	}
}

// FuzzIndexFileName: any name is a file's or not, and a file's name is its own.
func FuzzIndexFileName(f *testing.F) {
	f.Add("12-3.widx")
	f.Add("12-3.widx.tmp")
	f.Add("12.7-3.widx")
	f.Add("-.widx")
	f.Fuzz(func(t *testing.T, name string) {
		k, number, ok := parseFileName(name)
		if !ok {
			return
		}
		again, n, ok := parseFileName(strings.TrimPrefix(k.name(number), "0/"))
		if !ok || again != k || n != number {
			t.Fatalf("%q is %v, %d", name, k, number)
		}
	})
}
