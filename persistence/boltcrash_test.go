package persistence

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hivehub/waggle/collection"
)

const testPage = 4096

// boltStates returns a bbolt file before and after a checkpoint that adds,
// replaces and deletes, and the digests of both.
func boltStates(t testing.TB, seed uint64) (before, after []byte, digestBefore, digestAfter [16]byte) {
	path := filepath.Join(t.TempDir(), "p.db")
	p := openScript(t, must(openUnsynced(path))(t))
	rng := rand.New(rand.NewPCG(seed, 0))
	value := func() string { return string(bytes.Repeat([]byte{byte(rng.Int())}, 1+rng.IntN(900))) }
	write := func() {
		var steps []step
		at, _ := p.Applied()
		for i := range uint64(60 + rng.IntN(60)) {
			steps = append(steps, sput(5, string(pointKey(1+i%2, (at+1)<<16|i)), value()), sput(6, fmt.Sprint("id", rng.IntN(300)), value()))
			if i%5 == 0 {
				steps = append(steps, sdel(6, fmt.Sprint("id", rng.IntN(300))), sput(3, fmt.Sprint("counter", i%2), value()))
			}
		}
		if out := apply(p, script(steps...)); out[0].Err != nil {
			t.Fatal(out[0].Err)
		}
		checkpoint(t, p)
	}
	for range 2 + rng.IntN(3) {
		write()
	}
	before, digestBefore = must(os.ReadFile(path))(t), p.Digest()
	write()
	after, digestAfter = must(os.ReadFile(path))(t), p.Digest()
	mustClose(t, p)
	return before, after, digestBefore, digestAfter
}

// TestBoltCrash stops a checkpoint after any part of its writes. bbolt writes
// data pages in some order, syncs, writes one meta page, and syncs: so the disk
// may hold any part of the data pages with the old meta page, or all of them
// with a torn meta page. The store must open as it was before or as it is
// after, and as it was before when the meta page is the old one.
func TestBoltCrash(t *testing.T) {
	for seed := range uint64(2) {
		before, after, digestBefore, digestAfter := boltStates(t, seed)
		var data []int // pages that the checkpoint wrote
		meta := -1
		for at := 0; at < len(after); at += testPage {
			if at < len(before) && bytes.Equal(before[at:at+testPage], after[at:at+testPage]) {
				continue
			}
			if at >= 2*testPage {
				data = append(data, at)
			} else if meta >= 0 {
				t.Fatal("a checkpoint wrote both meta pages")
			} else {
				meta = at
			}
		}
		if meta < 0 || len(data) < 5 {
			t.Fatalf("a checkpoint wrote meta page %d and %d data pages", meta, len(data))
		}
		path := filepath.Join(t.TempDir(), "crashed.db")
		check := func(what string, file []byte, allowed ...[16]byte) {
			t.Helper()
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := OpenBolt(path)
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, what, err)
			}
			p := openScript(t, s)
			got, err := p.Recount()
			for _, want := range allowed {
				if err == nil && got == want {
					mustClose(t, p)
					return
				}
			}
			t.Fatalf("seed %d, %s: digest %x, %v", seed, what, got, err)
		}

		grown := append(bytes.Clone(before), make([]byte, len(after)-len(before))...)
		check("nothing written", before, digestBefore)
		check("file grown", grown, digestBefore)
		for n := range data {
			file := bytes.Clone(grown)
			for _, at := range data[:n] {
				copy(file[at:at+testPage], after[at:])
			}
			check(fmt.Sprint(n, " pages written"), file, digestBefore)
			torn := 512 * (1 + n%7)
			copy(file[data[n]:data[n]+torn], after[data[n]:])
			check(fmt.Sprint(n, " pages written and one torn"), file, digestBefore)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 50 {
			file := bytes.Clone(grown)
			for at := 2 * testPage; at < len(after); at += 512 {
				if rng.IntN(2) == 0 {
					copy(file[at:at+512], after[at:])
				}
			}
			check("random sectors written", file, digestBefore)
		}
		for n := range 128 { // the meta record ends at byte 80
			file := bytes.Clone(after)
			copy(file[meta:meta+testPage], before[meta:])
			copy(file[meta:meta+n], after[meta:])
			check(fmt.Sprint(n, " bytes of the meta page written"), file, digestBefore, digestAfter)
		}
		check("all written", after, digestAfter)
	}
}

