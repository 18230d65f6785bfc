package persistence

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hivehub/waggle/persistence/disk"
)

// crashLog is a log of scripts in which keys are written, replaced and deleted.
func crashLog() []CommittedEntry {
	var log []CommittedEntry
	for i := range 24 {
		index := uint64(i + 1)
		log = append(log, CommittedEntry{Index: index, Term: 1, Data: script(
			sput(5, string(pointKey(1, index<<16)), fmt.Sprintf("record %d", i)),
			sput(6, fmt.Sprint("id", i%5), fmt.Sprint(i)),
			sdel(6, fmt.Sprint("id", (i+2)%5)),
		)})
	}
	return log
}

// digests returns the digest after each index of the log.
func digests(t *testing.T, log []CommittedEntry) [][16]byte {
	p := openScript(t, must(OpenMem(disk.NewMem(1), "twin"))(t))
	all := [][16]byte{p.Digest()}
	for i := range log {
		p.Apply(log[i : i+1])
		all = append(all, p.Digest())
	}
	return all
}

// TestMemCrashAtEveryOperation stops a run of checkpoints at its n-th disk
// operation, for every n, cuts the power, and opens the store again: it must
// be at the last checkpoint whose Write succeeded or at the one that was being
// written, whole, and the log's rest must lead to the same end.
func TestMemCrashAtEveryOperation(t *testing.T) {
	log := crashLog()
	want := digests(t, log)
	for n := 1; ; n++ {
		for seed := range uint64(5) {
			d := disk.NewMem(seed)
			d.FailAt(n, errors.New("disk stopped"))
			durable, writing := crashRun(t, d, log)
			d.Crash()
			s, err := OpenMem(d, "p.img")
			if err != nil {
				t.Fatalf("operation %d, seed %d: %v", n, seed, err)
			}
			at := s.Meta().Applied
			if at != durable && at != writing {
				t.Fatalf("operation %d, seed %d: store at %d, checkpoint %d written, %d running", n, seed, at, durable, writing)
			}
			p := openScript(t, s)
			if got := must(p.Recount())(t); got != want[at] {
				t.Fatalf("operation %d, seed %d: digest at %d is %x, want %x", n, seed, at, got, want[at])
			}
			p.Apply(log)
			if got := must(p.Recount())(t); got != want[len(log)] {
				t.Fatalf("operation %d, seed %d: digest at the end is %x, want %x", n, seed, got, want[len(log)])
			}
			if durable == uint64(len(log)) {
				return // nothing failed
			}
		}
	}
}

// crashRun applies the log with a checkpoint after every fourth entry until the
// disk fails. It returns the last checkpoint written and the one begun.
func crashRun(t *testing.T, d *disk.Mem, log []CommittedEntry) (durable, writing uint64) {
	p := openScript(t, must(OpenMem(d, "p.img"))(t))
	for i := 0; i < len(log); i += 4 {
		p.Apply(log[i : i+4])
		c, ok := p.BeginCheckpoint()
		if !ok {
			t.Fatal("no checkpoint")
		}
		writing = c.meta.Applied
		if err := c.Write(); err != nil {
			if err := c.Write(); err == nil {
				t.Fatal("a failed commit was taken back")
			}
			return durable, writing
		}
		durable = c.Finish()
	}
	return durable, writing
}
