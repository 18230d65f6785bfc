package actors

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
)

// sendMessages gives raft's messages to the network, those to one node together.
func (a *replicaActor) sendMessages(ms []*raftpb.Message) {
	for len(ms) > 0 {
		to, n := memberOf(ms[0].GetTo()), 1
		for n < len(ms) && memberOf(ms[n].GetTo()) == to {
			n++
		}
		a.node.network.Raft(to, a.group, ms[:n])
		ms = ms[n:]
	}
}

// noteStatus shows the driver's state to everybody.
func (a *replicaActor) noteStatus() {
	s := a.driver.Brief()
	before := a.status.Swap(&s)
	led := before != nil && before.Role == driver.Leader
	if s.Role == driver.Leader || !s.Alone() { // the log may have had the news that others vote, too
		a.settle()
	}
	if s.Role == driver.Leader {
		if !led {
			a.node.nowLeads(a.group)
		}
	} else {
		a.queue.drain(a.proposeNow) // to be refused now, not after the disk
	}
	if before != nil && before.Leader != s.Leader && s.Leader != 0 {
		a.node.counters.leaderChanges.Add(1)
	}
	if before == nil || before.Leader != s.Leader || led != (s.Role == driver.Leader) {
		a.changed.Broadcast()
	}
}

// losePeer looks for another leader when the connection to the leader's node
// broke. One replica stands for election at once, and not all of them, so that
// votes are not split; when it is not fit, the others follow by their timeouts.
func (a *replicaActor) losePeer(number uint32) {
	s := a.driver.Brief()
	if memberOf(s.Leader) != number {
		return
	}
	a.driver.ForgetLeader()
	for _, v := range s.Voters {
		if memberOf(v) != number {
			if v == s.Replica {
				a.driver.Campaign()
			}
			return
		}
	}
}

// handOver makes the most advanced voter elsewhere the leader.
func (a *replicaActor) handOver() {
	s := a.driver.Status()
	var to, match uint64
	for _, m := range s.Members {
		if m.Replica != s.Replica && !m.Learner && m.Active && m.Match >= match {
			to, match = m.Replica, m.Match
		}
	}
	if to != 0 {
		a.transferTo(to)
	}
}

// handingOver is a transfer of leadership that waits for the entries that are
// under way: who proposed them would otherwise not learn what became of them.
type handingOver struct {
	to    uint64 // 0: none
	ticks int    // since it began
}

// handOverTicks is how long a transfer may take until this replica takes
// proposals again.
const handOverTicks = 10

// transferTo hands leadership over once nothing is under way. Until then, and
// until the other one leads, proposals are refused as by a replica that does
// not lead; who made them looks for the new leader.
func (a *replicaActor) transferTo(to uint64) {
	if a.handing.to == 0 {
		a.handing = handingOver{to: to}
	}
}

// maybeTransfer goes on with a transfer.
func (a *replicaActor) maybeTransfer() {
	if a.handing.to == 0 {
		return
	}
	a.queue.drain(a.proposeNow)
	s := a.driver.Brief()
	switch {
	case s.Role != driver.Leader || a.handing.ticks > handOverTicks:
		a.handing = handingOver{}
	case s.Pending == 0 && s.Transferee == 0:
		a.driver.TransferLeader(a.handing.to)
	}
}
