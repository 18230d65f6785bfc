package persistence

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// wideBucket is scanned in these tests.
const wideBucket = collection.BucketIDs

func wideKey(i int) string { return fmt.Sprintf("%08d", i) }

// wideValue is a value that tells its key and generation, of some length.
func wideValue(i, generation, length int) string {
	b := bytes.Repeat([]byte{byte(i), byte(generation), byte(i >> 8)}, length/3+1)
	return string(b[:length])
}

// commit commits changes in order.
func commit(t failer, s Store, applied uint64, changes map[string]string) {
	t.Helper()
	var sorted []Change
	for key, value := range changes {
		c := Change{Bucket: wideBucket, Key: []byte(key), Value: []byte(value)}
		if value == "" {
			c.Value = nil
		}
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	if err := s.Commit(Meta{Applied: applied}, seq(sorted...)); err != nil {
		t.Fatal(err)
	}
}

// Trees of all shapes: values of some bytes to some hundred kilobytes, keys
// that came in any order, pages that were freed and used again.
func TestWideScanIsTheMap(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	lengths := map[string]func() int{
		"small": func() int { return 1 + r.IntN(40) },
		"page":  func() int { return 2000 + r.IntN(5000) },
		"mixed": func() int {
			if r.IntN(50) == 0 {
				return 1 + r.IntN(700_000)
			}
			return 1 + r.IntN(3000)
		},
	}
	for name, length := range lengths {
		t.Run(name, func(t *testing.T) {
			s := must(OpenBolt(filepath.Join(t.TempDir(), "s.db")))(t)
			defer mustClose(t, s)
			want := map[string]string{}
			for generation := range 4 {
				changes := map[string]string{}
				for range 1200 {
					i := r.IntN(3000)
					changes[wideKey(i)] = ""
					delete(want, wideKey(i))
					if r.IntN(3) > 0 {
						value := wideValue(i, generation, length())
						changes[wideKey(i)], want[wideKey(i)] = value, value
					}
				}
				commit(t, s, uint64(generation+1), changes)
				checkWide(t, r, s, want)
			}
		})
	}
}

// checkWide scans ranges of a store, some of them not to their end.
func checkWide(t *testing.T, r *rand.Rand, s Store, want map[string]string) {
	t.Helper()
	v := must(s.View())(t)
	defer v.Close()
	for range 12 {
		a, b := wideKey(r.IntN(3000)), wideKey(r.IntN(3000))
		from, to, most := []byte(min(a, b)), []byte(max(a, b)), 1<<30
		switch r.IntN(4) {
		case 0:
			from, to = nil, nil
		case 1:
			most = 1 + r.IntN(500)
		}
		var keys []string
		for key := range want {
			if (from == nil || key >= string(from)) && (to == nil || key < string(to)) {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		keys = keys[:min(len(keys), most)]
		n := 0
		err := v.Scan(wideBucket, from, to, func(key, value []byte) bool {
			if n == len(keys) || string(key) != keys[n] || string(value) != want[keys[n]] {
				t.Fatalf("pair %d of %q to %q is %q, of %d", n, from, to, key, len(keys))
			}
			n++
			return n < most
		})
		if err != nil || n != len(keys) {
			t.Fatalf("%d of %d pairs of %q to %q: %v", n, len(keys), from, to, err)
		}
		if places := len(s.(*boltStore).readers); places > 0 {
			t.Fatalf("%d readers are left of a scan that has ended", places)
		}
	}
}

// Each commit replaces every value; a view shows those of one commit, however
// many commits come while it is scanned.
func TestWideScanBesideCommits(t *testing.T) {
	const keys, commits = 400, 30
	s := must(OpenBolt(filepath.Join(t.TempDir(), "s.db")))(t)
	defer mustClose(t, s)
	generation := func(g int) map[string]string {
		changes := map[string]string{}
		for i := range keys {
			changes[wideKey(i)] = wideValue(i, g, 2500)
		}
		return changes
	}
	commit(t, s, 1, generation(1))
	var scans sync.WaitGroup
	ended := make(chan struct{})
	for range 3 {
		scans.Go(func() {
			for {
				scanGeneration(t, s, keys)
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	for g := 2; g <= commits; g++ {
		commit(t, s, uint64(g), generation(g))
	}
	close(ended)
	scans.Wait()
}

func scanGeneration(t *testing.T, s Store, keys int) {
	v, err := s.View()
	if err != nil {
		t.Error(err)
		return
	}
	defer v.Close()
	n := 0
	err = v.Scan(wideBucket, nil, nil, func(key, value []byte) bool {
		if want := wideValue(n, int(v.AppliedIndex()), 2500); string(key) != wideKey(n) || string(value) != want {
			t.Errorf("key %s of the view at %d has %x..., want %x...", key, v.AppliedIndex(), value[:3], want[:3])
			return false
		}
		n++
		return true
	})
	if err != nil || n != keys && !t.Failed() {
		t.Errorf("%d keys, %v", n, err)
	}
}

// However a scan ends, its readers end with it; where all places are taken it
// reads for itself.
func TestWideScanEndsItsReaders(t *testing.T) {
	s := must(OpenBolt(filepath.Join(t.TempDir(), "s.db")))(t)
	defer mustClose(t, s)
	changes := map[string]string{}
	for i := range 3000 {
		changes[wideKey(i)] = wideValue(i, 1, 3000)
	}
	commit(t, s, 1, changes)
	readers := s.(*boltStore).readers
	v := must(s.View())(t)
	defer v.Close()
	scan := func(end func(n int) bool) (n, most int) {
		defer func() {
			if p := recover(); p != nil && p != "end" {
				panic(p)
			}
		}()
		err := v.Scan(wideBucket, nil, nil, func(_, _ []byte) bool {
			n++
			most = max(most, len(readers))
			return end(n)
		})
		if err != nil {
			t.Error(err)
		}
		return n, most
	}
	for what, end := range map[string]func(n int) bool{
		"to the end": func(int) bool { return true },
		"stopped":    func(n int) bool { return n < 2000 },
		"panic": func(n int) bool {
			if n == 2000 {
				panic("end")
			}
			return true
		},
	} {
		if _, most := scan(end); len(readers) > 0 || most != wideReaders {
			t.Errorf("%s: %d readers at most, %d are left", what, most, len(readers))
		}
	}
	for range cap(readers) {
		readers <- struct{}{}
	}
	if n, _ := scan(func(int) bool { return true }); n != len(changes) {
		t.Errorf("without readers: %d keys of %d", n, len(changes))
	}
}

// wideFile is a store's file, with the root of the bucket that is scanned.
func wideFile(t failer, dir string) (file []byte, root uint64) {
	path := filepath.Join(dir, "s.db")
	s := must(OpenBolt(path))(t)
	for generation := range 3 {
		changes := map[string]string{}
		for i := generation; i < 400; i += 1 + generation {
			changes[wideKey(i)] = wideValue(i, 1, 1+i%211)
		}
		changes[wideKey(200)] = wideValue(200, 1, 20_000)
		commit(t, s, uint64(1+generation), changes)
	}
	v := must(s.View())(t)
	b := must(v.(*boltView).bucket(wideBucket))(t)
	root = uint64(b.Root())
	v.Close()
	mustClose(t, s)
	return must(os.ReadFile(path))(t), root
}

// scanFile scans a file as boltView does, with nothing that would catch a panic.
func scanFile(file []byte, root uint64) (keys []string, err error) {
	w := &wideScan{file: bytes.NewReader(file), bucket: wideBucket, places: make(chan struct{}, wideAll)}
	defer w.close()
	err = w.begin(root, 4096)
	for err == nil && !w.done {
		err = w.next()
		for _, p := range w.pairs {
			keys = append(keys, string(p.key))
		}
	}
	return keys, err
}

// A file that is not as it was written is data loss, or shows nothing that was
// not in it; never a panic, and never keys that do not ascend.
func FuzzWideScan(f *testing.F) {
	sound, root := wideFile(f, f.TempDir())
	all := must(scanFile(sound, root))(f)
	if len(all) != 400 {
		f.Fatalf("%d keys", len(all))
	}
	for page := range len(sound) / 4096 {
		for _, at := range []int{8, 10, 12, 16, 20, 24, 28} {
			f.Add(uint32(page*4096+at), uint64(0xff))
		}
		for flip := range uint64(8) { // leads to another leaf
			f.Add(uint32(page*4096+pageHeader+8), flip)
		}
	}
	f.Fuzz(func(t *testing.T, at uint32, flip uint64) {
		file := bytes.Clone(sound)
		i := int(at) % (len(file) - 8)
		binary.LittleEndian.PutUint64(file[i:], binary.LittleEndian.Uint64(file[i:])^flip)
		keys, err := scanFile(file, root)
		if err != nil && collection.CodeOf(err) != collection.DataLoss {
			t.Error(err)
		}
		if !slices.IsSorted(keys) {
			t.Error("keys do not ascend")
		}
		for _, key := range keys {
			if _, found := slices.BinarySearch(all, key); !found {
				t.Errorf("key %q was never there", key)
			}
		}
	})
}
