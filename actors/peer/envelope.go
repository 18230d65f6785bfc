package peer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	envelopeHeadBytes = 8 + 4 // group, length
	// entriesMax bounds the memory that a message of empty entries turns into.
	// A leader sends 1 MB of entries of at least 8 bytes.
	entriesMax = 1 << 18

	fieldEntries   = 7
	fieldSnapshot  = 9
	fieldResponses = 14
)

// laneOf says where a raft message goes and whether it must not wait for the
// next Flush: votes, and heartbeats that carry a read's context, because a
// read waits for them. ok is false for what replicas do not say to each other;
// images travel as transfers, never as MsgSnap.
func laneOf(m *raftpb.Message) (l Lane, urgent, ok bool) {
	switch m.GetType() {
	case raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp:
		return Heartbeats, len(m.GetContext()) > 0, true
	case raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp:
		return Heartbeats, true, true
	case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgTimeoutNow:
		return Appends, true, true
	}
	return 0, false, false
}

// sizeOf is about what m takes, without walking through it twice.
func sizeOf(m *raftpb.Message) int {
	n := 64 + len(m.GetContext())
	for _, e := range m.GetEntries() {
		n += len(e.GetData()) + 32
	}
	return n
}

// appendEnvelope appends one message of an envelope.
func appendEnvelope(b []byte, group uint64, m *raftpb.Message) ([]byte, error) {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, group)
	b = append(b, 0, 0, 0, 0)
	out, err := proto.MarshalOptions{}.MarshalAppend(b, m)
	if err != nil {
		return b[:start], err
	}
	binary.LittleEndian.PutUint32(out[start+8:], uint32(len(out)-start-envelopeHeadBytes))
	return out, nil
}

// decodeEnvelope hands out the messages of an envelope that came over lane,
// which alias nothing of body. It stops at the first that breaks a rule.
func decodeEnvelope(body []byte, lane Lane, each func(group uint64, m *raftpb.Message)) error {
	for len(body) > 0 {
		if len(body) < envelopeHeadBytes {
			return errors.New("envelope ends within a head")
		}
		group, n := binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint32(body[8:])
		body = body[envelopeHeadBytes:]
		if uint64(n) > uint64(len(body)) {
			return errors.New("envelope ends within a message")
		}
		m, err := decodeRaft(body[:n], lane)
		if err != nil {
			return fmt.Errorf("message of group %d: %w", group, err)
		}
		each(group, m)
		body = body[n:]
	}
	return nil
}

func decodeRaft(raw []byte, lane Lane) (*raftpb.Message, error) {
	if err := inspect(raw); err != nil {
		return nil, err
	}
	m := &raftpb.Message{}
	if err := proto.Unmarshal(raw, m); err != nil {
		return nil, err
	}
	if l, _, ok := laneOf(m); !ok || l != lane {
		return nil, fmt.Errorf("%v does not belong on %v", m.GetType(), lane)
	}
	return m, nil
}

// inspect walks over the fields of a message without allocating: what only
// speaks to a replica's own storage is refused, and too many entries are.
func inspect(raw []byte) error {
	entries := 0
	for len(raw) > 0 {
		field, _, n := protowire.ConsumeField(raw)
		if n < 0 {
			return protowire.ParseError(n)
		}
		raw = raw[n:]
		switch field {
		case fieldSnapshot, fieldResponses:
			return fmt.Errorf("field %d is not for peers", field)
		case fieldEntries:
			if entries++; entries > entriesMax {
				return fmt.Errorf("more than %d entries", entriesMax)
			}
		}
	}
	return nil
}
