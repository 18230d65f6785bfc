package persistence

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
)

func memPartition(t *testing.T) *Partition {
	t.Helper()
	return openScript(t, must(OpenMem(disk.NewMem(1), "p.img"))(t))
}

func readPartition(t *testing.T, p *Partition) content {
	t.Helper()
	v := must(p.View())(t)
	defer v.Close()
	return must(read(v))(t)
}

func TestApplySkipsWhatItHas(t *testing.T) {
	p := memPartition(t)
	one := CommittedEntry{Index: 1, Term: 3, Data: script(sput(2, "a", "1"), sget(2, "a"), sevent(4))}
	two := CommittedEntry{Index: 2, Term: 4, Data: script(sput(2, "a", "2"))}
	if out := p.Apply([]CommittedEntry{one}); !cmp.Equal(out[0].Answer, []string{"1"}) {
		t.Error(out)
	}
	out := p.Apply([]CommittedEntry{one, two, one})
	if out[0].Answer != nil || out[0].Events != nil || out[2].Answer != nil || out[1].Err != nil {
		t.Error(out)
	}
	if diff := cmp.Diff(content{"2/61": "2"}, readPartition(t, p)); diff != "" {
		t.Error(diff)
	}
	if index, term := p.Applied(); index != 2 || term != 4 {
		t.Error(index, term)
	}
}

func TestApplyRefusesGaps(t *testing.T) {
	p := memPartition(t)
	defer func() {
		if r := recover(); r != "BUG: entry 2 applied after 0" {
			t.Error(r)
		}
	}()
	p.Apply([]CommittedEntry{{Index: 2}})
}

func TestApplyNoOpAndConfState(t *testing.T) {
	s := must(OpenMem(disk.NewMem(1), "p.img"))(t)
	start := PartitionOptions{Start: Meta{Applied: 1, Term: 1, ConfState: []byte("one")}}
	p := must(OpenPartition(s, scriptMachine{}, start))(t)
	if index, term := p.Applied(); index != 1 || term != 1 || string(p.ConfState()) != "one" {
		t.Error(index, term, p.ConfState())
	}
	p.Apply([]CommittedEntry{{Index: 2, Term: 2}, {Index: 3, Term: 2, ConfState: []byte("two"), Data: []byte("raft's")}})
	if string(p.ConfState()) != "two" || p.DeltaBytes() != 0 {
		t.Error(p.ConfState(), p.DeltaBytes())
	}
	checkpoint(t, p)
	if diff := cmp.Diff(Meta{Applied: 3, Term: 2, ConfState: []byte("two")}, s.Meta()); diff != "" {
		t.Error(diff)
	}
	if _, ok := p.BeginCheckpoint(); ok {
		t.Error("a checkpoint of nothing")
	}
	again := must(OpenPartition(s, scriptMachine{}, start))(t) // Start is for the newborn only
	if index, term := again.Applied(); index != 3 || term != 2 || string(again.ConfState()) != "two" {
		t.Error(index, term, again.ConfState())
	}
}

func TestRefusedEntryLeavesNothing(t *testing.T) {
	p := memPartition(t)
	apply(p, script(sput(2, "kept", "1"), sput(3, "gone", "1"), sdel(4, "never")))
	for _, frozen := range []bool{false, true} {
		if frozen {
			if _, ok := p.BeginCheckpoint(); !ok {
				t.Fatal("no checkpoint")
			}
		}
		before, bytes, digest := readPartition(t, p), p.DeltaBytes(), p.Digest()
		out := apply(p, script(
			sput(2, "kept", "22"), sput(2, "kept", "333"), sdel(2, "kept"), sdel(3, "gone"), sput(4, "never", "x"),
			sput(5, string(pointKey(1, 99)), "x"), sput(7, "new", "1"), sput(7, "new", "2"), sget(7, "new"), sevent(1), step{Do: "refuse"},
		))[0]
		if !errors.Is(out.Err, errRefused) || out.Events != nil {
			t.Error(out)
		}
		if diff := cmp.Diff(before, readPartition(t, p)); diff != "" {
			t.Error(diff)
		}
		if p.DeltaBytes() != bytes || p.Digest() != digest {
			t.Errorf("%d bytes, digest %x", p.DeltaBytes(), p.Digest())
		}
	}
}

