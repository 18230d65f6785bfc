package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// house is a node with one tenant that has much and some that have little,
// each known by a word that only its points hold.
type house struct {
	data   string
	victim household
	others []household // in other partitions than the victim
}

type household struct {
	key    string
	word   string
	points int
}

const victimPoints = 4000

// furnish fills a node: the tenant `default` is the victim.
func furnish(t *testing.T) (*house, *server) {
	t.Helper()
	h := &house{data: t.TempDir()}
	s := start(t, h.data)
	h.victim = household{key: tenantKey, word: "canary-victim-", points: victimPoints}
	s.furnish(t, h.victim, 0)
	for i := range 4 {
		_, u := s.newTenant(fmt.Sprintf("other %d", i), "READ_WRITE")
		o := household{key: u.key, word: fmt.Sprintf("canary-other%d-", i), points: 20}
		s.furnish(t, o, 0)
		h.others = append(h.others, o)
	}
	return h, s
}

// furnish writes a household's points; they are 1 KB each.
func (s *server) furnish(t *testing.T, o household, first int) {
	t.Helper()
	u := user{s, o.key}
	if first == 0 {
		u.create("c")
	}
	filler := strings.Repeat("x", 900)
	for from := first; from < o.points; from += 100 {
		var batch []any
		for i := from; i < min(from+100, o.points); i++ {
			batch = append(batch, point(i, map[string]any{"word": o.word + strconv.Itoa(i), "filler": filler}))
		}
		u.must("PUT", "/collections/c/points?wait=true", map[string]any{"points": batch})
	}
}

// storeOf is the partition file that holds a household, once it is in one.
func (h *house) storeOf(t *testing.T, o household) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.data, "partitions", "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(o.word)) {
			return path
		}
	}
	t.Fatalf("%s is in no store", o.word)
	return ""
}

// elsewhere keeps only the others that share no partition with the victim. It
// needs the stores written.
func (h *house) elsewhere(t *testing.T) (victimStore string) {
	t.Helper()
	victimStore = h.storeOf(t, h.victim)
	h.others = slices.DeleteFunc(h.others, func(o household) bool { return h.storeOf(t, o) == victimStore })
	if len(h.others) == 0 {
		t.Fatal("all tenants are in one partition")
	}
	return victimStore
}

// inhabited holds that a household is whole and can be written to.
func (s *server) inhabited(t *testing.T, o household) {
	t.Helper()
	u := user{s, o.key}
	if n := u.count("c"); n != o.points {
		t.Errorf("%s has %d points, want %d", o.word, n, o.points)
	}
	for i := range o.points {
		if raw := u.must("GET", fmt.Sprintf("/collections/c/points/%d", i), nil); !bytes.Contains(raw, []byte(`"`+o.word+strconv.Itoa(i)+`"`)) {
			t.Errorf("point %d of %s is %s", i, o.word, raw)
		}
	}
	u.put("c", o.points, nil)
	u.must("POST", "/collections/c/points/delete?wait=true", map[string]any{"points": []int{o.points}})
}

