package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

const (
	demoCollection = "fashion-mnist"
	demoBatch      = 200 // points a request
	demoTopK       = 10
)

// demoEfs are the widths of search that the demo shows, the widest last.
var demoEfs = []int{32, 64, 128}

// demo is one run of `waggle demo`.
type demo struct {
	url, key   string
	images     string // directory of the data set
	out        string // where the page goes
	clients    int
	queriesMax int

	client      *client.Client
	errOut      io.Writer
	base, query imageSet
}

func newDemo() *cobra.Command {
	d := &demo{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Load Fashion-MNIST, search it, and measure recall and speed",
		Long: "Loads the 60,000 training images of Fashion-MNIST as 784-dimensional points under a tenant key,\n" +
			"asks for the neighbours of the 10,000 test images, holds the answers against an exact computation\n" +
			"of its own, and writes a page that shows query images beside what was found.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.errOut = cmd.ErrOrStderr()
			return d.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.url, "url", "", "Waggle's address (default $WAGGLE_URL, or "+defaultURL+")")
	f.StringVar(&d.key, "key", "", "tenant key (default $WAGGLE_KEY)")
	f.StringVar(&d.images, "images", "/usr/share/datasets/fashion-mnist", "directory of the data set's .gz files")
	f.StringVar(&d.out, "out", "demo-out", "directory for the page")
	f.IntVar(&d.clients, "clients", 4, "connections while loading, and in the last run of searches")
	f.IntVar(&d.queriesMax, "queries", 10_000, "how many test images to ask for")
	return cmd
}

func (d *demo) run(ctx context.Context, out io.Writer) error {
	if err := d.prepare(); err != nil {
		return err
	}
	if err := d.load(ctx, out); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if _, err := d.ask(ctx, 0, client.Params{}); err != nil { // the first search loads the index
		return fmt.Errorf("search: %w", err)
	}
	truth := d.groundTruth()
	if err := d.awaitGraph(ctx, out); err != nil {
		return err
	}
	var found [][]int
	for _, ef := range demoEfs {
		var err error
		if found, err = d.searchAll(ctx, out, 1, client.Params{EfSearch: ef}, truth); err != nil {
			return fmt.Errorf("search: %w", err)
		}
	}
	if _, err := d.searchAll(ctx, out, d.clients, client.Params{EfSearch: demoEfs[len(demoEfs)-1]}, truth); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	if _, err := d.searchAll(ctx, out, 1, client.Params{Exact: true}, truth[:min(500, len(truth))]); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	page := filepath.Join(d.out, "index.html")
	if err := writePage(page, d.base, d.query, found); err != nil {
		return err
	}
	fmt.Fprintln(out, "page    ", page)
	return nil
}

func (d *demo) prepare() error {
	key := firstOf(d.key, os.Getenv("WAGGLE_KEY"))
	if key == "" {
		return fmt.Errorf("no tenant key: set WAGGLE_KEY or give --key")
	}
	var err error
	d.client, err = client.New(client.Options{URL: firstOf(d.url, os.Getenv("WAGGLE_URL"), defaultURL), Key: key})
	if err != nil {
		return err
	}
	if d.base, err = readImageSet(d.images, "train"); err != nil {
		return err
	}
	if d.query, err = readImageSet(d.images, "t10k"); err != nil {
		return err
	}
	d.query.images = d.query.images[:min(d.queriesMax, len(d.query.images))]
	return nil
}