func TestDataLossOfTheMachineStopsThePartition(t *testing.T) {
	p := memPartition(t)
	out := apply(p,
		script(sput(2, "a", "1")),
		script(sput(2, "a", "2"), step{Do: "lose"}),
		script(sput(2, "a", "3")),
	)
	for i, want := range []collection.Code{collection.OK, collection.DataLoss, collection.DataLoss} {
		if collection.CodeOf(out[i].Err) != want {
			t.Errorf("entry %d: %v", i+1, out[i].Err)
		}
	}
	if at, _ := p.Applied(); at != 1 {
		t.Errorf("applied %d", at)
	}
	if _, err := p.View(); collection.CodeOf(err) != collection.DataLoss {
		t.Error(err)
	}
	if value, found := p.active.get(2, []byte("a")); string(value) != "1" || !found {
		t.Errorf("a = %q", value)
	}
}

// overlookingMachine goes on after a read that failed.
type overlookingMachine struct{}

// Apply implements collection.StateMachine.
func (overlookingMachine) Apply(tx collection.Txn, _ collection.Entry) collection.Outcome {
	_, _ = tx.Get(2, []byte("a"))
	return collection.Outcome{Answer: "fine", Err: tx.Put(2, []byte("b"), []byte("1"))}
}

func TestOverlookedReadErrorStopsThePartition(t *testing.T) {
	s := must(OpenMem(disk.NewMem(1), "p.img"))(t)
	p := must(OpenPartition(s, overlookingMachine{}, PartitionOptions{}))(t)
	mustClose(t, s)
	if out := apply(p, []byte("x"))[0]; collection.CodeOf(out.Err) != collection.Unavailable {
		t.Error(out)
	}
	if at, _ := p.Applied(); at != 0 || p.Err() == nil || p.DeltaBytes() != 0 {
		t.Error(at, p.Err(), p.DeltaBytes())
	}
}

func TestTxnSeesItsOwnWrites(t *testing.T) {
	p := memPartition(t)
	apply(p, script(sput(2, "a", "1"), sput(2, "b", "1"), sput(2, "d", "1")))
	checkpoint(t, p)
	apply(p, script(sput(2, "b", "2"), sput(2, "c", "2")))
	if _, ok := p.BeginCheckpoint(); !ok {
		t.Fatal("no checkpoint")
	}
	out := apply(p, script(
		sscan(2), sdel(2, "a"), sget(2, "a"), sput(2, "c", "3"), sget(2, "c"), sput(2, "aa", "3"), sdel(2, "nothing"), sscan(2),
	))[0]
	want := []string{"a=1", "b=2", "c=2", "d=1", "", "3", "aa=3", "b=2", "c=3", "d=1"}
	if diff := cmp.Diff(want, out.Answer); diff != "" {
		t.Error(diff)
	}
}

// scratchMachine looks keys up through one slice, as a caller of Get may.
type scratchMachine struct{}

// Apply implements collection.StateMachine.
func (scratchMachine) Apply(tx collection.Txn, _ collection.Entry) collection.Outcome {
	scratch := []byte("a")
	if _, err := tx.Get(2, scratch); err != nil {
		return collection.Outcome{Err: err}
	}
	scratch[0] = 'b'
	if value, err := tx.Get(2, scratch); string(value) != "1" {
		return collection.Outcome{Err: fmt.Errorf("b = %q, %w", value, err)}
	}
	return collection.Outcome{}
}

func TestGetKeepsNoKey(t *testing.T) {
	s := must(OpenMem(disk.NewMem(1), "p.img"))(t)
	if err := s.Commit(Meta{}, seq(put(2, "b", "1"))); err != nil {
		t.Fatal(err)
	}
	p := must(OpenPartition(s, scratchMachine{}, PartitionOptions{}))(t)
	if out := apply(p, []byte("x"))[0]; out.Err != nil {
		t.Error(out.Err)
	}
}

func TestBugsPanic(t *testing.T) {
	for name, s := range map[string]step{
		"empty value":  sput(2, "a", ""),
		"empty key":    sput(2, "", "x"),
		"long key":     sput(2, fmt.Sprintf("%*d", keyBytesMax+1, 1), "x"),
		"bucket 0":     sput(0, "a", "x"),
		"meta bucket":  sput(collection.BucketMeta, "a", "x"),
		"end bucket":   sput(collection.BucketEnd, "a", "x"),
		"delete of it": sdel(collection.BucketMeta, "a"),
	} {
		t.Run(name, func(t *testing.T) {
			p := memPartition(t)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			apply(p, script(s))
		})
	}
}

