package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
)

// storeKind opens one kind of store; the suite below holds for every kind.
type storeKind struct {
	name string
	// open returns a function that opens the same store again and again.
	open func(t testing.TB) func() (Store, error)
}

var storeKinds = []storeKind{
	{"bolt", func(t testing.TB) func() (Store, error) {
		path := filepath.Join(t.TempDir(), "p.db")
		return func() (Store, error) { return openUnsynced(path) }
	}},
	{"mem", func(t testing.TB) func() (Store, error) {
		d := disk.NewMem(1)
		return func() (Store, error) { return OpenMem(d, "p.img") }
	}},
}

// emptyBolt is the file of a store just made.
var emptyBolt = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "p.db")
	s, err := OpenBolt(path)
	if err != nil {
		return nil, err
	}
	empty, err := os.ReadFile(path)
	return empty, errors.Join(err, s.Close(), os.RemoveAll(dir))
})

// openUnsynced opens a bbolt store that does not wait for the disk, for tests
// that do not cut the power.
func openUnsynced(path string) (Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		empty, err := emptyBolt()
		if err = errors.Join(err, os.WriteFile(path, empty, 0o600)); err != nil {
			return nil, err
		}
	}
	s, err := OpenBolt(path)
	if err == nil {
		s.(*boltStore).db.NoSync = true
	}
	return s, err
}

// eachStore runs test on every kind of store.
func eachStore(t *testing.T, test func(t *testing.T, open func() (Store, error))) {
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) { test(t, kind.open(t)) })
	}
}

// failer is what testing and rapid have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// must(f())(t) is f's result, or the end of the test.
func must[T any](v T, err error) func(failer) T {
	return func(t failer) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func mustClose(t failer, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// content is what a reader shows, by bucket and key.
type content map[string]string

func contentKey(bucket byte, key []byte) string { return fmt.Sprintf("%d/%x", bucket, key) }

// read returns everything r holds outside the meta bucket.
func read(r collection.Reader) (content, error) {
	c := content{}
	for b := collection.BucketMeta + 1; b < collection.BucketEnd; b++ {
		var last []byte
		var problem error
		err := r.Scan(b, nil, nil, func(key, value []byte) bool {
			if last != nil && bytes.Compare(key, last) <= 0 {
				problem = fmt.Errorf("bucket %d: key %x after %x", b, key, last)
			}
			last = bytes.Clone(key)
			c[contentKey(b, key)] = string(value)
			return true
		})
		if err = errors.Join(err, problem); err != nil {
			return c, err
		}
	}
	return c, nil
}

func seq(changes ...Change) iter.Seq[Change] { return slices.Values(changes) }

func put(bucket byte, key, value string) Change {
	return Change{Bucket: bucket, Key: []byte(key), Value: []byte(value)}
}

func del(bucket byte, key string) Change { return Change{Bucket: bucket, Key: []byte(key)} }

func readStore(t failer, s Store) content {
	t.Helper()
	v := must(s.View())(t)
	defer v.Close()
	return must(read(v))(t)
}

func TestStoreIsEmptyAtFirst(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		for range 2 { // a store that was opened and closed is still empty
			s := must(open())(t)
			if diff := cmp.Diff(Meta{}, s.Meta()); diff != "" {
				t.Error(diff)
			}
			if got := readStore(t, s); len(got) > 0 {
				t.Error(got)
			}
			mustClose(t, s)
		}
	})
}

func TestStoreKeepsWhatWasCommitted(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		s := must(open())(t)
		big := string(bytes.Repeat([]byte("0123456789"), 50_000))
		first := Meta{Applied: 7, Term: 2, ConfState: []byte("conf"), Digest: [16]byte{1, 15: 9}}
		second := Meta{Applied: 9, Term: 3}
		commits := []struct {
			meta    Meta
			changes iter.Seq[Change]
			want    content
		}{
			{
				first,
				seq(put(2, "a", "1"), put(2, "b", "2"), put(5, "a", big), put(8, "\x00", "z")),
				content{"2/61": "1", "2/62": "2", "5/61": big, "8/00": "z"},
			},
			{
				second,
				seq(del(2, "a"), put(2, "b", "3"), put(2, "c", "4"), del(3, "never there"), del(5, "a")),
				content{"2/62": "3", "2/63": "4", "8/00": "z"},
			},
			{Meta{Applied: 10, Term: 3}, seq(), content{"2/62": "3", "2/63": "4", "8/00": "z"}},
		}
		for _, c := range commits {
			if err := s.Commit(c.meta, c.changes); err != nil {
				t.Fatal(err)
			}
			for range 2 { // in the open store, and after opening it again
				if diff := cmp.Diff(c.meta, s.Meta()); diff != "" {
					t.Errorf("meta: %s", diff)
				}
				v := must(s.View())(t)
				if v.AppliedIndex() != c.meta.Applied {
					t.Errorf("view at %d, want %d", v.AppliedIndex(), c.meta.Applied)
				}
				v.Close()
				if diff := cmp.Diff(c.want, readStore(t, s)); diff != "" {
					t.Errorf("after %d: %s", c.meta.Applied, diff)
				}
				mustClose(t, s)
				s = must(open())(t)
			}
		}
		mustClose(t, s)
	})
}

