package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bodies returns n upsert requests of batch points each, as JSON: random
// vectors with 5 digits, ids from first on.
func bodies(n, batch, dim int, first uint64, rng *rand.Rand) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		var b bytes.Buffer
		b.WriteString(`{"points":[`)
		for j := range batch {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":%d,"vector":[`, first+uint64(i*batch+j))
			for d := range dim {
				if d > 0 {
					b.WriteByte(',')
				}
				b.WriteString(strconv.FormatFloat(rng.Float64(), 'f', 5, 32))
			}
			b.WriteString(`]}`)
		}
		b.WriteString(`]}`)
		out[i] = b.Bytes()
	}
	return out
}

func benchServer(b *testing.B, data string) *server {
	b.Helper()
	cmd := serveCommand(data)
	cmd.Env = environ(bootstrapKeys) // otherwise the defaults
	s, err := launch(b, data, cmd)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// upload sends bodies from clients goroutines and returns how long each took.
func upload(b *testing.B, url string, requests [][]byte, clients int) []time.Duration {
	b.Helper()
	var next atomic.Int64
	times := make([]time.Duration, len(requests))
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				req, _ := http.NewRequest("PUT", url+"?wait=true", bytes.NewReader(requests[i]))
				req.Header.Set("api-key", tenantKey)
				began := time.Now()
				resp, err := c.Do(req)
				times[i] = time.Since(began)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Errorf("upsert: %v %v", resp, err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	slices.Sort(times)
	return times
}

// BenchmarkUpsertHTTP is 128-d points in batches of 100 from 8 clients, each
// acknowledged when durable. The load generator shares the machine. One
// iteration is one run over 100,000 points.
func BenchmarkUpsertHTTP(b *testing.B) {
	const points, batch = 100_000, 100
	requests := bodies(points/batch, batch, 128, 0, rand.New(rand.NewPCG(1, 1)))
	for b.Loop() {
		b.StopTimer()
		s := benchServer(b, b.TempDir())
		s.must("PUT", "/collections/u", map[string]any{"vectors": map[string]any{"size": 128, "distance": "Cosine"}})
		b.StartTimer()
		began := time.Now()
		times := upload(b, s.qdrant+"/collections/u/points", requests, 8)
		took := time.Since(began)
		b.StopTimer()
		b.ReportMetric(points/took.Seconds(), "points/s")
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		s.kill()
		b.StartTimer()
	}
}

// BenchmarkRestart is the time from exec to the first answered search with
// 60,000 points of 784 dimensions stored, after a clean stop and after kill -9.
func BenchmarkRestart(b *testing.B) {
	data := b.TempDir()
	s := benchServer(b, data)
	s.must("PUT", "/collections/r", map[string]any{"vectors": map[string]any{"size": 784, "distance": "Euclid"}})
	upload(b, s.qdrant+"/collections/r/points", bodies(300, 200, 784, 0, rand.New(rand.NewPCG(1, 1))), 4)
	query := map[string]any{"query": make([]float32, 784), "limit": 10}
	for _, how := range []string{"stopped", "killed"} {
		b.Run(how, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				if how == "stopped" {
					if code := s.stop(); code != 0 {
						b.Fatalf("exit code %d", code)
					}
				} else {
					s.kill()
				}
				b.StartTimer()
				s = benchServer(b, data)
				var result struct{ Points []any }
				if err := json.Unmarshal(s.must("POST", "/collections/r/points/query", query), &result); err != nil || len(result.Points) != 10 {
					b.Fatalf("%d points found, %v", len(result.Points), err)
				}
			}
		})
	}
}

// BenchmarkEmptyNode reports the memory of a node that has just been born.
func BenchmarkEmptyNode(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Fatal("needs /proc")
	}
	for b.Loop() {
		s := benchServer(b, b.TempDir())
		s.must("GET", "/collections", nil)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
				kb, _ := strconv.ParseFloat(f[1], 64)
				b.ReportMetric(kb/1024, "MB-RSS")
			}
		}
		s.kill()
	}
}
