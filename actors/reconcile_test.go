package actors

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

func id(number, serial uint32) uint64 { return uint64(number)<<32 | uint64(serial) }

func ids(all ...uint64) []uint64 { return all }

func wantVoter(number, serial uint32) hubsvc.Replica {
	return hubsvc.Replica{ID: hubsvc.ReplicaID(id(number, serial))}
}

func wantLearner(number, serial uint32) hubsvc.Replica {
	return hubsvc.Replica{ID: hubsvc.ReplicaID(id(number, serial)), Learner: true}
}

// group is the status of a leader at index 1000 whose members all follow.
func group(leader uint64, voters, learners []uint64) driver.Status {
	s := driver.Status{Replica: leader, Role: driver.Leader, Commit: 1000, Voters: voters, Learners: learners}
	for _, v := range voters {
		s.Members = append(s.Members, driver.Member{Replica: v, Match: 1000, Active: true, Flow: driver.Replicating})
	}
	for _, l := range learners {
		s.Members = append(s.Members, driver.Member{Replica: l, Learner: true, Match: 1000, Active: true, Flow: driver.Replicating})
	}
	return s
}

// with changes what the leader knows of a member.
func with(s driver.Status, replica uint64, change func(*driver.Member)) driver.Status {
	for i := range s.Members {
		if s.Members[i].Replica == replica {
			change(&s.Members[i])
		}
	}
	return s
}

func dead(m *driver.Member)   { m.Active = false }
func behind(m *driver.Member) { m.Match = 1000 - caughtUpEntries - 1 }
func close128(m *driver.Member) {
	m.Match = 1000 - caughtUpEntries
}
func probing(m *driver.Member)  { m.Flow = driver.Probing }
func awaiting(m *driver.Member) { m.Flow = driver.AwaitingImage }

func (m move) String() string {
	if m.transfer != 0 {
		return "transfer " + hubsvc.ReplicaID(m.transfer).String()
	}
	if m.change == nil {
		return "nothing"
	}
	words := []string{}
	if _, joint := m.change.EnterJoint(); joint {
		words = append(words, "joint")
	}
	for _, c := range m.change.GetChanges() {
		kind := map[raftpb.ConfChangeType]string{
			raftpb.ConfChangeAddNode: "voter", raftpb.ConfChangeAddLearnerNode: "learner", raftpb.ConfChangeRemoveNode: "remove",
		}[c.GetType()]
		words = append(words, kind, hubsvc.ReplicaID(c.GetNodeId()).String())
	}
	return strings.Join(words, " ")
}