func TestStoreGet(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		s := must(open())(t)
		defer mustClose(t, s)
		if err := s.Commit(Meta{Applied: 1}, seq(put(2, "aa", "1"), put(2, "ab", "2"), put(3, "aa", "3"))); err != nil {
			t.Fatal(err)
		}
		v := must(s.View())(t)
		defer v.Close()
		for _, c := range []struct {
			bucket byte
			key    string
			want   string
		}{{2, "aa", "1"}, {2, "ab", "2"}, {3, "aa", "3"}, {2, "a", ""}, {2, "ac", ""}, {3, "ab", ""}, {4, "aa", ""}} {
			got := must(v.Get(c.bucket, []byte(c.key)))(t)
			if string(got) != c.want || (got == nil) != (c.want == "") {
				t.Errorf("get %d %q = %q, want %q", c.bucket, c.key, got, c.want)
			}
		}
	})
}

func TestStoreScan(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		s := must(open())(t)
		defer mustClose(t, s)
		// Enough for several pages and several chunks of a scan, values of all
		// sizes from 1 byte to more than a page.
		var keys []string
		changes := []Change{put(4, "zz", "before")}
		for i := range 3000 {
			key := fmt.Sprintf("k%05d", i*2)
			keys = append(keys, key)
			changes = append(changes, put(5, key, string(bytes.Repeat([]byte{byte(i)}, 1+i*7%5000))))
		}
		changes = append(changes, put(6, "", "after"))
		changes[len(changes)-1].Key = []byte{0}
		if err := s.Commit(Meta{Applied: 1}, seq(changes...)); err != nil {
			t.Fatal(err)
		}
		v := must(s.View())(t)
		defer v.Close()
		for _, c := range []struct {
			from, to   string
			limit      int
			start, end int // in keys
		}{
			{"", "", 0, 0, 3000},
			{"", "", 17, 0, 17},
			{"k00010", "k00020", 0, 5, 10},
			{"k00011", "k00021", 0, 6, 11},
			{"k00011", "k00011", 0, 0, 0},
			{"k00021", "k00011", 0, 0, 0},
			{"k05998", "", 0, 2999, 3000},
			{"k05999", "", 0, 0, 0},
			{"k00002", "", 2500, 1, 2501},
		} {
			var got []string
			from, to := []byte(c.from), []byte(c.to)
			if c.to == "" {
				to = nil
			}
			if c.from == "" {
				from = nil
			}
			err := v.Scan(5, from, to, func(key, value []byte) bool {
				i := len(got) + c.start
				if want := changes[1+i].Value; !bytes.Equal(value, want) {
					t.Errorf("value of %s has %d bytes, want %d", key, len(value), len(want))
				}
				got = append(got, string(key))
				return len(got) != c.limit
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, keys[c.start:c.end]) {
				t.Errorf("scan %q to %q, %d: %d keys, want %d", c.from, c.to, c.limit, len(got), c.end-c.start)
			}
		}
	})
}

func TestStoreViewDoesNotMove(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		s := must(open())(t)
		defer mustClose(t, s)
		want := content{}
		var views []collection.View
		var wants []content
		for i := range 20 {
			changes := []Change{put(2, "same", fmt.Sprint(i)), put(5, fmt.Sprintf("%03d", i), fmt.Sprint(i*i))}
			want["2/73616d65"] = fmt.Sprint(i)
			want[contentKey(5, changes[1].Key)] = fmt.Sprint(i * i)
			if i > 5 {
				gone := fmt.Sprintf("%03d", i-5)
				changes = slices.Insert(changes, 1, del(5, gone))
				delete(want, contentKey(5, []byte(gone)))
			}
			if err := s.Commit(Meta{Applied: uint64(i + 1)}, seq(changes...)); err != nil {
				t.Fatal(err)
			}
			views = append(views, must(s.View())(t))
			wants = append(wants, maps.Clone(want))
		}
		for i, v := range views {
			if diff := cmp.Diff(wants[i], must(read(v))(t)); diff != "" || v.AppliedIndex() != uint64(i+1) {
				t.Errorf("view %d at %d: %s", i, v.AppliedIndex(), diff)
			}
			v.Close()
			v.Close() // a second Close does nothing
		}
	})
}

func TestStoreClosed(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		s := must(open())(t)
		mustClose(t, s)
		if _, err := s.View(); collection.CodeOf(err) != collection.Unavailable {
			t.Errorf("view of a closed store: %v", err)
		}
		if err := s.Commit(Meta{Applied: 1}, seq()); err == nil {
			t.Error("commit to a closed store")
		}
	})
}

// TestStoreViewsBesideCommits is for the race detector: each view must be one
// commit, whole.
func TestStoreViewsBesideCommits(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		s := must(open())(t)
		defer mustClose(t, s)
		done := make(chan struct{})
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for last := uint64(0); ; {
					v, err := s.View()
					if err != nil {
						t.Error(err)
						return
					}
					at := v.AppliedIndex()
					n := uint64(0)
					err = v.Scan(5, nil, nil, func(_, value []byte) bool {
						if string(value) != fmt.Sprint(at) {
							t.Errorf("view at %d shows %s", at, value)
						}
						n++
						return true
					})
					v.Close()
					if err != nil || at < last || n != at%7 {
						t.Errorf("view at %d after %d: %d keys, %v", at, last, n, err)
						return
					}
					last = at
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		for at := uint64(1); at <= 60; at++ {
			var changes []Change
			for k := range uint64(7) {
				c := Change{Bucket: 5, Key: []byte{byte(k)}}
				if k < at%7 {
					c.Value = fmt.Append(nil, at)
				}
				changes = append(changes, c)
			}
			if err := s.Commit(Meta{Applied: at}, seq(changes...)); err != nil {
				t.Error(err)
				break
			}
		}
		close(done)
		readers.Wait()
	})
}
