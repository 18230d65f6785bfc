// Command bench measures the index. It never judges.
//
//	bench -data DIR -out DIR -peer BINARY -metric l2|cos -rows N
//
// compares the graph with hnswlib: same data, same machine, same minute, in
// turn. It owns the directory it writes to, and runs the two in processes of
// their own, one after the other. The last line has the ratios, and the ids
// found are there for anyone to check. DIR holds base.fbin and query.fbin
// (uint32 rows, uint32 dimension, float32 values, little-endian), or the files
// of Fashion-MNIST as Debian ships them; the data "gaussians" and "wide" are
// generated. The peer is built from peer/hnswlib.cpp. It has no Manhattan
// distance: with -metric l1 and no peer our side runs alone.
//
//	bench -run scan
//
// scans codes of 10,000 vectors of 768 values and compares the nearest as
// floats, as a search does where there is no graph, and holds the answers
// beside exact ones.
//
//	bench -run replace -data DIR -rows N
//
// replaces half of a graph's vectors in random order and holds recall and
// speed beside those of a graph built anew from what is there at the end.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
)

// The parameters both sides build with.
const (
	links          = 16
	efConstruction = 200
	neighbours     = 10
)

var widths = []int{10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 400}

type config struct {
	data, out, peer, metric string
	rows, queries, rounds   int
	run                     string
	floats                  bool
}

func main() {
	log.SetFlags(0)
	var c config
	flag.StringVar(&c.data, "data", "/usr/share/datasets/fashion-mnist", "directory of the data, gaussians or wide")
	flag.StringVar(&c.out, "out", "", "directory to write to")
	flag.StringVar(&c.peer, "peer", "", "hnswlib's side, built")
	flag.StringVar(&c.metric, "metric", "l2", "l2, cos or l1")
	flag.IntVar(&c.rows, "rows", 0, "use so many rows (0: all)")
	flag.IntVar(&c.queries, "queries", 2000, "use so many queries")
	flag.IntVar(&c.rounds, "rounds", 2, "turns of each side")
	flag.StringVar(&c.run, "run", "compare", "compare, scan or replace; or side: be one side, on the data in -out")
	flag.BoolVar(&c.floats, "floats", false, "our side walks on floats")
	flag.Parse()
	run, ok := map[string]func(config) error{"compare": compare, "side": ours, "scan": scan, "replace": replace}[c.run]
	if !ok {
		log.Fatalf("-run %s: want compare, scan, replace or side", c.run)
	}
	if err := run(c); err != nil {
		log.Fatal(err)
	}
}

// compare runs both sides in turn and prints the ratios.
func compare(c config) error {
	alone := c.metric == "l1"
	switch _, known := metrics[c.metric]; {
	case !known || c.out == "":
		return fmt.Errorf("-out and -metric l2, cos or l1 are needed")
	case alone && c.peer != "":
		return fmt.Errorf("-metric l1: hnswlib has no Manhattan distance; without -peer our side runs alone")
	case !alone && c.peer == "":
		return fmt.Errorf("-peer is needed: hnswlib's side, built from index/bench/peer/hnswlib.cpp")
	}
	if err := prepare(c); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var all []ratios
	for range c.rounds {
		us, err := turn(self, "-run", "side", "-out", c.out, "-metric", c.metric,
			"-queries", fmt.Sprint(c.queries), fmt.Sprintf("-floats=%v", c.floats))
		if err != nil {
			return err
		}
		if alone {
			fmt.Printf("scaling=%.2f vertex_bytes=%.0f\n", us.scaling(), us.vertexBytes())
			continue
		}
		them, err := turn(c.peer, c.out, c.metric, fmt.Sprint(links), fmt.Sprint(efConstruction), "2", fmt.Sprint(c.queries))
		if err != nil {
			return err
		}
		r := ratios{
			at95: us.at(0.95, ofTime) / them.at(0.95, ofTime), at99: us.at(0.99, ofTime) / them.at(0.99, ofTime),
			cpu95: us.at(0.95, ofCPU) / them.at(0.95, ofCPU), cpu99: us.at(0.99, ofCPU) / them.at(0.99, ofCPU),
			build: them.build / us.build, buildCPU: them.buildCPU / us.buildCPU,
			scaling: us.scaling(), peerScaling: them.scaling(), bytes: us.vertexBytes(), peerBytes: them.vertexBytes(),
		}
		fmt.Printf("round: at95=%.2f at99=%.2f build=%.2f scaling=%.2f peer_scaling=%.2f\n", r.at95, r.at99, r.build, r.scaling, r.peerScaling)
		all = append(all, r)
	}
	if alone {
		return nil
	}
	conclude(all)
	return nil
}