func TestDeltaBytes(t *testing.T) {
	p := memPartition(t)
	apply(p, script(sput(2, "key", "value")))
	first := p.DeltaBytes()
	if first != 8+itemOverhead {
		t.Errorf("%d bytes", first)
	}
	apply(p, script(sput(2, "key", "longer value")))
	if got := p.DeltaBytes(); got != first+7 {
		t.Errorf("%d bytes", got)
	}
	apply(p, script(sdel(2, "key")))
	c, _ := p.BeginCheckpoint()
	apply(p, script(sput(3, "key", "value")))
	if got := p.DeltaBytes(); got != first+3+itemOverhead {
		t.Errorf("%d bytes with a frozen delta", got)
	}
	if err := c.Write(); err != nil {
		t.Fatal(err)
	}
	c.Finish()
	if got := p.DeltaBytes(); got != first {
		t.Errorf("%d bytes after the checkpoint", got)
	}
}

func TestFailedCheckpoint(t *testing.T) {
	d := disk.NewMem(1)
	p := openScript(t, must(OpenMem(d, "p.img"))(t))
	apply(p, script(sput(2, "a", "1")))
	c, _ := p.BeginCheckpoint()
	failed := errors.New("disk failed")
	d.FailAt(1, failed)
	if err := c.Write(); !errors.Is(err, failed) || collection.CodeOf(err) == collection.DataLoss {
		t.Error(err)
	}
	if p.Err() != nil {
		t.Error(p.Err()) // the data is not lost: it is in the log
	}
	defer func() {
		if recover() == nil {
			t.Error("a failed checkpoint was finished")
		}
	}()
	c.Finish()
}

func TestDigestIsOfTheFormat(t *testing.T) {
	var d digest
	d.add(5, []byte("key"), []byte("value"))
	one := d
	if got := fmt.Sprintf("%x", d.bytes()); got != "53d79d51f61d447d7c3a630bc3b2f370" {
		t.Errorf("digest of one key is %s: replicas of another version would disagree", got)
	}
	d.add(5, []byte("ke"), []byte("yvalue"))
	d.add(6, []byte("key"), []byte("value"))
	if digestOf(d.bytes()) != d {
		t.Error("digest does not survive its bytes")
	}
	d.sub(5, []byte("ke"), []byte("yvalue"))
	if d == one {
		t.Error("the bucket does not count")
	}
	d.sub(6, []byte("key"), []byte("value"))
	if d != one {
		t.Error("sub is not the inverse of add")
	}
	d.sub(5, []byte("key"), []byte("value"))
	if d != (digest{}) {
		t.Error("nothing has a digest")
	}
}

func TestRecountFindsWhatIsMissing(t *testing.T) {
	d := disk.NewMem(1)
	s := must(OpenMem(d, "p.img"))(t)
	p := openScript(t, s)
	apply(p, script(sput(2, "a", "1"), sput(2, "b", "1")))
	checkpoint(t, p)
	if err := s.Commit(s.Meta(), seq(del(2, "b"))); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Recount(); collection.CodeOf(err) != collection.DataLoss {
		t.Error(err)
	}
	if collection.CodeOf(p.Err()) != collection.DataLoss {
		t.Error(p.Err())
	}
}

// hookedStore calls before ahead of its first view.
type hookedStore struct {
	Store
	before func()
}

// View implements Store.
func (s *hookedStore) View() (collection.View, error) {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	return s.Store.View()
}

// TestViewOvertakenByCheckpoints lets two checkpoints pass between the moment a
// view takes its delta and the moment it takes its store.
func TestViewOvertakenByCheckpoints(t *testing.T) {
	s := &hookedStore{Store: must(OpenMem(disk.NewMem(1), "p.img"))(t)}
	p := openScript(t, s)
	apply(p, script(sput(2, "a", "1"), sput(2, "b", "1")))
	s.before = func() {
		checkpoint(t, p)
		apply(p, script(sput(2, "a", "2"), sdel(2, "b"), sput(2, "c", "2")))
		checkpoint(t, p)
	}
	v := must(p.View())(t)
	defer v.Close()
	want := content{"2/61": "2", "2/63": "2"}
	if diff := cmp.Diff(want, must(read(v))(t)); diff != "" || v.AppliedIndex() != 2 {
		t.Error(v.AppliedIndex(), diff)
	}
}
