package driver

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// Newborn is how a group begins: every first voter writes the same record to
// its log and the same meta to its store, as if one entry at index 1 and term
// 1 had been committed and applied. Log first or store first does not matter;
// a replica that has only one of the two was not born. Replica is whose log it
// is, one of the voters.
func Newborn(group, replica uint64, voters []uint64) (nodelog.Append, persistence.Meta) {
	conf, err := proto.Marshal(&raftpb.ConfState{Voters: voters})
	if err != nil {
		panic(fmt.Sprintf("BUG: conf state of voters %v: %v", voters, err))
	}
	return nodelog.Append{
		Group:     group,
		HardState: &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(1))},
		Start:     &nodelog.Position{Index: 1, Term: 1},
		Replica:   replica,
	}, persistence.Meta{Applied: 1, Term: 1, ConfState: conf}
}

// Joining is how a replica begins that joins a group that lives elsewhere: an
// empty log, and no store. The leader, once it has made it a learner, sends it
// an image. The id must never have been in use: what a replica has promised or
// acknowledged under it would be forgotten.
func Joining(group, replica uint64) nodelog.Append {
	return nodelog.Append{
		Group:     group,
		HardState: &raftpb.HardState{Term: new(uint64(0)), Vote: new(uint64(0)), Commit: new(uint64(0))},
		Start:     &nodelog.Position{},
		Replica:   replica,
	}
}
