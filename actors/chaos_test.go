package actors_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/hubsvc"
)

// Nodes are killed, stopped and cut off, messages lost and delayed, and a
// group moved among five nodes, all by chance and while it is written to.
// Afterwards everything acknowledged is there, the replicas are equal, and
// those that should be gone are.
func TestFaults(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			o := actorstest.ClusterOptions{
				Nodes:  5,
				Actors: actors.Options{CheckpointBytes: 8 << 10, SegmentBytes: 16 << 10, KeepBytes: 4 << 10, CheckpointInterval: 3 * time.Second},
			}
			several(t, o, func(t *testing.T, c *actorstest.Cluster) {
				f := &faults{t: t, c: c, dice: rand.New(rand.NewPCG(seed, 0)), serial: 2}
				f.at = []hubsvc.Replica{voter(1, 1), voter(2, 2), voter(3, 2)}
				c.Place(1, f.at...)
				c.AwaitMembers(1, f.at...)
				stop := make(chan struct{})
				var writer sync.WaitGroup
				written := 0
				writer.Go(func() {
					for ; ; written++ {
						select {
						case <-stop:
							return
						case <-time.After(60 * time.Millisecond):
							c.Write(1, fmt.Sprintf("k%d=%s", written, strings.Repeat("x", 200)))
						}
					}
				})
				for range 25 {
					f.one()
					<-time.After(time.Duration(f.dice.Int64N(int64(2 * time.Second))))
				}
				f.mend()
				c.AwaitMembers(1, f.at...)
				close(stop)
				writer.Wait()
				f.check(written)
			})
		})
	}
}

// faults are what goes wrong with a group of three on five nodes; one node at
// a time is down or cut off, so that a majority can go on.
type faults struct {
	t      *testing.T
	c      *actorstest.Cluster
	dice   *rand.Rand
	at     []hubsvc.Replica
	serial uint32
	victim uint32
	down   bool
}

func (f *faults) mend() {
	f.c.Net.Heal()
	f.c.Net.Worsen(0, 0)
	if f.down {
		f.c.Start(f.victim)
		f.down = false
	}
}

func (f *faults) one() {
	f.mend()
	f.victim = 1 + f.dice.Uint32N(5)
	switch f.dice.IntN(6) {
	case 0:
		f.c.Kill(f.victim)
		f.down = true
	case 1:
		f.c.Stop(f.victim)
		f.down = true
	case 2:
		for other := uint32(1); other <= 5; other++ {
			if other != f.victim {
				f.c.Net.Cut(f.victim, other)
			}
		}
	case 3: // it is not heard, and hears
		for other := uint32(1); other <= 5; other++ {
			if other != f.victim {
				f.c.Net.SilenceWay(f.victim, other)
			}
		}
	case 4:
		f.c.Net.Worsen(100*time.Millisecond, 0.1)
	case 5:
		f.move()
	}
}

// move replaces one replica, when the last move has come to its end.
func (f *faults) move() {
	leader := f.c.Leader(1)
	if leader == nil {
		return
	}
	s := leader.Replicas()[1].Status()
	if s.Joint() || len(s.Voters) != 3 || len(s.Learners) > 0 {
		return
	}
	free := []uint32{1, 2, 3, 4, 5}
	for _, r := range f.at {
		if !slices.Contains(s.Voters, uint64(r.ID)) {
			return
		}
		free = slices.DeleteFunc(free, func(n uint32) bool { return n == r.ID.Member() })
	}
	f.serial++
	f.at = slices.Clone(f.at)
	f.at[f.dice.IntN(3)] = voter(free[f.dice.IntN(2)], f.serial)
	f.c.Place(1, f.at...)
}

func (f *faults) check(written int) {
	f.t.Helper()
	f.c.AwaitEqual(1)
	if written < 100 {
		f.t.Errorf("only %d writes", written)
	}
	for _, m := range f.c.Nodes() {
		wanted := slices.ContainsFunc(f.at, func(r hubsvc.Replica) bool { return r.ID.Member() == m.Number })
		f.c.Await(fmt.Sprintf("node %d has a replica: %t", m.Number, wanted), func() bool { return m.Replicas()[1].Here() == wanted })
		for i := range written {
			if got := m.Read(1, fmt.Sprint("k", i)); wanted && len(got) != 200 {
				f.t.Fatalf("node %d has %q of the acknowledged write %d", m.Number, got, i)
			}
		}
	}
}
