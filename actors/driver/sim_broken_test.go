package driver_test

import (
	"iter"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// mutant is a fault built into the world around the driver. The simulation is
// worth what it finds: a mutant that it no longer catches fails a test.
type mutant int

const (
	sound             mutant = iota
	ackBeforeFsync           // the log is told to be durable before it is
	forgetHardState          // term and vote are not written
	applyTwice               // the store records an older applied index than its state has
	cutTooEarly              // the log is cut up to what is applied, not what is stored
	takeTorn                 // a batch that the crash tore is taken for good
	driftingApply            // apply depends on the node
	readWithoutRound         // a leader reads without asking a majority
	deleteTooEarly           // a replica goes while voters may still count its vote
	reuseReplica             // a wiped disk comes back as the replica that it was
	storeBeforeSwitch        // an image takes the store's place before the log says so
)

func TestSimCatchesBrokenVariants(t *testing.T) {
	for _, c := range []struct {
		name   string
		mutant mutant
		seeds  uint64 // within which it must be caught
	}{
		{"ack before fsync", ackBeforeFsync, 20},
		{"forgotten hard state", forgetHardState, 20},
		{"applied twice", applyTwice, 20},
		{"log cut too early", cutTooEarly, 20},
		{"torn batch taken for good", takeTorn, 40},
		{"apply that drifts", driftingApply, 20},
		{"read without a round", readWithoutRound, 150},
		{"data deleted too early", deleteTooEarly, 150},
		{"replica id used again", reuseReplica, 40},
		{"image without its record", storeBeforeSwitch, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= c.seeds; seed++ {
				if w := simulate(seed, c.mutant); w.violation != "" {
					line, _, _ := strings.Cut(w.violation, "\n")
					t.Logf("seed %d: %s", seed, line)
					return
				}
			}
			t.Fatalf("%d seeds have not caught it", c.seeds)
		})
	}
}

// disk is the disk as the process has it.
func (m mutant) disk(d disk.Disk) disk.Disk {
	if m == ackBeforeFsync {
		return hastyDisk{Disk: d, owed: new(disk.File)}
	}
	return d
}

// hastyDisk answers a sync of the log's files at once, and does it before the
// next write.
type hastyDisk struct {
	disk.Disk
	owed *disk.File
}

func (d hastyDisk) Create(name string) (disk.File, error) {
	f, err := d.Disk.Create(name)
	return d.hasten(name, f), err
}

func (d hastyDisk) Open(name string) (disk.File, error) {
	f, err := d.Disk.Open(name)
	return d.hasten(name, f), err
}

func (d hastyDisk) hasten(name string, f disk.File) disk.File {
	if f == nil || !strings.HasPrefix(name, "log/") {
		return f
	}
	return hastyFile{File: f, owed: d.owed}
}

type hastyFile struct {
	disk.File
	owed *disk.File
}

func (f hastyFile) Sync() error {
	*f.owed = f.File
	return nil
}

func (f hastyFile) WriteAt(b []byte, at int64) (int, error) {
	if owed := *f.owed; owed != nil {
		*f.owed = nil
		if err := owed.Sync(); err != nil {
			return 0, err
		}
	}
	return f.File.WriteAt(b, at)
}

// append is an append on its way to the log.
func (m mutant) append(a nodelog.Append) nodelog.Append {
	if m == forgetHardState {
		a.HardState = nil
	}
	return a
}

// store is a replica's store.
func (m mutant) store(s persistence.Store) persistence.Store {
	if m == applyTwice {
		return &staleStore{Store: s}
	}
	return s
}

// staleStore commits the applied index of the commit before.
type staleStore struct {
	persistence.Store
	last persistence.Meta
}

func (s *staleStore) Commit(meta persistence.Meta, changes iter.Seq[persistence.Change]) error {
	stale := meta
	if s.last.Applied != 0 {
		stale.Applied, stale.Term = s.last.Applied, s.last.Term
	}
	s.last = meta
	return s.Store.Commit(stale, changes)
}

// applied comes after each run of entries that a replica has applied.
func (m mutant) applied(r *member) {
	if m == cutTooEarly && r.node.w.chance(5) {
		index, _ := r.partition.Applied()
		r.cut(index)
	}
}

// recover comes when a process has opened its log.
func (m mutant) recover(n *node) error {
	pending := n.pending
	n.pending = nil
	if m != takeTorn {
		return nil
	}
	for _, a := range pending {
		if last, err := n.log.Group(a.Group).LastIndex(); err != nil || len(a.Entries) == 0 || a.Entries[0].GetIndex() != last+1 {
			continue
		}
		torn := a
		torn.Entries = nil
		for _, e := range a.Entries {
			e := proto.Clone(e).(*raftpb.Entry)
			clear(e.Data[len(e.GetData())/2:])
			torn.Entries = append(torn.Entries, e)
		}
		if err := n.log.Write([]nodelog.Append{torn}); err != nil {
			return err
		}
	}
	return nil
}

// machine is the state machine of a node; 0 is the twin's.
func (m mutant) machine(node int) collection.StateMachine {
	if m == driftingApply {
		return drifting{node: node}
	}
	return collection.Machine{}
}

// drifting leaves a trace of its node now and then.
type drifting struct {
	collection.Machine
	node int
}

func (d drifting) Apply(tx collection.Txn, e collection.Entry) collection.Outcome {
	o := d.Machine.Apply(tx, e)
	if o.Err == nil && e.Index%16 == 0 {
		if err := tx.Put(collection.BucketCounters, []byte("drift"), []byte{byte(d.node) + 1}); err != nil {
			o.Err = err
		}
	}
	return o
}

// readIndex answers a read on the spot.
func (m mutant) readIndex(s driver.Status) (uint64, bool) {
	return s.Commit, m == readWithoutRound && s.Role == driver.Leader
}
