package driver

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
)

// LogReader is the read half of one group's log; *nodelog.Group is one. Its
// methods are as in raft.Storage, and HardState is what was last made durable.
type LogReader interface {
	HardState() *raftpb.HardState
	Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error)
	Term(i uint64) (uint64, error)
	FirstIndex() (uint64, error)
	LastIndex() (uint64, error)
}

// storage is a LogReader as raft wants it. It remembers a failed read: raft
// answers one with a panic, and the driver with a stopped group.
type storage struct {
	log    LogReader
	hard   *raftpb.HardState // at the start
	conf   *raftpb.ConfState // at the start
	stored persistence.Meta
	err    error
}

// newStorage checks that the log continues where the store ends. What the
// store holds was committed, so the commit index on disk, which is written
// lazily, is raised to it.
func newStorage(c Config) (*storage, error) {
	first, err := c.Log.FirstIndex()
	if err != nil {
		return nil, fmt.Errorf("read first index: %w", err)
	}
	last, err := c.Log.LastIndex()
	if err != nil {
		return nil, fmt.Errorf("read last index: %w", err)
	}
	applied := c.Stored.Applied
	if applied+1 < first || applied > last {
		return nil, collection.Errorf(collection.DataLoss,
			"the log holds entries %d to %d and does not continue the store, which ends at %d", first, last, applied)
	}
	term, err := c.Log.Term(applied)
	if err != nil {
		return nil, fmt.Errorf("read term of entry %d: %w", applied, err)
	}
	if term != c.Stored.Term {
		return nil, collection.Errorf(collection.DataLoss,
			"entry %d is of term %d in the log and of term %d in the store", applied, term, c.Stored.Term)
	}
	hard := c.Log.HardState()
	commit := max(hard.GetCommit(), applied)
	if commit > last {
		return nil, collection.Errorf(collection.DataLoss,
			"the log ends at %d and entry %d was committed", last, commit)
	}
	conf := &raftpb.ConfState{}
	if err := proto.Unmarshal(c.Stored.ConfState, conf); err != nil {
		return nil, &collection.Error{Code: collection.DataLoss, Message: "the members in the store cannot be read", Err: err}
	}
	return &storage{
		log:    c.Log,
		hard:   &raftpb.HardState{Term: new(hard.GetTerm()), Vote: new(hard.GetVote()), Commit: &commit},
		conf:   conf,
		stored: c.Stored,
	}, nil
}

// InitialState implements raft.Storage.
func (s *storage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return s.hard, s.conf, nil
}

// Entries implements raft.Storage.
func (s *storage) Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	entries, err := s.log.Entries(lo, hi, maxBytes)
	return entries, s.note(err)
}

// Term implements raft.Storage.
func (s *storage) Term(i uint64) (uint64, error) {
	term, err := s.log.Term(i)
	return term, s.note(err)
}

// FirstIndex implements raft.Storage.
func (s *storage) FirstIndex() (uint64, error) {
	i, err := s.log.FirstIndex()
	return i, s.note(err)
}

// LastIndex implements raft.Storage.
func (s *storage) LastIndex() (uint64, error) {
	i, err := s.log.LastIndex()
	return i, s.note(err)
}

// Snapshot implements raft.Storage. Only its place in the log matters: what is
// sent is an image, see ImageOrder.
func (s *storage) Snapshot() (*raftpb.Snapshot, error) {
	if s.stored.Applied == 0 {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(s.stored.Applied), Term: new(s.stored.Term)}}, nil
}

func (s *storage) note(err error) error {
	if err != nil && s.err == nil && !errors.Is(err, raft.ErrCompacted) && !errors.Is(err, raft.ErrUnavailable) {
		s.err = err
	}
	return err
}
