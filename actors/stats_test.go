package actors_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
)

// What is stuck shows: a write that waits for the disk, and a change that no
// checkpoint has stored.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := actorstest.Options{Machine: func(uint64) collection.StateMachine { return echo{} }}
		k := actorstest.Start(t, o)
		r := k.Node.Partition(0)
		before := k.Node.Stats()
		if before.Leads != k.Node.Partitions()+1 || before.Replicas != before.Leads || before.WithoutLeader != 0 {
			t.Errorf("%d replicas, %d lead, %d without a leader", before.Replicas, before.Leads, before.WithoutLeader)
		}
		k.Disk.Hold()
		done := make(chan error)
		go func() {
			_, err := propose(t.Context(), r, "a", "one")
			done <- err
		}()
		<-time.After(2 * time.Second)
		if s := k.Node.Stats(); s.Waiting != 1 || s.WaitingBytes != 3 || s.Proposals.Count != before.Proposals.Count {
			t.Errorf("held: %+v", s)
		}
		k.Disk.Release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s := k.Node.Stats()
		if s.Waiting != 0 || s.Proposals.Count != before.Proposals.Count+1 || s.Proposals.Sum < 2*time.Second || s.Flushes.Sum-before.Flushes.Sum < 2*time.Second {
			t.Errorf("released: %+v", s)
		}
		if n := len(actors.TimeBounds); s.Proposals.UpTo[n-1] != s.Proposals.Count || s.Proposals.UpTo[0] == s.Proposals.Count {
			t.Errorf("buckets %v of %d", s.Proposals.UpTo, s.Proposals.Count)
		}
		if s.FlushedBytes <= before.FlushedBytes {
			t.Errorf("%d bytes flushed", s.FlushedBytes)
		}
		<-time.After(10 * time.Second)
		if s = k.Node.Stats(); s.CheckpointAge < 10*time.Second || s.CheckpointAge > 13*time.Second {
			t.Errorf("age %v after 10 s", s.CheckpointAge)
		}
		<-time.After(25 * time.Second) // the checkpoint is due after 30
		synctest.Wait()
		if s = k.Node.Stats(); s.CheckpointAge != 0 || s.Checkpoints.Count <= before.Checkpoints.Count {
			t.Errorf("age %v after a checkpoint of %d", s.CheckpointAge, s.Checkpoints.Count)
		}
	})
}
