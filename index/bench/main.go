// Command bench compares the graph index with hnswlib: same data, same
// machine, same minute, in turn. It owns the directory it writes to, runs the
// two in processes of their own, one after the other, and never judges: the
// last line has the ratios, and the ids found are there for anyone to check.
//
//	bench -data DIR -out DIR -peer BINARY -metric l2|cos -rows N
//
// DIR holds base.fbin and query.fbin (uint32 rows, uint32 dimension, float32
// values, little-endian), or the files of Fashion-MNIST as Debian ships them.
// The data "gaussians" is generated. The peer is built from peer/hnswlib.cpp.
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
	side                    bool
}

func main() {
	log.SetFlags(0)
	var c config
	flag.StringVar(&c.data, "data", "/usr/share/datasets/fashion-mnist", "directory of the data, or gaussians")
	flag.StringVar(&c.out, "out", "", "directory to write to")
	flag.StringVar(&c.peer, "peer", "", "hnswlib's side, built")
	flag.StringVar(&c.metric, "metric", "l2", "l2 or cos")
	flag.IntVar(&c.rows, "rows", 0, "use so many rows (0: all)")
	flag.IntVar(&c.queries, "queries", 2000, "use so many queries")
	flag.IntVar(&c.rounds, "rounds", 2, "turns of each side")
	flag.BoolVar(&c.side, "side", false, "be one side, on the data in -out")
	flag.Parse()
	run := compare
	if c.side {
		run = ours
	}
	if err := run(c); err != nil {
		log.Fatal(err)
	}
}

// compare runs both sides in turn and prints the ratios.
func compare(c config) error {
	if c.out == "" || c.peer == "" || c.metric != "l2" && c.metric != "cos" {
		return fmt.Errorf("-out, -peer and -metric l2 or cos are needed")
	}
	if err := prepare(c); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var at95, at99, build []float64
	for range c.rounds {
		us, err := turn(self, "-side", "-out", c.out, "-metric", c.metric, "-queries", fmt.Sprint(c.queries))
		if err != nil {
			return err
		}
		them, err := turn(c.peer, c.out, c.metric, fmt.Sprint(links), fmt.Sprint(efConstruction), "2", fmt.Sprint(c.queries))
		if err != nil {
			return err
		}
		at95 = append(at95, us.at(0.95)/them.at(0.95))
		at99 = append(at99, us.at(0.99)/them.at(0.99))
		build = append(build, them.build/us.build)
		fmt.Printf("round: at95=%.2f at99=%.2f build=%.2f\n", at95[len(at95)-1], at99[len(at99)-1], build[len(build)-1])
	}
	fmt.Printf("ratio_qps_recall95=%.2f ratio_qps_recall99=%.2f ratio_build=%.2f\n", median(at95), median(at99), median(build))
	return nil
}

// result is what one turn of one side printed.
type result struct {
	build  float64 // seconds
	points []point
}

type point struct{ recall, qps float64 }

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
			r.build = b
		}
		if q, ok := fields["qps1"]; ok {
			r.points = append(r.points, point{fields["recall"], q})
		}
	}
	if r.build == 0 || len(r.points) == 0 {
		return r, fmt.Errorf("%s printed no figures", command)
	}
	return r, nil
}

// at is the queries a second at a recall: between the two widths next to it,
// on a logarithmic scale, or at the narrowest width when that is better still.
func (r result) at(recall float64) float64 {
	for i, p := range r.points {
		if p.recall < recall {
			continue
		}
		if i == 0 {
			return p.qps
		}
		before := r.points[i-1]
		share := (recall - before.recall) / (p.recall - before.recall)
		return math.Exp(math.Log(before.qps) + share*(math.Log(p.qps)-math.Log(before.qps)))
	}
	return math.NaN()
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
