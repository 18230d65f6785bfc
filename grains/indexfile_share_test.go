package grains

import (
	"bytes"
	"io"
	"log/slog"
	"testing"

	"github.com/hivehub/waggle/persistence/disk"
)

// A file that another node sent is as good as one of this node's own; one that
// was broken off leaves nothing, and the file before it stays.
func TestReceiveIndexFile(t *testing.T) {
	d := disk.NewMem(1)
	f := openIndexFiles(d, slog.New(slog.DiscardHandler))
	k := fileKey{3, 7, 1}
	take := func(body string, commit bool) {
		t.Helper()
		in, err := f.receive(k, int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.receive(k, 1); err == nil {
			t.Fatal("two files of a collection come in at once")
		}
		for off := 0; off < len(body); off += 3 {
			if _, err := in.WriteAt([]byte(body[off:min(off+3, len(body))]), int64(off)); err != nil {
				t.Fatal(err)
			}
		}
		if !commit {
			in.Abort()
			return
		}
		if _, err := in.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(f *indexFiles, want string) {
		t.Helper()
		var got bytes.Buffer
		if !f.load(k, func(r io.Reader) error { _, err := got.ReadFrom(r); return err }) || got.String() != want {
			t.Fatalf("the file holds %q, want %q", got.String(), want)
		}
	}
	take("broken off", false)
	if f.load(k, func(io.Reader) error { return nil }) {
		t.Fatal("a file that was broken off counts")
	}
	take("the first graph", true)
	take("broken off", false)
	holds(f, "the first graph")
	take("the second graph", true)
	holds(f, "the second graph")
	after := openIndexFiles(d, slog.New(slog.DiscardHandler))
	holds(after, "the second graph")
	if names, err := d.List(k.dir()); err != nil || len(names) != 1 {
		t.Fatalf("files %v (%v), want one", names, err)
	}
}