// TestBoltCreateCrash leaves what a crash while a store is made can leave.
func TestBoltCreateCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	for _, half := range [][]byte{{}, make([]byte, testPage), bytes.Repeat([]byte{0xff}, 5*testPage)} {
		if err := os.WriteFile(path+".new", half, 0o600); err != nil {
			t.Fatal(err)
		}
		s := must(OpenBolt(path))(t)
		if got := readStore(t, s); len(got) > 0 {
			t.Error(got)
		}
		mustClose(t, s)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// storeState is what a sound store holds.
type storeState struct {
	digest [16]byte
	truth  content
}

// TestBoltDamage damages a store's file in many ways. Whatever is met, the only
// errors are DataLoss, no value is ever wrong, and what goes missing without an
// error is found by the recount. A bad meta page takes the store back to the
// checkpoint before, whole: bbolt cannot tell it from a torn one.
func TestBoltDamage(t *testing.T) {
	before, sound, _, _ := boltStates(t, 7)
	path := filepath.Join(t.TempDir(), "damaged.db")
	states := map[uint64]storeState{}
	for _, file := range [][]byte{before, sound} {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s := must(OpenBolt(path))(t)
		states[s.Meta().Applied] = storeState{s.Meta().Digest, readStore(t, s)}
		mustClose(t, s)
	}
	seen := map[string]int{}
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 490 {
		file, what := damage(rng, bytes.Clone(sound), n)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		seen[inspect(t, path, states, what)]++
	}
	for _, outcome := range []string{"refused at open", "refused later", "found by recount", "sound"} {
		if seen[outcome] == 0 {
			t.Errorf("no damage was %s: %v", outcome, seen)
		}
	}
}

// damage changes a file in the n-th way.
func damage(rng *rand.Rand, file []byte, n int) ([]byte, string) {
	pages := len(file) / testPage
	at := rng.IntN(pages) * testPage
	flip := func(bit int) ([]byte, string) {
		file[bit/8] ^= 1 << (bit % 8)
		return file, fmt.Sprintf("bit %d of page %d flipped", bit%(8*testPage), bit/8/testPage)
	}
	switch n % 7 {
	case 0:
		cut := rng.IntN(len(file))
		return file[:cut], fmt.Sprint("truncated to ", cut)
	case 1:
		return file[:at], fmt.Sprint("truncated to page ", at/testPage)
	case 2:
		clear(file[at : at+testPage])
		return file, fmt.Sprint("zeroed page ", at/testPage)
	case 3:
		from := rng.IntN(pages) * testPage
		copy(file[at:at+testPage], file[from:from+testPage])
		return file, fmt.Sprintf("page %d copied to %d", from/testPage, at/testPage)
	case 4:
		return flip(8*at + rng.IntN(8*pageHeader))
	case 5:
		return flip(8*(at+pageHeader) + rng.IntN(8*10*elementBytes))
	default:
		return flip(rng.IntN(8 * len(file)))
	}
}

// inspect opens a damaged store, reads it and writes to it, and says how the
// damage showed.
func inspect(t *testing.T, path string, states map[uint64]storeState, what string) string {
	t.Helper()
	lost := func(err error) bool {
		t.Helper()
		if err != nil && collection.CodeOf(err) != collection.DataLoss {
			t.Errorf("%s: %v", what, err)
		}
		return err != nil
	}
	s, err := openUnsynced(path)
	if lost(err) {
		return "refused at open"
	}
	state, ok := states[s.Meta().Applied]
	if !ok {
		t.Fatalf("%s: store at %d", what, s.Meta().Applied)
	}
	outcome := "sound"
	if lost(readAll(t, s, state.truth, what)) {
		outcome = "refused later"
	}
	p := openScript(t, s)
	defer func() { _ = p.Close() }() // a damaged store may not close well
	digest, err := p.Recount()
	switch {
	case err == nil && (digest != state.digest || outcome != "sound"):
		t.Errorf("%s: %s, but recount gives %x without an error", what, outcome, digest)
	case lost(err) && outcome == "sound":
		outcome = "found by recount"
	}
	if p.Err() == nil {
		apply(p, script(sput(6, "id7", "new"), sdel(6, "id8"), sput(5, string(pointKey(1, 1<<60)), "new")))
		if c, ok := p.BeginCheckpoint(); ok && !lost(c.Write()) {
			c.Finish()
		}
	}
	return outcome
}

// readAll reads every key of truth until a read fails.
func readAll(t *testing.T, s Store, truth content, what string) error {
	t.Helper()
	v, err := s.View()
	if err != nil {
		return err
	}
	defer v.Close()
	for name, want := range truth {
		var bucket byte
		var key []byte
		if _, err := fmt.Sscanf(name, "%d/%x", &bucket, &key); err != nil {
			t.Fatal(err)
		}
		got, err := v.Get(bucket, key)
		if err != nil {
			return err
		}
		if got != nil && string(got) != want {
			t.Errorf("%s: wrong value of %s", what, name)
		}
	}
	return nil
}

// TestBoltDamageWhileOpen damages the file under an open store, as a bad disk
// does. The store's own map shows it.
func TestBoltDamageWhileOpen(t *testing.T) {
	_, sound, _, _ := boltStates(t, 8)
	for name, change := range map[string]func(f *os.File) error{
		"truncated": func(f *os.File) error { return f.Truncate(2 * testPage) },
		"zeroed": func(f *os.File) error {
			_, err := f.WriteAt(make([]byte, len(sound)-2*testPage), 2*testPage)
			return err
		},
		"bits": func(f *os.File) error {
			flipped := bytes.Clone(sound)
			for at := 2 * testPage; at < len(flipped); at += 61 {
				flipped[at] ^= 4
			}
			_, err := f.WriteAt(flipped[2*testPage:], 2*testPage)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "p.db")
			if err := os.WriteFile(path, sound, 0o600); err != nil {
				t.Fatal(err)
			}
			p := openScript(t, must(OpenBolt(path))(t))
			before := must(p.View())(t)
			f := must(os.OpenFile(path, os.O_RDWR, 0))(t)
			if err := change(f); err != nil {
				t.Fatal(err)
			}
			mustClose(t, f)
			if out := apply(p, script(sget(6, "id1"), sput(6, "id1", "x"), sscan(6))); collection.CodeOf(out[0].Err) != collection.DataLoss {
				t.Errorf("apply: %+v", out[0])
			}
			for what, err := range map[string]error{
				"err":       p.Err(),
				"old view":  before.Scan(6, nil, nil, func(_, _ []byte) bool { return true }),
				"new view":  secondOf(p.View()),
				"recount":   secondOf(p.Recount()),
				"subscribe": secondOf(p.Subscribe(1, &recorder{})),
				"next":      apply(p, script(sput(2, "a", "b")))[0].Err,
			} {
				if collection.CodeOf(err) != collection.DataLoss {
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, ok := p.BeginCheckpoint(); ok {
				t.Error("a corrupt partition begins a checkpoint")
			}
			before.Close()
			if at, _ := p.Applied(); at != p.base.Load().store.Meta().Applied {
				t.Errorf("applied %d after the damage, store at %d", at, p.base.Load().store.Meta().Applied)
			}
			mustClose(t, p)
			// The lock is free again, and the next open says what is wrong.
			if s, err := OpenBolt(path); err == nil {
				p := openScript(t, s)
				_, err = p.Recount()
				if collection.CodeOf(err) != collection.DataLoss {
					t.Error(err)
				}
				mustClose(t, p)
			} else if collection.CodeOf(err) != collection.DataLoss {
				t.Error(err)
			}
		})
	}
}

func secondOf[T any](_ T, err error) error { return err }