// load stores every training image, its label and its class as payload.
func (d *demo) load(ctx context.Context, out io.Writer) error {
	if _, err := d.client.DeleteCollection(ctx, demoCollection); err != nil {
		return err
	}
	if err := d.client.CreateCollection(ctx, demoCollection, client.VectorParams{Size: pixels, Distance: client.Euclid}); err != nil {
		return err
	}
	bar := startBar(d.errOut, "loading", len(d.base.images))
	began := time.Now()
	err := parallel(ctx, d.clients, (len(d.base.images)+demoBatch-1)/demoBatch, func(ctx context.Context, batch int) error {
		from := batch * demoBatch
		to := min(from+demoBatch, len(d.base.images))
		points := make([]client.Point, 0, to-from)
		for i := from; i < to; i++ {
			points = append(points, d.point(i))
		}
		defer bar.add(to - from)
		return d.client.Upsert(ctx, demoCollection, points)
	})
	bar.stop()
	if err != nil {
		return err
	}
	took := time.Since(began)
	n, err := d.client.Count(ctx, demoCollection, nil)
	if err != nil {
		return err
	}
	if int(n) != len(d.base.images) {
		return fmt.Errorf("%d points are stored, %d were sent", n, len(d.base.images))
	}
	fmt.Fprintf(out, "loaded   %d points of %d dimensions in %.1f s: %.0f points/s, %d clients, acknowledged and durable\n",
		n, pixels, took.Seconds(), float64(n)/took.Seconds(), d.clients)
	return nil
}

func (d *demo) point(i int) client.Point {
	return client.Point{
		ID:     client.NumID(uint64(i)),
		Vector: d.base.images[i].vector(),
		Payload: map[string]any{
			"label": d.base.labels[i], "class": classNames[d.base.labels[i]],
		},
	}
}

// awaitGraph waits until every point is in the graph.
func (d *demo) awaitGraph(ctx context.Context, out io.Writer) error {
	began := time.Now()
	bar := startBar(d.errOut, "building the graph", len(d.base.images))
	defer bar.stop()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	done := 0
	for {
		info, err := d.client.GetCollection(ctx, demoCollection)
		if err != nil {
			return err
		}
		bar.add(int(info.IndexedVectorsCount) - done)
		if done = int(info.IndexedVectorsCount); info.Status == "green" {
			fmt.Fprintf(out, "graph    all %d points in it %.1f s after the exact answer was known\n", done, time.Since(began).Seconds())
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// searchAll asks for the neighbours of the test images, one for each of truth,
// and prints recall and speed. It returns the found ids by query.
func (d *demo) searchAll(ctx context.Context, out io.Writer, clients int, p client.Params, truth []int32) ([][]int, error) {
	n := len(truth)
	found := make([][]int, n)
	times := make([]time.Duration, n)
	how := fmt.Sprintf("hnsw_ef %d", p.EfSearch)
	if p.Exact {
		how = "exact"
	}
	bar := startBar(d.errOut, fmt.Sprintf("%s, %d client(s)", how, clients), n)
	began := time.Now()
	err := parallel(ctx, clients, n, func(ctx context.Context, i int) error {
		defer bar.add(1)
		start := time.Now()
		var err error
		found[i], err = d.ask(ctx, i, p)
		times[i] = time.Since(start)
		return err
	})
	bar.stop()
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	slices.Sort(times)
	fmt.Fprintf(out, "%-12s %d client(s), %5d queries: recall@%d %.4f, %6.0f queries/s, p50 %.2f ms, p99 %.2f ms\n",
		how, clients, n, demoTopK, recall(found, truth, d.base, d.query), float64(n)/took.Seconds(), ms(times[n/2]), ms(times[n*99/100]))
	return found, nil
}

// ask returns the ids of the images nearest to the i-th test image.
func (d *demo) ask(ctx context.Context, i int, p client.Params) ([]int, error) {
	hits, err := d.client.Query(ctx, demoCollection, client.QueryRequest{Vector: d.query.images[i].vector(), Limit: demoTopK, Params: p})
	ids := make([]int, 0, len(hits))
	for _, h := range hits {
		id, _ := h.ID.Num()
		ids = append(ids, int(id))
	}
	return ids, err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// parallel calls fn for 0 to n-1 from some goroutines and returns the first
// error, after which no more are begun.
func parallel(ctx context.Context, goroutines, n int, fn func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := fn(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}
