package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
)

// fault is one fault, as it is planned and as it went.
type fault struct {
	kind    *kind
	on      []*node       // whom it hits; the first is the one it is about
	after   time.Duration // since the round began
	lasts   time.Duration
	draw    int           // a random number below a million, for what else there is to draw
	began   time.Duration // since the run began
	ended   time.Duration
	remarks string
}

// kind is a kind of fault.
type kind struct {
	name  string
	class class
	least time.Duration // how long it lasts
	most  time.Duration
	// make makes it, lets it last, and heals it.
	make func(n *nemesis, f *fault) error
	// can says whether it can be made here; nil = always.
	can func(n *nemesis) bool
}

// class says what a fault needs for itself while it lasts.
type class int

const (
	processes class = iota // the process of its first node
	links                  // nothing: rules of the network add up
	registry               // Consul
)

var kinds = []*kind{
	{name: "kill -9", class: processes, least: 0, most: 4 * time.Second, make: (*nemesis).killNode},
	{name: "SIGSTOP", class: processes, least: time.Second, most: 8 * time.Second, make: (*nemesis).pauseNode},
	{name: "one-way partition", class: links, least: 2 * time.Second, most: 8 * time.Second, make: (*nemesis).cutOneWay},
	{name: "two-way partition", class: links, least: 2 * time.Second, most: 8 * time.Second, make: (*nemesis).cutTwoWay},
	{name: "isolation", class: links, least: 2 * time.Second, most: 8 * time.Second, make: (*nemesis).isolate},
	{name: "connection reset", class: links, least: 0, most: time.Second, make: (*nemesis).resetConnections, can: (*nemesis).proxied},
	{name: "slow follower", class: links, least: 5 * time.Second, most: 10 * time.Second, make: (*nemesis).slowDown, can: (*nemesis).proxied},
	{name: "Consul stopped", class: registry, least: 3 * time.Second, most: 10 * time.Second, make: (*nemesis).stopConsul},
	{name: "Consul wiped", class: registry, least: time.Second, most: 4 * time.Second, make: (*nemesis).wipeConsul},
	{name: "Consul stalled", class: registry, least: 10 * time.Second, most: 10 * time.Second, make: (*nemesis).stallConsul},
	{name: "full disk", class: processes, least: 2 * time.Second, most: 6 * time.Second, make: (*nemesis).fillDisk, can: func(n *nemesis) bool { return n.fleet.disk != nil }},
	{name: "wiped disk", class: processes, least: 0, most: 2 * time.Second, make: (*nemesis).wipeNode},
	{name: "corrupt image chunk", class: processes, least: 0, most: 2 * time.Second, make: (*nemesis).corruptImage, can: (*nemesis).proxied},
}

// slowRate is what a slow follower's append lane carries, in bytes a second.
const slowRate = 64 << 10

// leaderWithin is how soon after the last fault of a round every partition has
// a leader.
const leaderWithin = 5 * time.Second

// nemesis makes faults, in rounds of some that overlap. Two rounds may take
// the majority away for a while, never for good: what a node has stored is
// destroyed only when every partition is whole.
type nemesis struct {
	fleet *fleet
	found *findings
	began time.Time
	rng   *rand.Rand
	deck  []*kind // those that come next

	mu      sync.Mutex
	made    []*fault
	bits    int             // turned in images
	leaders []time.Duration // after each round, until every partition had one
}

func newNemesis(f *fleet, seed uint64) *nemesis {
	return &nemesis{fleet: f, found: f.found, began: f.found.began, rng: rand.New(rand.NewPCG(seed, 300))}
}

func (n *nemesis) proxied() bool {
	_, ok := n.fleet.net.(*fabric)
	return ok
}

// run makes so many faults of some kinds, as long as there is time.
func (n *nemesis) run(among []*kind, faults int, within time.Duration) {
	end := time.Now().Add(within)
	for len(n.made) < faults {
		if time.Now().After(end) {
			n.found.add("only %d faults in %v", len(n.made), within)
			return
		}
		n.round(n.plan(among, min(2+n.rng.IntN(4), faults-len(n.made))))
	}
}