// lost holds that a household's partition answers data_loss, without inner
// text, and that the others, the probes and the process are well.
func (s *server) lost(t *testing.T, h *house, group uint64) {
	t.Helper()
	u := user{s, h.victim.key}
	s.touchAll(t, u)
	if got := s.corruptGroups(t); !slices.Equal(got, []uint64{group}) {
		t.Errorf("/health names the groups %d, want %d", got, group)
	}
	for _, c := range []call{
		{method: "GET", url: "/collections"},
		{method: "GET", url: "/collections/c"},
		{method: "GET", url: "/collections/c/points/1"},
		{method: "POST", url: "/collections/c/points/scroll", body: map[string]any{}},
		{method: "POST", url: "/collections/c/points/query", body: map[string]any{"query": []float64{1, 1, 2, 3}}},
		{method: "PUT", url: "/collections/c/points?wait=true", body: map[string]any{"points": []any{point(1, nil)}}},
		{method: "PUT", url: "/collections/d", body: vectors(4, "Dot")},
	} {
		a := u.call(c.method, c.url, c.body)
		if a.status != http.StatusInternalServerError || !bytes.Contains(a.body, []byte(`{"error":"Service internal error: internal error"}`)) {
			t.Errorf("%s %s on the corrupt partition: %d %s", c.method, c.url, a.status, a.body)
		}
	}
	for _, o := range h.others {
		s.inhabited(t, o)
	}
	if n := s.metrics()["waggle_corrupt_groups"]; n != 1 {
		t.Errorf("waggle_corrupt_groups is %v", n)
	}
	for _, path := range []string{"/health/live", "/health/ready"} {
		if a := (user{s, ""}).callMain("GET", path, nil); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if !strings.Contains(s.stderr.String(), "level=ERROR") {
		t.Error("the log does not tell of it")
	}
}

// touchAll reads all points, which is how damage to a point itself is found.
// What it gets before is right.
func (s *server) touchAll(t *testing.T, u user) {
	t.Helper()
	var offset any
	for {
		a := u.call("POST", "/collections/c/points/scroll", map[string]any{"limit": 500, "offset": offset})
		if a.status == http.StatusInternalServerError {
			return
		}
		var page struct {
			Result struct {
				Points []struct {
					ID      int
					Payload struct{ Word string }
				}
				Next *int `json:"next_page_offset"`
			}
		}
		s.decode(a.body, &page)
		if a.status != http.StatusOK || page.Result.Next == nil {
			t.Fatalf("a scroll over corrupt points: %d, and an end without an error", a.status)
		}
		for _, p := range page.Result.Points {
			if p.Payload.Word != "canary-victim-"+strconv.Itoa(p.ID) {
				t.Errorf("point %d came with wrong bytes: %q", p.ID, p.Payload.Word)
			}
		}
		offset = *page.Result.Next
	}
}

func (s *server) corruptGroups(t *testing.T) []uint64 {
	t.Helper()
	var health struct {
		Cluster struct {
			Corrupt []uint64 `json:"corrupt_groups"`
		}
	}
	a := s.operator().callMain("GET", "/health", nil)
	s.decode(a.body, &health)
	return health.Cluster.Corrupt
}

// groupOf is the raft group of a partition file: NNNN-START.db.
func groupOf(t *testing.T, path string) uint64 {
	t.Helper()
	number, _, _ := strings.Cut(filepath.Base(path), "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// damage changes the bytes of a file.
func damage(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(raw), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCorruptStore damages the partition file of one tenant.
func TestCorruptStore(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(*seed, 4))
	for name, change := range map[string]func([]byte) []byte{
		"a bit of a point": func(b []byte) []byte {
			for _, at := range all(b, "canary-victim-2000") {
				b[at+3] ^= 1
			}
			return b
		},
		"flipped in the middle": func(b []byte) []byte {
			for at := len(b) / 3; at < len(b)*2/3; at += 4096 {
				b[at+rng.IntN(4096)] ^= byte(1 + rng.IntN(255))
			}
			return b
		},
		"zeros in the middle": func(b []byte) []byte {
			clear(b[len(b)/3 : len(b)*2/3])
			return b
		},
		"truncated":           func(b []byte) []byte { return b[:len(b)/2] },
		"truncated in a page": func(b []byte) []byte { return b[:len(b)/2+100] },
		"empty":               func(b []byte) []byte { return nil },
		"another file":        func(b []byte) []byte { return bytes.Repeat([]byte("not a store "), len(b)/12) },
	} {
		t.Run(name, func(t *testing.T) {
			h, s := furnish(t)
			s.mustStop()
			store := h.elsewhere(t)
			damage(t, store, change)
			s = start(t, h.data)
			s.lost(t, h, groupOf(t, store))
			s.mustStop()
			s = start(t, h.data) // and once more: nothing was made worse
			s.lost(t, h, groupOf(t, store))
		})
	}
}

// TestCorruptSystemGroup damages the list of tenants and keys: without it
// nobody can be let in, so the node says so and does not start.
func TestCorruptSystemGroup(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := start(t, data)
	s.create("c")
	s.mustStop()
	damage(t, filepath.Join(data, "partitions", "0000-0000000000000001.db"), func(b []byte) []byte { return b[:len(b)/2] })
	stdout, stderr, code := run(t, bootstrapKeys, serveCommand(data).Args[1:]...)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if last := lines[len(lines)-1]; code != 1 || stdout != "" || !strings.HasPrefix(last, "waggle: read the hub's state: data_loss") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func all(b []byte, text string) (at []int) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(text))
		if i < 0 {
			return at
		}
		at = append(at, from+i)
		from += i + 1
	}
}

// late are points that come after the last checkpoint, so that only the log
// has them: some of the victim's, between others' and others' again.
func (h *house) late(t *testing.T, s *server) {
	t.Helper()
	others := func() {
		for i := range h.others {
			o := &h.others[i]
			o.points++
			s.furnish(t, *o, o.points-1)
		}
	}
	others()
	victim := user{s, h.victim.key}
	for i := range 5 {
		victim.put("c", victimPoints+i, map[string]any{"word": fmt.Sprintf("canary-late-%d", i), "filler": strings.Repeat("y", 9000)})
	}
	others()
}

// damageLog changes the segment of the log that has a word, at its first byte.
func (h *house) damageLog(t *testing.T, word string, change func(b []byte, at int) []byte) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(h.data, "log", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(raw, []byte(word)); at >= 0 {
			damage(t, path, func(b []byte) []byte { return change(b, at) })
			return
		}
	}
	t.Fatalf("%s is not in the log", word)
}

