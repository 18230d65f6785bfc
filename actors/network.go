package actors

import (
	"context"
	"io"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/hubsvc"
)

// Network is how this node reaches the others, by their numbers; a
// *peer.Transport is one. No method but Transfer waits for anything.
type Network interface {
	// Raft sends messages of one group. They may be lost, and plain heartbeats
	// may wait for Flush.
	Raft(to uint32, group uint64, ms []*raftpb.Message)
	Flush()
	// Send sends one message of a node's actors. An error means that it was not
	// sent; without one it may still be lost.
	Send(to uint32, payload []byte) error
	// Transfer sends size bytes of r and returns the receiver's answer.
	Transfer(ctx context.Context, to uint32, meta []byte, size int64, r io.ReaderAt) ([]byte, error)
	// Connected reports whether what is sent now is likely to arrive.
	Connected(number uint32) bool
}

// alone is the network of a node that has nobody to talk to.
type alone struct{}

func (alone) Raft(uint32, uint64, []*raftpb.Message) {}
func (alone) Flush()                                 {}
func (alone) Connected(uint32) bool                  { return false }
func (alone) Send(uint32, []byte) error              { return errNotConnected() }
func (alone) Transfer(context.Context, uint32, []byte, int64, io.ReaderAt) ([]byte, error) {
	return nil, errNotConnected()
}

// memberOf is the number of the node that has a replica.
func memberOf(replica uint64) uint32 { return hubsvc.ReplicaID(replica).Member() }

// ReceiveRaft takes a message that a peer sent to a group. One whose sender is
// not a replica of that peer is ignored: a node speaks for itself only.
func (n *Node) ReceiveRaft(from uint32, group uint64, m *raftpb.Message) {
	if group < uint64(len(n.replicas)) && memberOf(m.GetFrom()) == from {
		n.replicas[group].Step(m)
	}
}

// PeerLost takes the news that the connection to a node broke. Groups that it
// led look for another leader at once, without waiting out the election
// timeout, and what was asked of it is answered as not known.
func (n *Node) PeerLost(number uint32) {
	n.calls.peerLost(number)
	n.eachActor(func(r *Replica) {
		if memberOf(r.Status().Leader) == number {
			r.send(peerLost{number})
		}
	})
}