// plan draws a round. Every kind comes before one comes again.
func (n *nemesis) plan(among []*kind, count int) (round []*fault) {
	free := n.rng.Perm(len(n.fleet.nodes))
	registryFree, repaired := true, true
	var later []*kind
	for len(round) < count {
		if len(n.deck) == 0 {
			if len(later) > 0 && len(round) > 0 {
				break
			}
			for _, i := range n.rng.Perm(len(among)) {
				n.deck = append(n.deck, among[i])
			}
		}
		k := n.deck[0]
		n.deck = n.deck[1:]
		f := &fault{kind: k, after: time.Duration(n.rng.IntN(4000)) * time.Millisecond, draw: n.rng.IntN(1e6)}
		f.lasts = k.least + time.Duration(n.rng.Int64N(int64(k.most-k.least)+1))
		for _, i := range n.rng.Perm(len(n.fleet.nodes)) {
			f.on = append(f.on, n.fleet.nodes[i])
		}
		// One node of three is left alone by faults of processes: those of two
		// at once stop everything, which is enough to learn from.
		fits := true
		switch k.class {
		case processes:
			fits = n.takeNode(f, &free) && (!k.destroys() || repaired)
			repaired = repaired && (!fits || !k.destroys())
		case registry:
			fits, registryFree = registryFree, false
		case links:
		}
		if !fits {
			later = append(later, k)
			continue
		}
		round = append(round, f)
	}
	n.deck = append(later, n.deck...)
	return round
}

// takeNode finds a node for a fault of a process.
func (n *nemesis) takeNode(f *fault, free *[]int) bool {
	if len(*free) < len(n.fleet.nodes)-1 || len(*free) == 0 {
		return false
	}
	at := 0
	if f.kind.name == "full disk" {
		at = slices.IndexFunc(*free, func(i int) bool { return n.fleet.nodes[i] == n.fleet.disk })
		if at < 0 {
			return false
		}
	}
	target := n.fleet.nodes[(*free)[at]]
	*free = slices.Delete(*free, at, at+1)
	i := slices.Index(f.on, target)
	f.on[0], f.on[i] = f.on[i], f.on[0]
	return true
}

// destroys says whether a fault of the kind destroys what a node has stored.
func (k *kind) destroys() bool { return k.name == "wiped disk" || k.name == "corrupt image chunk" }

// repairWithin is how long a wiped node may take to be a voter of everything
// again.
const repairWithin = time.Minute

// round makes faults that overlap, and looks whether all is well afterwards.
func (n *nemesis) round(round []*fault) {
	if slices.ContainsFunc(round, func(f *fault) bool { return f.kind.destroys() }) {
		if err := n.fleet.waitWhole(repairWithin); err != nil {
			n.found.add("not whole again: %v", err)
			return
		}
	}
	var wg sync.WaitGroup
	for _, f := range round {
		wg.Go(func() {
			wait(f.after, nil)
			f.began = time.Since(n.began)
			if err := f.kind.make(n, f); err != nil {
				n.found.add("%s of %s: %v", f.kind.name, f.on[0].name, err)
			}
			f.ended = time.Since(n.began)
			n.say(f)
		})
	}
	wg.Wait()
	n.healed()
}

func (n *nemesis) say(f *fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.made = append(n.made, f)
	fmt.Printf("%7.2fs to %7.2fs  %-19s %-8s %s\n", f.began.Seconds(), f.ended.Seconds(), f.kind.name, f.target(), f.remarks)
}

func (f *fault) target() string {
	switch {
	case f.kind.class == registry:
		return "consul"
	case f.kind.class == links && len(f.on) > 1 && f.kind.name != "isolation" && f.kind.name != "slow follower":
		return f.on[0].name + " " + f.on[1].name
	}
	return f.on[0].name
}

// healed holds that the cluster recovers when no fault is left.
func (n *nemesis) healed() {
	began := time.Now()
	err := poll(leaderWithin, n.fleet.led)
	took := time.Since(began)
	n.leaders = append(n.leaders, took)
	if err != nil {
		n.found.add("no leader %v", err)
		if err := poll(30*time.Second, n.fleet.led); err != nil {
			n.found.add("and none for long %v", err)
		} else {
			fmt.Printf("%9s  all have leaders after %v\n", "", time.Since(began).Round(time.Millisecond))
		}
	}
	for _, node := range n.fleet.nodes {
		if err := node.serves(); err != nil {
			n.found.add("%s does not serve after a round of faults: %v", node.name, err)
		}
	}
}

// serves waits for a node to say that it is ready.
func (n *node) serves() error {
	return poll(30*time.Second, n.answers)
}

func (n *node) answers() error {
	return call{method: "GET", url: n.http + "/health/ready", timeout: time.Second}.into(nil)
}