func TestNextMove(t *testing.T) {
	three := []hubsvc.Replica{wantVoter(1, 1), wantVoter(2, 2), wantVoter(3, 3)}
	swap := []hubsvc.Replica{wantVoter(1, 1), wantVoter(2, 2), wantVoter(4, 4)}
	abc := ids(id(1, 1), id(2, 2), id(3, 3))
	joint := group(id(1, 1), abc, nil)
	joint.VotersOutgoing = ids(id(1, 1))
	handing := group(id(1, 1), ids(id(1, 1)), nil)
	handing.Transferee = id(2, 2)
	for _, c := range []struct {
		name string
		want []hubsvc.Replica
		s    driver.Status
		move string
	}{
		{"nothing is wanted: nothing is known", nil, group(id(1, 1), abc, nil), "nothing"},
		{"as wanted", three, group(id(1, 1), abc, nil), "nothing"},
		{"the order alone differs", []hubsvc.Replica{three[2], three[0], three[1]}, group(id(1, 1), abc, nil), "nothing"},
		{"first one learner", three, group(id(1, 1), ids(id(1, 1)), nil), "learner 2.2"},
		{"then the other", three, group(id(1, 1), ids(id(1, 1)), ids(id(2, 2))), "learner 3.3"},
		{"then all at once", three, group(id(1, 1), ids(id(1, 1)), ids(id(2, 2), id(3, 3))), "joint voter 2.2 voter 3.3"},
		{"not while one is behind", three, with(group(id(1, 1), ids(id(1, 1)), ids(id(2, 2), id(3, 3))), id(3, 3), behind), "nothing"},
		{"near enough", three, with(group(id(1, 1), ids(id(1, 1)), ids(id(2, 2), id(3, 3))), id(3, 3), close128), "joint voter 2.2 voter 3.3"},
		{"not while one waits for its image", three, with(group(id(1, 1), ids(id(1, 1)), ids(id(2, 2), id(3, 3))), id(3, 3), awaiting), "nothing"},
		{"not while one is not heard from", three, with(group(id(1, 1), ids(id(1, 1)), ids(id(2, 2), id(3, 3))), id(2, 2), dead), "nothing"},
		{"not while nobody knows where one is", three, with(group(id(1, 1), ids(id(1, 1)), ids(id(2, 2), id(3, 3))), id(2, 2), probing), "nothing"},
		{"a joint change is under way", three, joint, "nothing"},
		{"leadership is on its way", three, handing, "nothing"},

		{"two members: the other is a learner", []hubsvc.Replica{wantVoter(1, 1), wantLearner(2, 2)}, group(id(1, 1), ids(id(1, 1)), nil), "learner 2.2"},
		{"two members: there they are", []hubsvc.Replica{wantVoter(1, 1), wantLearner(2, 2)}, group(id(1, 1), ids(id(1, 1)), ids(id(2, 2))), "nothing"},
		{"two members: the other way round", []hubsvc.Replica{wantVoter(2, 2), wantLearner(1, 1)}, group(id(1, 1), ids(id(1, 1)), ids(id(2, 2))), "joint voter 2.2 learner 1.1"},
		{"two of three: voters become one", []hubsvc.Replica{wantVoter(1, 1), wantLearner(2, 2)}, group(id(1, 1), abc, nil), "joint learner 2.2 learner 3.3"},
		{"and who is not wanted leaves", []hubsvc.Replica{wantVoter(1, 1), wantLearner(2, 2)}, group(id(1, 1), ids(id(1, 1)), ids(id(2, 2), id(3, 3))), "remove 3.3"},

		{"swap: the new one joins", swap, group(id(1, 1), abc, nil), "learner 4.4"},
		{"swap: it votes instead of the old one", swap, group(id(1, 1), abc, ids(id(4, 4))), "joint voter 4.4 learner 3.3"},
		{"swap: the old one may be dead", swap, with(group(id(1, 1), abc, ids(id(4, 4))), id(3, 3), dead), "joint voter 4.4 learner 3.3"},
		{"swap: the one that stays may not", swap, with(group(id(1, 1), abc, ids(id(4, 4))), id(2, 2), dead), "nothing"},
		{"swap: the old one leaves", swap, group(id(1, 1), ids(id(1, 1), id(2, 2), id(4, 4)), ids(id(3, 3))), "remove 3.3"},

		{"the leader is to go: it hands over", swap, group(id(3, 3), abc, ids(id(4, 4))), "transfer 1.1"},
		{"not to one that is behind", swap, with(group(id(3, 3), abc, ids(id(4, 4))), id(1, 1), behind), "nothing"},
		{"the only voter goes by the change itself", []hubsvc.Replica{wantVoter(2, 2)}, group(id(1, 1), ids(id(1, 1)), ids(id(2, 2))), "joint voter 2.2 learner 1.1"},

		{"a learner of no use goes first", three, group(id(1, 1), abc, ids(id(5, 5))), "remove 5.5"},
		{"before others join: it may be in the way", swap, group(id(1, 1), abc, ids(id(4, 9))), "remove 4.9"},
		{"a dead learner of no use goes too", three, with(group(id(1, 1), abc, ids(id(5, 5))), id(5, 5), dead), "remove 5.5"},
		{"a dead learner that is wanted stays", []hubsvc.Replica{wantVoter(1, 1), wantLearner(2, 2)}, with(group(id(1, 1), ids(id(1, 1)), ids(id(2, 2))), id(2, 2), dead), "nothing"},

		{"a voter on the wanted node counts, whatever its id", []hubsvc.Replica{wantVoter(1, 1), wantVoter(2, 2), wantVoter(3, 9)}, group(id(1, 1), abc, nil), "nothing"},
		{"a learner does not", []hubsvc.Replica{wantVoter(1, 1), wantLearner(2, 9)}, group(id(1, 1), ids(id(1, 1)), ids(id(2, 2))), "remove 2.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := fmt.Sprint(c.want)
			if got := nextMove(c.want, c.s).String(); got != c.move {
				t.Errorf("%s, want %s", got, c.move)
			}
			if fmt.Sprint(c.want) != want {
				t.Error("the placement, which is shared, was changed")
			}
		})
	}
}

