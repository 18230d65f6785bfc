//go:build figures

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// figureRig is a healthy cluster with a tenant.
type figureRig struct {
	*fleet
	who *tenantUser
}

// TestFigures measures what a cluster on this machine reaches. Load of others
// on the machine is in every figure, so it is printed with them.
func TestFigures(t *testing.T) {
	found := newFindings()
	f := newFleet(t, found, fleetOptions{nodes: 3, env: []string{"WAGGLE_PARTITIONS=16"}})
	who, err := newTenant(f.nodes[0], 0, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	r := figureRig{f, who}
	for _, figure := range []struct {
		name string
		run  func(figureRig, *testing.T)
	}{
		{"Idle", figureRig.idle},
		{"Hop", figureRig.hop},
		{"Upsert", figureRig.upsert},
		{"Planned", figureRig.planned},
		{"Consul", figureRig.consulAway},
		{"Kill", figureRig.killed},
		{"Stop", figureRig.stopped},
		{"Silent", figureRig.silent},
		{"Wiped", figureRig.wiped},
		{"Search", figureRig.searches},
	} {
		t.Run(figure.name, func(t *testing.T) {
			if err := f.waitWhole(repairWithin); err != nil {
				t.Fatal(err)
			}
			figure.run(r, t)
		})
	}
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}

// tell prints a figure with the machine's load.
func tell(format string, args ...any) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("figure: %s [load %s]\n", fmt.Sprintf(format, args...), strings.Join(strings.Fields(string(load))[:1], ""))
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none measured"
	}
	slices.Sort(all)
	round := func(q float64) time.Duration { return quantile(all, q).Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v, worst %v of %d", round(0.5), round(0.99), round(1), len(all))
}

// put is a write of one small point through a node.
func (r figureRig) put(n *node, id uint64, within time.Duration) error {
	body := map[string]any{"points": []point{newPoint(r.who, id, 1, 100)}}
	return call{key: r.who.key, method: "PUT", url: n.qdrant + "/collections/k/points?wait=true", body: body, timeout: within}.into(nil)
}

// home is the partition that the tenant lives in: the one that grows when the
// tenant writes.
func (r figureRig) home() (string, error) {
	before, err := r.nodes[0].partitions(time.Second)
	if err != nil {
		return "", err
	}
	for i := range 50 {
		if err := r.put(r.nodes[0], uint64(i+1), 5*time.Second); err != nil {
			return "", err
		}
	}
	home := ""
	return home, poll(5*time.Second, func() error {
		after, err := r.nodes[0].partitions(time.Second)
		for id, p := range after {
			if p.Applied >= before[id].Applied+50 {
				home = id
				return err
			}
		}
		return errors.New("no partition has grown")
	})
}

// drum writes through some nodes at an even beat, whatever becomes of the
// writes before.
type drum struct {
	mu     sync.Mutex
	beats  []beat
	failed int
	stop   chan struct{}
	done   sync.WaitGroup
}

type beat struct{ sent, acked time.Time }

func (r figureRig) drum(nodes []*node, every time.Duration) *drum {
	d := &drum{stop: make(chan struct{})}
	d.done.Go(func() {
		for i := uint64(0); wait(every, d.stop); i++ {
			d.done.Go(func() {
				b := beat{sent: time.Now()}
				err := r.put(nodes[i%uint64(len(nodes))], i%1000+1, 8*time.Second)
				b.acked = time.Now()
				d.mu.Lock()
				defer d.mu.Unlock()
				if err != nil {
					d.failed++
				} else {
					d.beats = append(d.beats, b)
				}
			})
		}
	})
	return d
}

func (d *drum) end() {
	close(d.stop)
	d.done.Wait()
}

// gap is the time from a moment until the first acknowledgement of a write
// that was sent after it.
func (d *drum) gap(at time.Time) (gap time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.beats {
		if b.sent.After(at) && (!ok || b.acked.Sub(at) < gap) {
			gap, ok = b.acked.Sub(at), true
		}
	}
	return gap, ok
}

// longest is the longest time without an acknowledgement from a moment on.
func (d *drum) longest(from time.Time) (longest time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := from
	slices.SortFunc(d.beats, func(a, b beat) int { return a.acked.Compare(b.acked) })
	for _, b := range d.beats {
		if b.acked.After(from) {
			longest = max(longest, b.acked.Sub(last))
			last = b.acked
		}
	}
	return longest
}

