package cluster

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var canaryTime = flag.Duration("canaries", 10*time.Second, "how long TestCanaries asks")

const (
	canaryTenants = 20
	canaryClients = 10
)

// canaried is a tenant of whom everything that it has holds its number: its
// names c4n4ry07n, its payloads c4n4ry07p, its ids c4c4c4c4-0007-.
type canaried struct {
	number           int
	id, key, adminID string
}

func (c *canaried) name() string    { return fmt.Sprintf("c4n4ry%02dn", c.number) }
func (c *canaried) payload() string { return fmt.Sprintf("c4n4ry%02dp", c.number) }
func (c *canaried) point(n int) string {
	return fmt.Sprintf("c4c4c4c4-%04d-4000-8000-%012x", c.number, n)
}

var canaryMarks = regexp.MustCompile(`c4n4ry(\d\d)[np]|c4c4c4c4-00(\d\d)-`)

// aviary is the tenants, and how their marks are found.
type aviary struct {
	f       *fleet
	tenants []*canaried
	ids     map[string]int // tenants' and keys' ids
	asked   atomic.Int64
	good    atomic.Int64
}

// whose says of whom a text holds anything.
func (a *aviary) whose(text []byte) []int {
	seen := map[int]bool{}
	for _, m := range canaryMarks.FindAllSubmatch(text, -1) {
		n, err := strconv.Atoi(string(m[1]) + string(m[2]))
		seen[n] = err == nil
	}
	for id, n := range a.ids {
		if bytes.Contains(text, []byte(id)) {
			seen[n] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func newAviary(f *fleet) (*aviary, error) {
	a := &aviary{f: f, ids: map[string]int{}}
	for i := range canaryTenants {
		c := &canaried{number: i}
		var made struct {
			ID    string `json:"tenant_id"`
			Key   string `json:"key"`
			KeyID string `json:"key_id"`
		}
		n := f.nodes[i%len(f.nodes)]
		operator := call{key: operatorKey, method: "POST", url: n.http + "/api/v1/tenants", body: map[string]any{"name": c.name(), "plan": "enterprise"}}
		if err := operator.into(&made); err != nil {
			return nil, err
		}
		c.id = made.ID
		operator.url, operator.body = n.http+"/api/v1/access-keys", map[string]any{"tenant_id": c.id, "permission": "ADMIN", "name": c.name()}
		if err := operator.into(&made); err != nil {
			return nil, err
		}
		c.key, c.adminID = made.Key, made.KeyID
		a.ids[c.id], a.ids[c.adminID] = i, i
		a.tenants = append(a.tenants, c)
		body := map[string]any{"vectors": map[string]any{"size": 4, "distance": "Dot"}}
		for _, name := range []string{c.name(), "same"} {
			if err := (call{key: c.key, method: "PUT", url: n.qdrant + "/collections/" + name, body: body}).into(nil); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

// TestCanaries lets many tenants ask for everything, through all nodes, while
// nodes are killed: nothing of one tenant is in an answer to another, in a line
// of the log beside another's, or in any metric; no key is in a log.
func TestCanaries(t *testing.T) {
	seed := drawSeed(t)
	found := newFindings()
	env := append(slices.Clone(small), "WAGGLE_LOG_LEVEL=debug")
	f := newFleet(t, found, fleetOptions{nodes: 3, env: env})
	a, err := newAviary(f)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range canaryClients {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := 0; wait(time.Duration(rng.IntN(20))*time.Millisecond, stop); n++ {
				a.ask(rng, i, n)
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	kills := 0
	for end := time.Now().Add(*canaryTime); time.Now().Before(end); kills++ {
		wait(2*time.Second, nil)
		a.metrics(found)
		if err := a.failOver(f.nodes[rng.IntN(3)]); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	clients.Wait()
	a.metrics(found)
	lines := 0
	for _, n := range f.nodes {
		lines += a.log(found, n)
	}
	if err := a.secrets(found); err != nil {
		t.Error(err)
	}
	for _, n := range f.nodes {
		strangers(found, n)
	}
	asked, good := a.asked.Load(), a.good.Load()
	t.Logf("%d requests, %d of them answered 200, %d fail-overs, %d lines of log", asked, good, kills, lines)
	if good < asked/2 || good < 100 || lines < 100 {
		t.Errorf("%d of %d requests were good, %d lines of log: the test tests nothing", good, asked, lines)
	}
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}

// failOver kills a node, lets the others take over, and brings it back.
func (a *aviary) failOver(n *node) error {
	n.kill()
	if err := poll(30*time.Second, a.f.led); err != nil {
		return err
	}
	if err := n.member(""); err != nil {
		return err
	}
	if err := n.ready(time.Minute); err != nil {
		return err
	}
	return a.f.waitWhole(time.Minute)
}

// ask sends one request of some tenant through some node.
func (a *aviary) ask(rng *rand.Rand, client, number int) {
	who, other := a.tenants[rng.IntN(canaryTenants)], a.tenants[rng.IntN(canaryTenants)]
	n := a.f.nodes[rng.IntN(len(a.f.nodes))]
	name := []string{who.name(), "same"}[rng.IntN(2)]
	id := fmt.Sprintf("%s.%d.%d", who.name(), client, number)
	if rng.IntN(5) == 0 && other != who {
		name, id = other.name(), "foreign" // what is asked for comes back in the words of the refusal
	}
	c := a.draw(rng, n, who, other, name)
	c.key, c.timeout = who.key, 4*time.Second
	c.header = map[string]string{"X-Request-Id": id, "Idempotency-Key": fmt.Sprint(who.name(), rng.IntN(1e9))}
	a.asked.Add(1)
	got, err := c.do()
	if err != nil {
		return // a node is down
	}
	if got.status == http.StatusOK {
		a.good.Add(1)
	}
	var whole bytes.Buffer
	_ = got.header.Write(&whole)
	whole.Write(got.body)
	text := whole.Bytes()
	if id == "foreign" {
		text = bytes.ReplaceAll(text, []byte(name), nil)
	}
	text = bytes.ReplaceAll(text, []byte(other.point(1)), nil) // asked for, too
	for _, i := range a.whose(text) {
		if i != who.number {
			a.f.found.add("%s %s of tenant %d through %s: bytes of tenant %d: %.500s", c.method, c.url, who.number, n.name, i, text)
		}
	}
	if of := got.header.Get("X-Tenant-Id"); of != "" && of != who.id {
		a.f.found.add("%s %s of tenant %s is answered as %s", c.method, c.url, who.id, of)
	}
}

// draw is some request about a collection.
func (a *aviary) draw(rng *rand.Rand, n *node, who, other *canaried, name string) call {
	at := n.qdrant + "/collections/" + name
	vector := []float64{rng.Float64(), rng.Float64(), rng.Float64(), 1}
	post := func(path string, body any) call { return call{method: "POST", url: at + path, body: body} }
	shown := func(body map[string]any) map[string]any {
		body["with_payload"], body["with_vector"] = true, true
		return body
	}
	switch rng.IntN(16) {
	case 0, 1, 2, 3:
		points := []any{}
		for range 1 + rng.IntN(5) {
			points = append(points, map[string]any{"id": who.point(rng.IntN(50)), "vector": vector, "payload": map[string]any{"of": who.payload(), "n": rng.IntN(9)}})
		}
		return call{method: "PUT", url: at + "/points?wait=true", body: map[string]any{"points": points}}
	case 4, 5:
		return post("/points/query", shown(map[string]any{"query": vector, "limit": 20}))
	case 6:
		return post("/points/scroll", shown(map[string]any{"limit": 50}))
	case 7:
		return post("/points", shown(map[string]any{"ids": []string{who.point(1), other.point(1)}}))
	case 8:
		return post("/points/count", map[string]any{"filter": map[string]any{"must": []any{map[string]any{"key": "of", "match": map[string]any{"value": other.payload()}}}}})
	case 9:
		return post("/points/delete?wait=true", map[string]any{"points": []string{who.point(rng.IntN(50)), other.point(1)}})
	case 10:
		return post("/points/payload?wait=true", map[string]any{"points": []string{who.point(rng.IntN(50))}, "payload": map[string]any{"more": who.payload()}})
	case 11:
		return call{method: "GET", url: n.qdrant + "/collections"}
	case 12:
		return call{method: "GET", url: at}
	case 13:
		return call{method: "GET", url: n.http + []string{"/auth/me", "/auth/keys", "/auth/audit", "/hub/usage/quota", "/health", "/metrics"}[rng.IntN(6)]}
	case 14:
		return call{method: "GET", url: n.http + "/auth/keys/" + other.adminID + "x"}
	}
	return post("/points/query", map[string]any{"query": who.payload(), "limit": -1}) // an error
}

// metrics looks for tenants in what everybody can see of every node. (The
// operator sees their ids.)
func (a *aviary) metrics(found *findings) {
	for _, n := range a.f.nodes {
		got, err := call{method: "GET", url: n.http + "/metrics"}.do()
		if err != nil || got.status != http.StatusOK {
			found.add("metrics of %s: %d, %v", n.name, got.status, err)
			continue
		}
		if of := a.whose(got.body); len(of) > 0 {
			found.add("the metrics of %s hold bytes of tenants %v", n.name, of)
		}
	}
}

// log reads what a node has written, line by line.
func (a *aviary) log(found *findings, n *node) (lines int) {
	file, err := os.Open(n.log)
	if err != nil {
		found.add("%v", err)
		return 0
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	s.Buffer(nil, 1<<20)
	for ; s.Scan(); lines++ {
		if of := a.whose(s.Bytes()); len(of) > 1 {
			found.add("a line of %s is of tenants %v: %s", n.name, of, s.Text())
		}
		if strings.Contains(s.Text(), operatorKey) || slices.ContainsFunc(a.tenants, func(c *canaried) bool { return strings.Contains(s.Text(), c.key[12:]) }) {
			found.add("a key in the log of %s: %s", n.name, s.Text())
		}
	}
	if err := s.Err(); err != nil {
		found.add("the log of %s: %v", n.name, err)
	}
	return lines
}

// secrets looks in everything that the nodes have written for the cluster's
// secret, a join token and the keys. The secret has a file of its own.
func (a *aviary) secrets(found *findings) error {
	token, err := a.f.token()
	if err != nil {
		return err
	}
	secrets := map[string]string{"join token": token, "operator's key": operatorKey}
	for _, c := range a.tenants {
		secrets["key of "+c.id] = c.key
	}
	for _, n := range a.f.nodes {
		secret, err := os.ReadFile(filepath.Join(n.data, "secret"))
		if err != nil {
			return err
		}
		secrets["secret of "+n.name] = strings.TrimSpace(string(secret))
	}
	files := 0
	err = filepath.WalkDir(a.f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "secret" || d.Name() == "first-keys" {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // swept meanwhile
		}
		files++
		for what, secret := range secrets {
			if bytes.Contains(text, []byte(secret[12:])) {
				found.add("%s has the %s", path, what)
			}
		}
		return err
	})
	if err == nil && files < 20 {
		err = fmt.Errorf("only %d files to look at", files)
	}
	return err
}

// strangers knock at the port that is for nodes.
func strangers(found *findings, n *node) {
	hello := "POST /qdrant/collections/same HTTP/1.1\r\nHost: h\r\nApi-Key: " + operatorKey + "\r\nConnection: close\r\n\r\n"
	for _, secure := range []bool{false, true} {
		c, err := net.DialTimeout("tcp", n.listen, 5*time.Second)
		if err != nil {
			found.add("the port of %s: %v", n.name, err)
			return
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		s := c
		if secure { // without a certificate of the cluster
			s = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		}
		_, _ = io.WriteString(s, hello)
		if got, _ := io.ReadAll(s); bytes.Contains(got, []byte("HTTP/")) || secure && len(got) > 0 {
			found.add("the port of %s for nodes answers a stranger (TLS: %v): %.200q", n.name, secure, got)
		}
		_ = c.Close()
	}
}

// What the test looks for it finds.
func TestCanariesAreFound(t *testing.T) {
	a := aviary{ids: map[string]int{"t_abc": 3}}
	for text, want := range map[string]string{
		"": "[]", "c4n4ry08n": "[8]", `{"of":"c4n4ry19p"} c4n4ry08n`: "[8 19]", "c4c4c4c4-0009-4000": "[9]", "x t_abc y": "[3]",
	} {
		if got := fmt.Sprint(a.whose([]byte(text))); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