// conclude prints the medians of the rounds.
func conclude(all []ratios) {
	middle := func(of func(ratios) float64) float64 {
		var values []float64
		for _, r := range all {
			values = append(values, of(r))
		}
		return median(values)
	}
	bytes, peerBytes := middle(func(r ratios) float64 { return r.bytes }), middle(func(r ratios) float64 { return r.peerBytes })
	fmt.Printf("vertex_bytes=%.0f peer_vertex_bytes=%.0f ratio_bytes=%.2f\n", bytes, peerBytes, bytes/peerBytes)
	if buildCPU := middle(func(r ratios) float64 { return r.buildCPU }); buildCPU > 0 { // a peer built from elsewhere does not say
		fmt.Printf("ratio_cpu_recall95=%.2f ratio_cpu_recall99=%.2f ratio_cpu_build=%.2f\n",
			middle(func(r ratios) float64 { return r.cpu95 }), middle(func(r ratios) float64 { return r.cpu99 }), buildCPU)
	}
	fmt.Printf("scaling=%.2f peer_scaling=%.2f\n",
		middle(func(r ratios) float64 { return r.scaling }), middle(func(r ratios) float64 { return r.peerScaling }))
	fmt.Printf("ratio_qps_recall95=%.2f ratio_qps_recall99=%.2f ratio_build=%.2f\n",
		middle(func(r ratios) float64 { return r.at95 }), middle(func(r ratios) float64 { return r.at99 }),
		middle(func(r ratios) float64 { return r.build }))
}

// ratios is what one round came to.
type ratios struct {
	at95, at99, build    float64
	cpu95, cpu99         float64
	buildCPU             float64
	scaling, peerScaling float64
	bytes, peerBytes     float64
}

// result is what one turn of one side printed.
type result struct {
	build    float64 // seconds
	buildCPU float64 // 0 when the side does not print it
	rows     float64
	mb       float64 // resident after the build, and not before
	points   []point
}

// point is what one width came to: queries a second of one thread, of two, and
// a second of CPU time of one, 0 when the side does not print it.
type point struct{ recall, qps, both, cpu float64 }

// scaling is how many times as many queries a second two threads answer as
// one, at the median of all widths.
func (r result) scaling() float64 {
	var all []float64
	for _, p := range r.points {
		all = append(all, p.both/p.qps)
	}
	return median(all)
}

// vertexBytes is the memory that a vertex takes, its vector included.
func (r result) vertexBytes() float64 { return r.mb * (1 << 20) / r.rows }

// turn runs one side and reads its lines, which both print alike.
func turn(command string, args ...string) (result, error) {
	var r result
	var out bytes.Buffer
	cmd := exec.Command(command, args...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, os.Stdout), os.Stderr
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("%s: %w", command, err)
	}
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		fields := map[string]float64{}
		for field := range bytes.FieldsSeq(lines.Bytes()) {
			name, value, _ := bytes.Cut(field, []byte("="))
			if v, err := strconv.ParseFloat(string(value), 64); err == nil {
				fields[string(name)] = v
			}
		}
		if b, ok := fields["build_s"]; ok {
			r.build, r.buildCPU, r.rows, r.mb = b, fields["build_cpu_s"], fields["n"], fields["index_mb"]
		}
		if q, ok := fields["qps1"]; ok {
			r.points = append(r.points, point{fields["recall"], q, fields["qps2"], fields["cpu1"]})
		}
	}
	if r.build == 0 || len(r.points) == 0 {
		return r, fmt.Errorf("%s printed no figures", command)
	}
	return r, nil
}

func ofTime(p point) float64 { return p.qps }
func ofCPU(p point) float64  { return p.cpu }

// at is the queries a second at a recall: between the two widths next to it,
// on a logarithmic scale, or at the narrowest width when that is better still.
func (r result) at(recall float64, speed func(point) float64) float64 {
	for i, p := range r.points {
		if p.recall < recall {
			continue
		}
		if i == 0 {
			return speed(p)
		}
		before := r.points[i-1]
		share := (recall - before.recall) / (p.recall - before.recall)
		return math.Exp(math.Log(speed(before)) + share*(math.Log(speed(p))-math.Log(speed(before))))
	}
	return math.NaN()
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
