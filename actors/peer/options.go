package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"go.etcd.io/raft/v3/raftpb"
)

// Lane is one kind of traffic with a connection of its own.
type Lane uint8

// The lanes, in order of urgency.
const (
	Heartbeats Lane = iota
	Appends
	Requests
	Bulk
	laneCount
)

var laneNames = [laneCount]string{"heartbeats", "appends", "requests", "bulk"}

func (l Lane) String() string {
	if l < laneCount {
		return laneNames[l]
	}
	return fmt.Sprintf("lane(%d)", uint8(l))
}

// The protocols told apart by ALPN on the one port between nodes.
const (
	ProtocolPeer = "waggle-peer/1"
	ProtocolJoin = "waggle-join/1"
)

// Limits of what can be sent.
const (
	SmallBytesMax   = 64 << 10 // a payload that travels on Requests
	PayloadBytesMax = 64 << 20 // a payload at all
	MetaBytesMax    = 64 << 10 // what describes a transfer
	AnswerBytesMax  = 64 << 10 // what a Commit may answer
)

// The errors of Send and Transfer, to be tested with errors.Is.
var (
	// ErrNotConnected: there is no connection to that node now.
	ErrNotConnected = errors.New("peer is not connected")
	// ErrQueueFull: the lane's queue to that node has no room.
	ErrQueueFull = errors.New("queue to the peer is full")
	// ErrTooLarge: a payload, meta or answer is above its limit.
	ErrTooLarge = errors.New("larger than the transport carries")
	// ErrStopped: the transport was stopped, or the peer left the cluster.
	ErrStopped = errors.New("transport is stopped")
	// ErrRefused: the receiver of a transfer said no; its text follows.
	ErrRefused = errors.New("transfer refused")
	// ErrCorrupt: what arrived was not what was sent.
	ErrCorrupt = errors.New("transfer corrupt")
)

// Identity says which node this is.
type Identity struct {
	Number uint32 // at least 1, never reused in a cluster
	Name   string // at most 255 bytes
}

// Options is what a Transport needs. Raft, Message and Reset must not block.
type Options struct {
	Self    Identity
	Cluster [16]byte

	Listener net.Listener // plain TCP, owned by the transport from Start on
	// TLS gives certificate and ClientCAs (and RootCAs, if the pool for
	// servers is another one). It is asked for each handshake, so that new
	// files take effect without a restart.
	TLS func() *tls.Config
	// Join takes a connection with ALPN waggle-join/1 after its handshake; the
	// client shows no certificate. It runs on a goroutine of its own, must
	// close the connection and return soon after it is closed. May be nil.
	Join func(net.Conn)
	// Address says where a node is now; false for one that is no member. It is
	// asked for each dial.
	Address func(number uint32) (string, bool)
	// Name gives a node's name for the server name of the dial. May be nil;
	// then, or for false, the number stands in its place.
	Name func(number uint32) (string, bool)

	// Raft receives a raft message; from is the node that authenticated.
	Raft func(from uint32, group uint64, m *raftpb.Message)
	// Message receives what the other node gave to Send. The payload is the
	// receiver's.
	Message func(from uint32, payload []byte)
	// Accept decides about an incoming transfer. It may take its time; several
	// may run at once.
	Accept func(from uint32, meta []byte, size int64) (Sink, error)
	// Reset tells that an established Heartbeats connection to or from that
	// node was lost. A node that dies loses both: two calls. May be nil.
	Reset func(number uint32)

	BulkRate int64 // bytes/s of transfers to one peer, 0 = unlimited
	Logger   *slog.Logger
}

// Sink receives one transfer. All calls come from one goroutine, offsets rise
// without holes, and the last call is either Commit or Abort, never both.
type Sink interface {
	// WriteAt stores p, which is the transport's again when it returns. An
	// error ends the transfer.
	WriteAt(p []byte, off int64) (int, error)
	// Commit is called once when all bytes are there and their checksum is
	// right. Its answer, at most AnswerBytesMax, is what Transfer returns; an
	// error cleans up and becomes Transfer's error. ctx ends with the
	// transport or when the sender gives up.
	Commit(ctx context.Context) (answer []byte, err error)
	// Abort drops what was written.
	Abort()
}

// validate finds a programmer's faults.
func (o *Options) validate() {
	switch {
	case o.Self.Number == 0, o.Self.Name == "", len(o.Self.Name) > nameBytesMax:
		panic(fmt.Sprintf("BUG: peer identity %+v", o.Self))
	case o.Listener == nil, o.TLS == nil, o.Address == nil, o.Raft == nil, o.Message == nil, o.Accept == nil:
		panic("BUG: peer options are incomplete")
	}
}
