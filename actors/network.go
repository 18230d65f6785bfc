package actors

import (
	"context"
	"io"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/collection"
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
//
// A node that stops takes no leadership any more that it would have to hand over.
func (n *Node) ReceiveRaft(from uint32, group uint64, m *raftpb.Message) {
	if n.leaving.Load() && m.GetType() == raftpb.MsgTimeoutNow {
		return
	}
	if group < uint64(len(n.replicas)) && memberOf(m.GetFrom()) == from {
		n.replicas[group].Step(m)
	}
}

// Sink takes a transfer in: pieces in order, then either Commit or Abort. A
// peer.Sink is one.
type Sink interface {
	WriteAt(p []byte, off int64) (int, error)
	Commit(ctx context.Context) (answer []byte, err error)
	Abort()
}

// TransferHandler decides about an incoming transfer: an error refuses it.
type TransferHandler func(from uint32, meta []byte, size int64) (Sink, error)

// HandleTransfers registers who takes transfers of a kind, see Transfer.
func (n *Node) HandleTransfers(kind byte, h TransferHandler) { n.transfers.Store(kind, h) }

// Transfer sends size bytes of r to another node's handler of that kind.
func (n *Node) Transfer(ctx context.Context, to uint32, kind byte, meta []byte, size int64, r io.ReaderAt) ([]byte, error) {
	return n.network.Transfer(ctx, to, append([]byte{kind}, meta...), size, r)
}

// ReceiveTransfer takes what another node begins to transfer.
func (n *Node) ReceiveTransfer(from uint32, meta []byte, size int64) (Sink, error) {
	if len(meta) > 0 {
		if h, ok := n.transfers.Load(meta[0]); ok {
			return h.(TransferHandler)(from, meta[1:], size)
		}
	}
	return nil, collection.Errorf(collection.Unavailable, "this node does not take such a transfer now")
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