// However a group and its placement look, its moves come to an end, where the
// placement is.
func TestMovesComeToAnEnd(t *testing.T) {
	node := []hubsvc.Replica{wantVoter(1, 1), wantVoter(2, 2), wantVoter(3, 3), wantVoter(4, 4), wantVoter(5, 5)}
	var wants [][]hubsvc.Replica
	for a := range node {
		for b := range node {
			if a == b {
				continue
			}
			l := node[b]
			l.Learner = true
			wants = append(wants, []hubsvc.Replica{node[a]}, []hubsvc.Replica{node[a], l})
			for c := b + 1; c < len(node); c++ {
				if c != a {
					wants = append(wants, []hubsvc.Replica{node[a], node[b], node[c]})
				}
			}
		}
	}
	for i, from := range wants {
		for j, to := range wants {
			w := newWorld(from)
			for steps := 0; ; steps++ {
				m := nextMove(to, w.status())
				if m.change == nil && m.transfer == 0 {
					break
				}
				if steps > 12 {
					t.Fatalf("from %v to %v (%d, %d): no end, now %+v, next %v", from, to, i, j, w, m)
				}
				w.do(m)
			}
			if got := nextMove(to, w.status()); got.String() != "nothing" || len(w.voters)+len(w.learners) != len(to) {
				t.Fatalf("from %v to %v: ended at %+v", from, to, w)
			}
		}
	}
}

// world is a group whose changes take effect at once.
type world struct {
	leader           uint64
	voters, learners []uint64
}

func newWorld(at []hubsvc.Replica) *world {
	w := &world{leader: uint64(at[0].ID)}
	for _, r := range at {
		if r.Learner {
			w.learners = append(w.learners, uint64(r.ID))
		} else {
			w.voters = append(w.voters, uint64(r.ID))
		}
	}
	return w
}

func (w *world) status() driver.Status { return group(w.leader, w.voters, w.learners) }

func (w *world) do(m move) {
	if m.transfer != 0 {
		w.leader = m.transfer
		return
	}
	for _, c := range m.change.GetChanges() {
		one := ids(c.GetNodeId())
		w.voters, w.learners = without(w.voters, one), without(w.learners, one)
		switch c.GetType() {
		case raftpb.ConfChangeAddNode:
			w.voters = append(w.voters, one[0])
		case raftpb.ConfChangeAddLearnerNode:
			w.learners = append(w.learners, one[0])
		}
	}
	if len(without(w.voters, ids(w.leader))) == len(w.voters) { // it is none any more
		w.leader = w.voters[0]
	}
}

func TestPreferred(t *testing.T) {
	three := []hubsvc.Replica{wantVoter(2, 2), wantVoter(1, 1), wantVoter(3, 3)}
	abc := ids(id(1, 1), id(2, 2), id(3, 3))
	joint := group(id(1, 1), abc, nil)
	joint.VotersOutgoing = ids(id(1, 1))
	handing := group(id(1, 1), abc, nil)
	handing.Transferee = id(3, 3)
	for _, c := range []struct {
		name string
		want []hubsvc.Replica
		s    driver.Status
		to   uint64
	}{
		{"another is preferred", three, group(id(1, 1), abc, nil), id(2, 2)},
		{"it leads", three, group(id(2, 2), abc, nil), 0},
		{"it is behind", three, with(group(id(1, 1), abc, nil), id(2, 2), behind), 0},
		{"it is dead", three, with(group(id(1, 1), abc, nil), id(2, 2), dead), 0},
		{"it is no voter yet", three, group(id(1, 1), ids(id(1, 1), id(3, 3)), ids(id(2, 2))), 0},
		{"a change is under way", three, joint, 0},
		{"leadership is on its way", three, handing, 0},
		{"nothing is known", nil, group(id(1, 1), abc, nil), 0},
	} {
		if got := preferred(c.want, c.s); got != c.to {
			t.Errorf("%s: %x, want %x", c.name, got, c.to)
		}
	}
}

// Whatever another node answers as an error, this one has an error that the
// edge can put into words.
func FuzzDecodeError(f *testing.F) {
	for _, err := range []error{
		&collection.Error{Code: collection.NotFound, Message: "m", Details: map[string]any{"outcome": "unknown"}},
		&hubsvc.Error{Code: hubsvc.CodeUnavailable, Message: "m"}, fmt.Errorf("plain"),
	} {
		f.Add(appendError(nil, err))
	}
	f.Add([]byte{0x81, 0xa1, 'c', 0})
	f.Add([]byte{0x81, 0xa1, 'c', 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		err := decodeError(b)
		if err == nil {
			t.Fatal("no error")
		}
		code := collection.CodeOf(err)
		if code == 0 || code >= collection.CodeEnd {
			t.Fatalf("%v has the code %d", err, code)
		}
		if again := decodeError(appendError(nil, err)); again.Error() != err.Error() {
			t.Fatalf("%v became %v on its way", err, again)
		}
	})
}

// An error whose details have no encoding goes without them.
func TestErrorWithoutEncoding(t *testing.T) {
	err := decodeError(appendError(nil, &collection.Error{Code: collection.NotFound, Message: "m", Details: map[string]any{"f": func() {}}}))
	if collection.CodeOf(err) != collection.NotFound || err.Error() == "" {
		t.Errorf("it came as %v", err)
	}
}
