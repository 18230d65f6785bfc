package grains

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index/hnsw"
	"github.com/hivehub/waggle/index/scratch"
	"github.com/hivehub/waggle/persistence/disk"
)

// When the graph of an active collection is written: at passivation if anything
// changed, and before that when a crash would lose much.
const (
	saveShare = 5               // one vector in so many changed, or
	saveAfter = 5 * time.Minute // anything did so long ago,
	savePause = 50              // but not before so many times as long passed as the last file took,
	saveLeast = 10 * time.Second
	saveEvery = 5 * time.Second // how often all of that is looked at

	saveAtStopMax = 10 * time.Second // what of all graphs is not written by then is built again
)

// keeping is what a live index knows of its file.
type keeping struct {
	changes atomic.Int64 // vectors that came or went since the file was written
	since   atomic.Int64 // when it was written, or the index loaded: Unix nanoseconds
	took    atomic.Int64 // writing it: nanoseconds
}

// due reports whether a graph of so many vectors, of which others wait, is to
// be written while it is active.
func (k *keeping) due(now time.Time, linked, waiting int) bool {
	changes := k.changes.Load() - int64(waiting) // what waits is in no file
	since := now.Sub(time.Unix(0, k.since.Load()))
	if changes <= 0 || since < max(saveLeast, savePause*time.Duration(k.took.Load())) {
		return false
	}
	return saveShare*changes >= int64(linked) || since >= saveAfter
}

// newIndexFiles returns the index files in a directory, or none where there
// cannot be any: they are worth a warning, not a node.
func (c *Client) newIndexFiles(dir string) *indexFiles {
	if dir == "" {
		return openIndexFiles(nil, c.log)
	}
	d, err := disk.OS(dir)
	if err != nil {
		c.log.Warn("graphs are not kept in files", "dir", dir, "err", err)
		return openIndexFiles(nil, c.log)
	}
	f := openIndexFiles(d, c.log)
	if err := scratch.Clean(dir); err != nil {
		c.log.Warn("what a crash left cannot be removed", "dir", dir, "err", err)
	}
	f.dir = dir
	return f
}

// save writes the graph of a table to its file, as well as it can: without the
// file there is only more to build. It reports whether there is a new file.
func (c *Client) save(ctx context.Context, h *handle, t *table) bool {
	if c.files.disk == nil || t.live.dropped.Load() || t.linked() == 0 {
		return false
	}
	k := t.fileKey(h)
	changes, begun := t.keeping.changes.Load(), time.Now()
	waiting := int64(t.waiting())
	done, err := c.files.save(ctx, k, t.dense.WriteTo, func() bool { return !t.live.dropped.Load() })
	if err != nil && ctx.Err() == nil {
		c.files.warn("a graph could not be written to its file", k, err)
	}
	if err != nil || done {
		t.keeping.since.Store(begun.UnixNano())
		t.keeping.took.Store(int64(time.Since(begun)))
	}
	if done {
		t.keeping.changes.Add(-max(0, changes-waiting))
	}
	return done
}

func (t *table) fileKey(h *handle) fileKey {
	return fileKey{h.replica.Group() - 1, h.key.collection, t.ref.Number}
}

// graphs are the tables that have a graph, or will have one.
func (l *liveIndex) graphs() []*table { return l.tables[:len(l.info.Config.Vectors)] }

// saveLoop writes the graphs of active collections, one at a time.
func (c *Client) saveLoop() {
	every := time.NewTicker(saveEvery)
	defer every.Stop()
	for {
		select {
		case now := <-every.C:
			c.saveDue(now)
		case <-c.background.Done():
			return
		}
	}
}

func (c *Client) saveDue(now time.Time) {
	for _, h := range c.directory.all() {
		l := h.live.Load()
		if l == nil {
			continue
		}
		for _, t := range l.graphs() {
			if !t.keeping.due(now, t.linked(), t.waiting()) || !c.directory.pin(h) {
				continue
			}
			if c.save(c.background, h, t) {
				c.share(h, t)
			}
			c.directory.release(h)
		}
	}
}

// saveRetired writes the graphs of an index that was passivated, if their files
// are not as they are.
func (c *Client) saveRetired(ctx context.Context, h *handle) {
	l := h.live.Load()
	if l == nil {
		return
	}
	for _, t := range l.graphs() {
		if t.keeping.changes.Load() > int64(t.waiting()) {
			c.save(ctx, h, t)
		}
	}
}

// sweepFiles removes the index files of a partition's collections that are
// deleted, or have no points.
func (c *Client) sweepFiles(r *actors.Replica) {
	keys := c.files.of(r.Group() - 1)
	if len(keys) == 0 {
		return
	}
	view, err := r.View()
	if err != nil {
		return // there is time at the next start
	}
	defer view.Close()
	for _, k := range keys {
		has := false
		err := collection.ScanIDs(view, k.collection, nil, func(collection.PointID, uint64) bool {
			has = true
			return false
		})
		if err == nil && !has {
			c.files.remove(k)
		}
	}
}

// begin makes the graphs what their files say, or leaves them empty. Until the
// end of the load points are added by way of each table's add.
func (l *liveIndex) begin(files *indexFiles, partition uint64) {
	for _, t := range l.graphs() {
		t.begin(files, fileKey{partition, l.info.ID, t.ref.Number})
	}
}

func (t *table) begin(files *indexFiles, k fileKey) {
	c := t.live.info.Config
	v := c.Vectors[t.ref.Number]
	var loading *hnsw.Loading
	ok := files.load(k, func(r io.Reader) (err error) {
		loading, err = hnsw.Read(r, v.Size, v.Distance.Metric(), placedOptions(c, v, files.dir))
		return err
	})
	if !ok {
		return
	}
	t.add = loading.Add
	t.done = func() {
		missing := loading.Missing()
		t.dense = loading.Done()
		t.keeping.changes.Store(int64(missing))
	}
}
