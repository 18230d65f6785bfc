package actors

import (
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/actors/driver"
)

// Stats are what a node has done since its start, and what it has to do.
type Stats struct {
	Replicas      int // groups with a replica here
	Leads         int // of them those that it leads
	WithoutLeader int // of them those whose leader is not known here
	LeaderChanges uint64
	Waiting       int64  // proposals that wait for their outcome
	WaitingBytes  int64  // and their size
	ApplyLag      uint64 // entries that are committed and not applied, of all replicas
	Proposals     Times  // from a proposal to its outcome, refusals included

	Flushes      Times // of the node log
	FlushedBytes uint64

	Checkpoints   Times
	CheckpointAge time.Duration // for how long the oldest change waits that no checkpoint has stored

	ImagesSending                            int
	ImagesSent, ImagesFailed, ImagesReceived uint64
}

// counters are what the parts of a node count for Stats.
type counters struct {
	deltaBytes     atomic.Int64
	leaderChanges  atomic.Uint64
	proposals      Stopwatch
	checkpoints    Stopwatch
	imagesSending  atomic.Int64
	imagesSent     atomic.Uint64
	imagesFailed   atomic.Uint64
	imagesReceived atomic.Uint64
}

// Stats reads the counters, and asks no actor.
func (n *Node) Stats() Stats {
	c := &n.counters
	s := Stats{
		LeaderChanges: c.leaderChanges.Load(), Proposals: c.proposals.Times(), Checkpoints: c.checkpoints.Times(),
		Flushes: n.writer.flushes.Times(), FlushedBytes: n.writer.flushedBytes.Load(),
		ImagesSending: int(c.imagesSending.Load()), ImagesSent: c.imagesSent.Load(),
		ImagesFailed: c.imagesFailed.Load(), ImagesReceived: c.imagesReceived.Load(),
	}
	now := time.Now()
	for _, r := range n.replicas {
		s.add(r, now)
	}
	return s
}

func (s *Stats) add(r *Replica, now time.Time) {
	if !r.Here() {
		return
	}
	s.Replicas++
	status := r.Status()
	if status.Role == driver.Leader {
		s.Leads++
	}
	if status.Leader == 0 {
		s.WithoutLeader++
	}
	if status.Commit > status.Applied {
		s.ApplyLag += status.Commit - status.Applied
	}
	s.Waiting += atomic.LoadInt64(&r.admission.requests)
	s.WaitingBytes += atomic.LoadInt64(&r.admission.bytes)
	if since := r.unstored.Load(); since > 0 {
		s.CheckpointAge = max(s.CheckpointAge, now.Sub(time.Unix(0, since)))
	}
}