func (n *nemesis) killNode(f *fault) error {
	f.on[0].kill()
	wait(f.lasts, nil)
	return f.on[0].member("")
}

func (n *nemesis) pauseNode(f *fault) error {
	f.on[0].pause()
	wait(f.lasts, nil)
	f.on[0].resume()
	return nil
}

// cutWays cuts some ways for the time of a fault.
func (n *nemesis) cutWays(f *fault, ways ...way) error {
	for _, w := range ways {
		heal, err := n.fleet.net.cut(w.from, w.to)
		if err != nil {
			return err
		}
		defer heal()
	}
	wait(f.lasts, nil)
	return nil
}

func (n *nemesis) cutOneWay(f *fault) error {
	return n.cutWays(f, way{f.on[0].name, f.on[1].name})
}

func (n *nemesis) cutTwoWay(f *fault) error {
	w := way{f.on[0].name, f.on[1].name}
	return n.cutWays(f, w, w.back())
}

// isolate cuts a node from all others, both ways.
func (n *nemesis) isolate(f *fault) error {
	var ways []way
	for _, other := range f.on[1:] {
		w := way{f.on[0].name, other.name}
		ways = append(ways, w, w.back())
	}
	return n.cutWays(f, ways...)
}

func (n *nemesis) resetConnections(f *fault) error {
	count := n.fleet.net.(*fabric).reset(f.on[0].name, f.on[1].name)
	f.remarks = fmt.Sprintf("%d connections", count)
	wait(f.lasts, nil)
	return nil
}

func (n *nemesis) slowDown(f *fault) error {
	for _, other := range f.on[1:] {
		defer n.fleet.net.(*fabric).throttle(laneAppends, other.name, f.on[0].name, slowRate)()
	}
	wait(f.lasts, nil)
	return nil
}

func (n *nemesis) stopConsul(f *fault) error {
	n.fleet.consul.kill()
	wait(f.lasts, nil)
	return n.fleet.consul.start()
}

func (n *nemesis) wipeConsul(f *fault) error {
	n.fleet.consul.kill()
	if err := n.fleet.consul.wipe(); err != nil {
		return err
	}
	wait(f.lasts, nil)
	return n.fleet.consul.start()
}

func (n *nemesis) stallConsul(f *fault) error {
	n.fleet.consul.pause()
	wait(f.lasts, nil)
	n.fleet.consul.resume()
	return nil
}

// fillDisk lets the node's disk be full for a while. The node may end; then it
// is started again when there is room.
func (n *nemesis) fillDisk(f *fault) error {
	node := f.on[0]
	node.end(true)
	free, err := node.fill()
	if err != nil {
		return err
	}
	wait(f.lasts, nil)
	if err := free(); err != nil {
		return err
	}
	if p := node.process(); !wait(time.Second, p.exited) {
		f.remarks = "it ended: " + p.cmd.ProcessState.String()
		if code := p.cmd.ProcessState.ExitCode(); code != 1 { // 2 would be a panic
			n.found.add("%s ended with code %d because of a full disk:\n%s", node.name, code, tail(node.log, 3000))
		}
		return node.member("")
	}
	node.end(false)
	f.remarks = "it lived"
	return nil
}

// wipeNode destroys what a node has stored and lets it join again under its
// name, with a new token.
func (n *nemesis) wipeNode(f *fault) error {
	node := f.on[0]
	node.kill()
	if err := node.wipe(); err != nil {
		return err
	}
	wait(f.lasts, nil)
	token := ""
	err := poll(30*time.Second, func() (err error) {
		token, err = n.fleet.token()
		return err
	})
	if err != nil {
		return err
	}
	return node.member(token)
}

// corruptImage wipes a node and turns a bit in what it is sent over the bulk
// lane. TLS notices, so the node sees a connection that fails in the middle.
func (n *nemesis) corruptImage(f *fault) error {
	var taken []func() bool
	for i, other := range f.on[1:] {
		after := 2000 + f.draw*(i+1)%100_000
		taken = append(taken, n.fleet.net.(*fabric).flip(laneBulk, other.name, f.on[0].name, after))
	}
	defer func() {
		bits := 0
		for _, t := range taken {
			if t() {
				bits++
			}
		}
		f.remarks = fmt.Sprintf("%d bits turned", bits)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.bits += bits
	}()
	if err := n.wipeNode(f); err != nil {
		return err
	}
	wait(5*time.Second, nil)
	return nil
}

// asRoot says whether file systems can be mounted.
func asRoot() bool { return os.Getuid() == 0 }
