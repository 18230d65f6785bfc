//go:build figures

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	neighbourRounds  = flag.Int("rounds", 5, "pairs of measurements of TestFiguresNeighbour, without and with an aggressor")
	neighbourSeconds = flag.Int("seconds", 10, "how long each of them lasts")
)

// What TestFiguresNeighbour does.
const (
	neighbourVictims = 4 // each asks neighbourRate times a second, whatever happens
	neighbourRate    = 50
	neighbourConns   = 64 // of the aggressor: the next request when the last is answered
	neighbourDim     = 128
	neighbourPoints  = 25_000 // of each tenant: enough for a graph
)

// TestFiguresNeighbour measures what victims in open loop notice of an aggressor
// with 64 connections in closed loop, in pairs of rounds without and with one:
// the time from a request's headers to its answer, as the server says in it.
func TestFiguresNeighbour(t *testing.T) {
	if c := os.Getenv("NEIGHBOUR"); c != "" {
		aggress(t, c)
		return
	}
	data := t.TempDir()
	cmd := serveCommand(data)
	cmd.Env = environ(bootstrapKeys) // otherwise the defaults
	s, err := launch(t, data, cmd)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	aggressor := s.user
	victims := make([]user, neighbourVictims)
	for i := range victims {
		_, victims[i] = s.newTenant(fmt.Sprint("victim-", i), "READ_WRITE")
	}
	for _, u := range append(victims, aggressor) {
		u.must("PUT", "/collections/near", vectors(neighbourDim, "Euclid"))
		for _, b := range bodies(neighbourPoints/500, 500, neighbourDim, 0, rng) {
			if a := u.send(call{method: "PUT", url: s.qdrant + "/collections/near/points?wait=true", body: json.RawMessage(b)}); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		awaitGreen(t, u)
	}
	for _, kind := range []string{"searches", "upserts"} {
		var alone, beside []float64
		for range *neighbourRounds {
			alone = append(alone, ask(t, victims))
			stop := s.aggressor(t, aggressor.key, kind)
			beside = append(beside, ask(t, victims))
			tell("%s: victims' p99 %.2f ms alone, %.2f ms beside an aggressor of %s answers a second", kind, alone[len(alone)-1], beside[len(beside)-1], stop())
			awaitGreen(t, aggressor)
		}
		slices.Sort(alone)
		slices.Sort(beside)
		a, b := alone[len(alone)/2], beside[len(beside)/2]
		tell("%s: medians of %d: %.2f ms alone, %.2f ms beside: %+.2f ms, %+.0f %%", kind, len(alone), a, b, b-a, 100*(b-a)/a)
		if b > 1.2*a && b-a > 2 {
			t.Errorf("%s: the victims notice", kind)
		}
	}
}

// awaitGreen returns when all points are in the graph.
func awaitGreen(t *testing.T, u user) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	query := map[string]any{"query": make([]float32, neighbourDim), "limit": 1}
	for range 1200 {
		u.must("POST", "/collections/near/points/query", query) // it is active
		var info struct {
			Status  string
			Points  int `json:"points_count"`
			Indexed int `json:"indexed_vectors_count"`
		}
		u.decode(u.must("GET", "/collections/near", nil), &info)
		if info.Status == "green" && info.Indexed >= info.Points {
			return
		}
		<-tick.C
	}
	t.Fatal("the points are not in the graph")
}

// searchBody asks for the ten nearest to a random vector.
func searchBody(rng *rand.Rand) []byte {
	b := []byte(`{"limit":10,"query":[`)
	for d := range neighbourDim {
		if d > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, rng.Float64(), 'f', 5, 32)
	}
	return append(b, `]}`...)
}

// ask lets the victims ask, each request in its time whether or not those before
// have been answered, and returns the p99 in ms of what the server says.
func ask(t *testing.T, victims []user) float64 {
	t.Helper()
	c := wire(256)
	var mu sync.Mutex
	var times []float64
	var all sync.WaitGroup
	for i, u := range victims {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			tick := time.NewTicker(time.Second / neighbourRate)
			defer tick.Stop()
			for range neighbourRate * *neighbourSeconds {
				<-tick.C
				body := searchBody(rng)
				all.Go(func() {
					took, err := u.serverTime(c, body)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						t.Error(err)
					}
					times = append(times, took)
				})
			}
		})
	}
	all.Wait()
	slices.Sort(times)
	return 1000 * times[len(times)*99/100]
}

func (u user) serverTime(c *http.Client, body []byte) (seconds float64, err error) {
	req, err := http.NewRequest("POST", u.s.qdrant+"/collections/near/points/query", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("api-key", u.key)
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct{ Time float64 }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%d: %w", resp.StatusCode, err)
	}
	return answer.Time, nil
}

// aggressor starts one in a process of its own, which yields to the server: what
// is measured is how the server shares the machine, not how clients do. The
// result ends it and says how many answers a second it had.
func (s *server) aggressor(t *testing.T, key, kind string) (stop func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "nice", "-n", "10", os.Args[0], "-test.run", "^TestFiguresNeighbour$")
	cmd.Env = append(os.Environ(), "WAGGLE_BIN="+binary, "NEIGHBOUR="+kind, "NEIGHBOUR_URL="+s.qdrant, "NEIGHBOUR_KEY="+key)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second) // until it is at full speed
	return func() string {
		_ = in.Close()
		_ = cmd.Wait()
		cancel()
		rate, _, _ := strings.Cut(out.String(), "\n")
		return rate
	}
}

// aggress asks until standard input ends, and prints how many answers a second
// there were, and how many of them were refusals.
func aggress(t *testing.T, kind string) {
	base, err := url.Parse(os.Getenv("NEIGHBOUR_URL"))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	line, requests := "POST /collections/near/points/query", [][]byte{}
	if kind == "upserts" {
		line, requests = "PUT /collections/near/points?wait=true", bodies(64, 100, neighbourDim, 0, rng)
	}
	for len(requests) < 64 {
		requests = append(requests, searchBody(rng))
	}
	for i, b := range requests {
		requests[i] = append(fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: %s\r\nApi-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", line, base.Host, os.Getenv("NEIGHBOUR_KEY"), len(b)), b...)
	}
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	began := time.Now()
	counts := make([]int, neighbourConns)
	var wg sync.WaitGroup
	for i := range counts {
		wg.Go(func() { counts[i] = hammer(base.Host, requests[i%len(requests)], over) })
	}
	wg.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	fmt.Printf("%.0f\n", float64(sum)/time.Since(began).Seconds())
}

// hammer sends a request again and again on one connection. It reads an answer
// by its first packet: small answers come in one.
func hammer(host string, request []byte, over <-chan struct{}) (n int) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return 0
	}
	defer conn.Close()
	answer := make([]byte, 64<<10)
	for {
		select {
		case <-over:
			return n
		default:
		}
		if _, err := conn.Write(request); err != nil {
			return n
		}
		if _, err := conn.Read(answer); err != nil {
			return n
		}
		n++
	}
}
