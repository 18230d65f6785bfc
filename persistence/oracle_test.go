package persistence

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
)

// oracle drives a partition and a map side by side.
type oracle struct {
	open func() (Store, error)
	p    *Partition
	log  []CommittedEntry // index i+1

	model   content            // what the state must be now
	at      map[uint64]content // and was at each index
	running *Checkpoint
	views   []collection.View
	newest  map[string]string // by collection, the newest point key that an entry put and was not refused
}

// TestPartitionOracle applies random entries, some refused, with checkpoints,
// views and restarts at random moments, and compares with a map at every step.
func TestPartitionOracle(t *testing.T) {
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				o := &oracle{open: kind.open(t), model: content{}, at: map[uint64]content{0: {}}, newest: map[string]string{}}
				o.p = openScript(rt, must(o.open())(rt))
				rt.Repeat(map[string]func(*rapid.T){
					"apply":      o.apply,
					"checkpoint": o.checkpoint,
					"view":       o.view,
					"close view": o.closeView,
					"restart":    o.restart,
					"":           o.check,
				})
				o.close(rt)
			})
		})
	}
}

// apply draws some entries, applies them to both, and compares the outcomes.
func (o *oracle) apply(t *rapid.T) {
	before := len(o.log)
	var want []collection.Outcome
	for range rapid.IntRange(1, 4).Draw(t, "entries") {
		want = append(want, o.entry(t))
	}
	got := o.p.Apply(o.log[before:])
	for i := range got {
		if !errors.Is(got[i].Err, want[i].Err) || !cmp.Equal(got[i].Answer, want[i].Answer) {
			t.Fatalf("entry %d: %v, want %v", before+i+1, got[i], want[i])
		}
	}
}

func (o *oracle) entry(t *rapid.T) collection.Outcome {
	index := uint64(len(o.log) + 1)
	next, newest := maps.Clone(o.model), maps.Clone(o.newest)
	var steps []step
	var seen []string
	for i := range rapid.IntRange(0, 6).Draw(t, "steps") {
		bucket := rapid.SampledFrom([]byte{2, 3, 5, 6}).Draw(t, "bucket")
		key := o.key(t, bucket, index, i)
		name := contentKey(bucket, []byte(key))
		do := rapid.IntRange(0, 3).Draw(t, "do")
		if isPoint := bucket == collection.BucketPoints && len(key) == 16; isPoint && do > 1 {
			// What a machine promises: the versions of a collection only grow.
			if of := key[:8]; key > newest[of] {
				newest[of] = key
			} else {
				do = 1
			}
		}
		switch do {
		case 0:
			steps = append(steps, sdel(bucket, key))
			delete(next, name)
		case 1:
			steps = append(steps, sget(bucket, key))
			seen = append(seen, next[name])
		default:
			value := fmt.Sprintf("%d.%d", index, i)
			steps = append(steps, sput(bucket, key, value))
			next[name] = value
		}
	}
	out := collection.Outcome{Answer: seen}
	if rapid.IntRange(0, 4).Draw(t, "refuse") == 0 {
		steps = append(steps, step{Do: "refuse"})
		out = collection.Outcome{Err: errRefused}
	} else {
		o.model, o.newest = next, newest
	}
	o.at[index] = maps.Clone(o.model)
	o.log = append(o.log, CommittedEntry{Index: index, Term: 1 + index/10, Data: script(steps...)})
	return out
}

// key draws a key of a few; a point's is often a new version.
func (o *oracle) key(t *rapid.T, bucket byte, index uint64, ordinal int) string {
	if bucket != collection.BucketPoints {
		return rapid.SampledFrom([]string{"a", "b", "bb", "c", "d", "e"}).Draw(t, "key")
	}
	version := index<<16 | uint64(ordinal)
	switch rapid.IntRange(0, 3).Draw(t, "version") {
	case 0: // one of the past, or of the future
		version = rapid.Uint64Range(1, index+1).Draw(t, "index") << 16
	case 1:
		return rapid.SampledFrom([]string{"x", "no version", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"}).Draw(t, "key")
	}
	return string(pointKey(rapid.Uint64Range(1, 2).Draw(t, "collection"), version))
}

// checkpoint takes the next step of a checkpoint.
func (o *oracle) checkpoint(t *rapid.T) {
	switch {
	case o.running == nil:
		c, ok := o.p.BeginCheckpoint()
		if _, second := o.p.BeginCheckpoint(); second {
			t.Fatal("two checkpoints at once")
		}
		if ok {
			o.running = c
		}
	case !o.running.written:
		if err := o.running.Write(); err != nil {
			t.Fatal(err)
		}
	default:
		at := o.running.Finish()
		if o.p.base.Load().store.Meta().Applied != at {
			t.Fatalf("finished at %d, store at %d", at, o.p.base.Load().store.Meta().Applied)
		}
		o.running = nil
	}
}

func (o *oracle) view(t *rapid.T) {
	o.views = append(o.views, must(o.p.View())(t))
}

func (o *oracle) closeView(t *rapid.T) {
	if len(o.views) == 0 {
		return
	}
	i := rapid.IntRange(0, len(o.views)-1).Draw(t, "view")
	o.views[i].Close()
	o.views = slices.Delete(o.views, i, i+1)
}

// restart loses what is in memory and applies the log again, some of it twice.
func (o *oracle) restart(t *rapid.T) {
	digest := o.p.Digest()
	o.close(t)
	o.p = openScript(t, must(o.open())(t))
	applied, _ := o.p.Applied()
	again := rapid.Uint64Range(0, applied).Draw(t, "again from")
	o.p.Apply(o.log[again:])
	if got := o.p.Digest(); got != digest {
		t.Fatalf("digest %x before the restart, %x after it", digest, got)
	}
}

func (o *oracle) close(t *rapid.T) {
	for _, v := range o.views {
		v.Close()
	}
	o.views, o.running = nil, nil
	mustClose(t, o.p)
}

func (o *oracle) check(t *rapid.T) {
	now := must(o.p.View())(t)
	defer now.Close()
	if applied, _ := o.p.Applied(); now.AppliedIndex() != applied || int(applied) != len(o.log) {
		t.Fatalf("view at %d, applied %d of %d", now.AppliedIndex(), applied, len(o.log))
	}
	for _, v := range append(o.views, now) {
		want := o.at[v.AppliedIndex()]
		if diff := cmp.Diff(want, must(read(v))(t)); diff != "" {
			t.Fatalf("view at %d: %s", v.AppliedIndex(), diff)
		}
		for name := range o.model {
			var bucket byte
			var key []byte
			if _, err := fmt.Sscanf(name, "%d/%x", &bucket, &key); err != nil {
				t.Fatal(err)
			}
			if value := must(v.Get(bucket, key))(t); string(value) != want[name] {
				t.Fatalf("view at %d: get %s = %q, want %q", v.AppliedIndex(), name, value, want[name])
			}
		}
	}
	digest := must(o.p.Recount())(t)
	if kept, twin := o.p.Digest(), o.twin(t); digest != kept || digest != twin {
		t.Fatalf("recounted %x, kept %x, a twin without checkpoints has %x", digest, kept, twin)
	}
}

// twin applies the log to a new partition that makes no checkpoint.
func (o *oracle) twin(t *rapid.T) [16]byte {
	p := openScript(t, must(OpenMem(disk.NewMem(1), "twin"))(t))
	for i := range o.log {
		p.Apply(o.log[i : i+1])
	}
	return p.Digest()
}