// away measures gaps of writes: again and again it finds the leader of the
// tenant's partition and lets act do something to it while the others are
// written to; act returns what brings it back.
func (r figureRig) away(t *testing.T, times int, act func(leader *node, others []*node) (back func() error)) (gaps []time.Duration) {
	t.Helper()
	home, err := r.home()
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		leader, others, err := r.leaderAndOthers(home)
		if err != nil {
			t.Fatal(err)
		}
		d := r.drum(others, 10*time.Millisecond)
		wait(500*time.Millisecond, nil)
		at := time.Now()
		back := act(leader, others)
		err = poll(20*time.Second, func() error {
			gap, ok := d.gap(at)
			if !ok {
				return errors.New("no write is acknowledged")
			}
			gaps = append(gaps, gap)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := back(); err != nil {
			t.Fatal(err)
		}
		d.end()
		if err := r.waitWhole(repairWithin); err != nil {
			t.Fatal(err)
		}
	}
	return gaps
}

func (r figureRig) leaderAndOthers(home string) (leader *node, others []*node, err error) {
	err = poll(10*time.Second, func() (err error) {
		leader, err = r.leader(home)
		return err
	})
	others = slices.DeleteFunc(slices.Clone(r.nodes), func(n *node) bool { return n == leader })
	return leader, others, err
}

func (r figureRig) killed(t *testing.T) {
	gaps := r.away(t, 50, func(leader *node, _ []*node) func() error {
		leader.kill()
		return func() error {
			if err := leader.member(""); err != nil {
				return err
			}
			return leader.ready(time.Minute)
		}
	})
	tell("write gap after kill -9 of the leader: %s (goal p50 500ms, p99 2s)", spread(gaps))
}

func (r figureRig) stopped(t *testing.T) {
	gaps := r.away(t, 20, func(leader *node, _ []*node) func() error {
		leader.pause()
		return func() error {
			leader.resume()
			return nil
		}
	})
	tell("write gap after SIGSTOP of the leader: %s (goal p50 2s, p99 5s)", spread(gaps))
}

func (r figureRig) silent(t *testing.T) {
	gaps := r.away(t, 20, func(leader *node, others []*node) func() error {
		var heals []func()
		for _, o := range others {
			for _, w := range []way{{leader.name, o.name}, {o.name, leader.name}} {
				heal, err := r.net.cut(w.from, w.to)
				if err != nil {
					t.Fatal(err)
				}
				heals = append(heals, heal)
			}
		}
		return func() error {
			for _, heal := range heals {
				heal()
			}
			return nil
		}
	})
	tell("write gap after a silent partition of the leader: %s (goal p50 2s, p99 5s)", spread(gaps))
}

func (r figureRig) planned(t *testing.T) {
	home, err := r.home()
	if err != nil {
		t.Fatal(err)
	}
	var gaps []time.Duration
	failed := 0
	for range 10 {
		leader, others, err := r.leaderAndOthers(home)
		if err != nil {
			t.Fatal(err)
		}
		d := r.drum(others, 5*time.Millisecond)
		wait(500*time.Millisecond, nil)
		at := time.Now()
		if err := leader.terminate(); err != nil {
			t.Error(err)
		}
		wait(500*time.Millisecond, nil)
		d.end()
		gaps = append(gaps, d.longest(at))
		failed += d.failed
		if err := errors.Join(leader.member(""), leader.ready(time.Minute), r.waitWhole(repairWithin)); err != nil {
			t.Fatal(err)
		}
	}
	tell("longest write gap around SIGTERM of the leader: %s, %d writes failed (goal 200ms, 0)", spread(gaps), failed)
}

// consulAway writes and reads while Consul is away for a minute.
func (r figureRig) consulAway(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var asked, failed atomic.Int64
	for c := range 8 {
		wg.Go(func() {
			for i := 0; wait(20*time.Millisecond, stop); i++ {
				asked.Add(1)
				if err := r.put(r.nodes[(c+i)%len(r.nodes)], uint64(c*1000+i%100+1), 8*time.Second); err != nil {
					failed.Add(1)
					t.Logf("with Consul away: %v", err)
				}
			}
		})
	}
	wait(2*time.Second, nil)
	r.consul.kill()
	wait(time.Minute, nil)
	err := r.consul.start()
	wait(10*time.Second, nil)
	close(stop)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	tell("Consul away for 60s: %d of %d requests failed (goal 0)", failed.Load(), asked.Load())
	if failed.Load() > 0 {
		t.Errorf("%d requests failed", failed.Load())
	}
}

// cpus is the processor time of every process so far.
func (r figureRig) cpus() (all []time.Duration) {
	for _, n := range r.nodes {
		all = append(all, n.process().cpu())
	}
	return append(all, r.consul.process().cpu())
}

// share says what the processes took of a core since then.
func (r figureRig) share(since []time.Duration, took time.Duration) string {
	var b strings.Builder
	for i, now := range r.cpus() {
		name := "Consul"
		if i < len(r.nodes) {
			name = r.nodes[i].name
		}
		fmt.Fprintf(&b, " %s %.1f%%", name, 100*float64(now-since[i])/float64(took))
	}
	return b.String()
}

func (r figureRig) idle(t *testing.T) {
	wait(5*time.Second, nil)
	before, began := r.cpus(), time.Now()
	wait(20*time.Second, nil)
	tell("idle, of a core:%s (goal 3%%)", r.share(before, time.Since(began)))
}

// hop reads one point through the leader and through the others.
func (r figureRig) hop(t *testing.T) {
	home, err := r.home()
	if err != nil {
		t.Fatal(err)
	}
	leader, others, err := r.leaderAndOthers(home)
	if err != nil {
		t.Fatal(err)
	}
	var direct, hopped []time.Duration
	for i := range 2000 {
		for _, n := range []*node{leader, others[i%len(others)]} {
			began := time.Now()
			if err := (call{key: r.who.key, method: "GET", url: n.qdrant + "/collections/k/points/1"}).into(nil); err != nil {
				t.Fatal(err)
			}
			if n == leader {
				direct = append(direct, time.Since(began))
			} else {
				hopped = append(hopped, time.Since(began))
			}
		}
	}
	tell("read through the leader: %s; through another: %s", spread(direct), spread(hopped))
	tell("extra hop p50 %v (goal 300µs)", (quantile(hopped, 0.5) - quantile(direct, 0.5)).Round(time.Microsecond))
}

// upsert stores batches of 100 points of 128 dimensions from 8 clients.
func (r figureRig) upsert(t *testing.T) {
	const lasts, batch = time.Minute, 100
	create := call{key: r.who.key, method: "PUT", url: r.nodes[0].qdrant + "/collections/wide", body: `{"vectors":{"size":128,"distance":"Euclid"}}`}
	if err := create.into(nil); err != nil {
		t.Fatal(err)
	}
	vectors := make([]string, 500)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range vectors {
		vectors[i] = randomVector(rng)
	}
	before, began := r.cpus(), time.Now()
	var stored, next atomic.Int64
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for time.Since(began) < lasts {
				first := next.Add(batch)
				var b strings.Builder
				b.WriteString(`{"points":[`)
				for i := range int64(batch) {
					if i > 0 {
						b.WriteByte(',')
					}
					fmt.Fprintf(&b, `{"id":%d,"vector":%s}`, first+i, vectors[(first+i)%int64(len(vectors))])
				}
				b.WriteString(`]}`)
				a, err := call{key: r.who.key, method: "PUT", url: r.nodes[c%len(r.nodes)].qdrant + "/collections/wide/points?wait=true", body: b.String()}.do()
				if err != nil || a.status != http.StatusOK {
					t.Errorf("upsert: %d %.200s %v", a.status, a.body, err)
					return
				}
				stored.Add(batch)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	tell("upsert of 128-d points in batches of 100, 8 clients, one tenant: %.0f points/s; of a core:%s (goal 20000/s)", float64(stored.Load())/took.Seconds(), r.share(before, took))
}

// wiped destroys what a node has stored and measures how fast it comes back.
func (r figureRig) wiped(t *testing.T) {
	filler := strings.Repeat("x", 8000)
	rng := rand.New(rand.NewPCG(1, 3))
	for i := range 8 {
		u, err := newTenant(r.nodes[i%3], 100+i, rng)
		if err != nil {
			t.Fatal(err)
		}
		for first := 1; first <= 4000; first += 200 {
			var points []any
			for id := first; id < first+200; id++ {
				points = append(points, map[string]any{"id": id, "vector": newPoint(u, uint64(id), 1, 2).Vector, "payload": map[string]any{"filler": filler}})
			}
			put := call{key: u.key, method: "PUT", url: r.nodes[i%3].qdrant + "/collections/k/points?wait=true", body: map[string]any{"points": points}, timeout: time.Minute}
			if err := put.into(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	victim := r.nodes[2]
	wait(35*time.Second, nil) // checkpoints: what comes back are stores, not logs
	victim.kill()
	if err := victim.wipe(); err != nil {
		t.Fatal(err)
	}
	token, err := r.token()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := errors.Join(victim.member(token), r.waitWhole(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	size := sizeOf(filepath.Join(victim.data, "partitions"))
	tell("a wiped node is a voter of everything after %v with %d MB: %.0f MB/s from its start on (goal 50)", took.Round(time.Millisecond), size>>20, float64(size)/1e6/took.Seconds())
}

func sizeOf(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	return bytes
}