// batchAround is the batch of the log around a byte of it: batches begin at
// pages, with a magic word.
func batchAround(b []byte, at int) (from, to int) {
	begins := func(i int) bool { return bytes.HasPrefix(b[i:], []byte("WNLh")) }
	for from = at &^ 4095; !begins(from); from -= 4096 {
	}
	for to = from + 4096; to < len(b) && !begins(to) && !bytes.Equal(b[to:to+4096], make([]byte, 4096)); to += 4096 {
	}
	return from, to
}

// TestCorruptLog damages the log, after a kill, where a batch of one tenant
// stands and valid ones of others follow.
func TestCorruptLog(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b []byte, at int) []byte{
		"a bit of an entry": func(b []byte, at int) []byte {
			b[at] ^= 1
			return b
		},
		"a page of an entry": func(b []byte, at int) []byte {
			clear(b[at&^4095+4096 : at&^4095+8192])
			return b
		},
		"a whole batch": func(b []byte, at int) []byte {
			from, to := batchAround(b, at)
			clear(b[from:to])
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := furnish(t)
			s.mustStop()
			store := h.elsewhere(t)
			s = start(t, h.data)
			h.late(t, s)
			s.kill()
			h.damageLog(t, "canary-late-2", change)
			for range 2 {
				s = start(t, h.data)
				s.lost(t, h, groupOf(t, store))
				s.kill()
			}
		})
	}
}

// TestTornLog damages the end of the log, after a kill, as a power cut in the
// middle of a write does: it is cut off, and everything before it is there.
func TestTornLog(t *testing.T) {
	t.Parallel()
	garbage := func(b []byte) {
		rng := rand.New(rand.NewPCG(*seed, 5))
		for i := range b {
			b[i] = byte(rng.IntN(256))
		}
	}
	for name, tc := range map[string]struct {
		lost   bool // the last batch, too
		change func(b []byte, from, to int) []byte
	}{
		"garbage after it": {false, func(b []byte, _, to int) []byte {
			garbage(b[to : to+20_000])
			return b
		}},
		"half a batch after it": {false, func(b []byte, from, to int) []byte {
			copy(b[to:], b[from:(from+to)/2])
			return b
		}},
		"file ends after it": {false, func(b []byte, _, to int) []byte { return b[:to] }},
		"its end is garbage": {true, func(b []byte, _, to int) []byte {
			garbage(b[to-512 : to])
			return b
		}},
		"its begin was not written": {true, func(b []byte, from, _ int) []byte {
			clear(b[from : from+4096])
			return b
		}},
		"file ends within it": {true, func(b []byte, from, to int) []byte { return b[:(from+to)/2] }},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			s := start(t, data)
			s.create("c")
			filler := strings.Repeat("z", 9000)
			for i := range 10 {
				s.put("c", i, map[string]any{"filler": filler})
			}
			s.put("c", 10, map[string]any{"word": "canary-last", "filler": filler})
			s.kill()
			h := &house{data: data}
			h.damageLog(t, "canary-last", func(b []byte, at int) []byte {
				from, to := batchAround(b, at)
				return tc.change(b, from, to)
			})
			want := 11
			if tc.lost {
				want = 10
			}
			for range 2 {
				s = start(t, data)
				if n := s.count("c"); n != want {
					t.Fatalf("%d points are there, want %d", n, want)
				}
				if got := s.corruptGroups(t); len(got) != 0 {
					t.Fatalf("groups %d are corrupt", got)
				}
				s.put("c", 100, nil) // it goes on
				want = s.count("c")
				s.kill()
			}
		})
	}
}
