package driver_test

import (
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
)

// behind is a group whose third replica needs what the leader's log no longer
// holds; it is the leader's image of that.
func behind(t *testing.T) (leader, second, third *replica, image persistence.Meta) {
	t.Helper()
	leader, second, third = grown(t)
	for range 5 {
		leader.propose("missed")
		deliver(leader, second)
	}
	image = leader.checkpoint()
	for len(leader.images) == 0 {
		leader.Tick()
		deliver(leader, second, third)
	}
	if m := leader.Status().Members[2]; m.Flow != driver.AwaitingImage {
		t.Fatalf("the leader knows %+v, want one that awaits an image", m)
	}
	return leader, second, third, image
}

func TestImageIsInstalledByItsAppend(t *testing.T) {
	leader, second, third, image := behind(t)
	third.appends, third.applies = nil, nil
	if !leader.sendImage(third, image) {
		t.Fatalf("the image at %d was refused: %+v", image.Applied, third.Status())
	}
	third.ready()
	if len(third.appends) != 1 || len(third.applies) != 0 {
		t.Fatalf("%d appends and %d applies, want the switch alone", len(third.appends), len(third.applies))
	}
	a := third.appends[0]
	if !a.Image || *a.Start != (struct{ Index, Term uint64 }{image.Applied, image.Term}) || a.HardState.GetCommit() != image.Applied || a.Replica != 3 {
		t.Fatalf("the append is %+v, want a start at %d", a, image.Applied)
	}
	for _, m := range third.sent {
		if m.GetType() == raftpb.MsgAppResp && m.GetIndex() >= image.Applied {
			t.Fatal("the image was acknowledged before it was durable")
		}
	}
	deliver(leader, second, third)
	leader.ImageSent(3, true)
	kept := leader.propose("after")
	deliver(leader, second, third)
	mustBe(t, kept, "after")
	for range 2 {
		leader.Tick()
		deliver(leader, second, third)
	}
	if e := third.applied[len(third.applied)-1]; string(e.Data) != "after" || third.Status().Durable < image.Applied {
		t.Fatalf("the third has applied %q last; status %+v", e.Data, third.Status())
	}
	mustHave(t, []uint64{1, 2, 3}, nil, third)
	open(t, third.log, 3, third.meta(), nil) // log and store fit together
}

func TestOneImageAtATime(t *testing.T) {
	leader, second, third, image := behind(t)
	for range 50 {
		leader.Tick()
		deliver(leader, second, third)
	}
	if len(leader.images) != 1 {
		t.Fatalf("the orders are %+v, want one", leader.images)
	}
	leader.images = nil
	leader.ImageSent(3, false)
	for range 5 {
		leader.Tick()
		deliver(leader, second, third)
	}
	if !leader.sendImage(third, image) || third.Install(image, 1, leader.Status().Term) {
		t.Fatal("the second try was refused, or a second image was accepted beside it")
	}
	defer func() {
		if p, _ := recover().(string); !strings.HasPrefix(p, "BUG:") {
			t.Fatalf("panic %v, want BUG", p)
		}
	}()
	leader.ImageSent(2, true)
}

func TestUselessImagesAreRefused(t *testing.T) {
	leader, second, third, image := behind(t)
	stranger := image
	stranger.ConfState = leaderOnly(t)
	term := leader.Status().Term
	for name, c := range map[string]struct {
		meta persistence.Meta
		term uint64
	}{
		"this replica is no member in it": {stranger, term},
		"its sender's term is over":       {image, term - 1},
		"it has no term":                  {image, 0},
		"its members cannot be read":      {persistence.Meta{Applied: image.Applied, Term: image.Term, ConfState: []byte{0xff}}, term},
	} {
		if third.Install(c.meta, 1, c.term) {
			t.Errorf("%s: accepted", name)
		}
	}
	if leader.Install(image, 3, term) || second.Install(image, 1, term) {
		t.Error("accepted by a replica that has everything")
	}
	third.settle()
	if len(third.appends) != 0 || third.Status().Commit >= image.Applied {
		t.Fatalf("status %+v, %d appends", third.Status(), len(third.appends))
	}
}

func leaderOnly(t *testing.T) []byte {
	t.Helper()
	_, m := driver.Newborn(group, 1, []uint64{1})
	return m.ConfState
}

// A replica that was offered an image that it does not need must be able to say
// so, else the leader would order images for ever.
func TestRefusalOfStaleImageTellsWhereTheReplicaIs(t *testing.T) {
	leader, second, third, image := behind(t)
	if !leader.sendImage(third, image) {
		t.Fatal("refused")
	}
	third.settle()
	third.sent = nil // the acknowledgement is lost
	leader.ImageSent(3, false)
	for range 5 {
		leader.Tick()
		deliver(leader, second, third)
	}
	if len(leader.images) > 0 { // it may have found out by itself
		if leader.sendImage(third, image) {
			t.Fatal("a stale image was accepted")
		}
		deliver(leader, second, third)
		leader.ImageSent(3, false)
		deliver(leader, second, third)
	}
	if m := leader.Status().Members[2]; m.Flow != driver.Replicating || m.Match < image.Applied {
		t.Fatalf("the leader knows %+v", m)
	}
}

// What was handed out to be applied when the image came is void: it must not
// be waited for, else raft would hand out nothing more one day.
func TestAppliesBeforeTheImageAreVoid(t *testing.T) {
	leader, second, third := grown(t)
	third.busy = true
	for range 3 {
		leader.propose(strings.Repeat("in flight", 500_000)) // as much as may be in flight
		leader.Tick()
		deliver(leader, second, third)
	}
	if len(third.applies) == 0 {
		t.Fatal("nothing is in flight")
	}
	for range 5 {
		leader.propose("missed")
		deliver(leader, second)
	}
	if !third.Install(leader.checkpoint(), 1, leader.Status().Term) {
		t.Fatal("refused")
	}
	third.ready()
	for len(third.appends) > 0 {
		third.flush()
	}
	void := third.applies
	third.applies = nil
	if s := third.Status(); s.Applied != s.Commit {
		t.Fatalf("status %+v: the image is not applied", s)
	}
	third.Applied(void[0], make([]collection.Outcome, len(void[0].Entries))) // late
	third.applied, third.busy = nil, false
	kept := leader.propose("after")
	for range 3 {
		leader.Tick()
		deliver(leader, second, third)
	}
	mustBe(t, kept, "after")
	if n := len(third.applied); n == 0 || string(third.applied[n-1].Data) != "after" {
		t.Fatalf("the third has applied %d entries after the image", n)
	}
}

// An order names what the image must hold: before that its receiver was no
// member.
func TestOrderNamesTheChangeThatAddedTheReplica(t *testing.T) {
	one, two := born(t, 1, 1).lead(), joining(t, 2)
	old := one.meta()
	one.Stored(old)
	one.change(nil, []uint64{2}, nil)
	deliver(one, two)
	for range 3 {
		one.Tick()
		deliver(one, two)
	}
	if len(one.images) != 1 || one.images[0].Index != one.Status().MembersIndex || old.Applied >= one.images[0].Index {
		t.Fatalf("the orders are %+v, the members are of %d", one.images, one.Status().MembersIndex)
	}
	if two.Install(old, 1, one.images[0].Term) {
		t.Fatal("an image from before it was a member was accepted")
	}
	if !one.sendImage(two, one.meta()) {
		t.Fatal("refused")
	}
}

func TestImagesNeverTravelAsMessages(t *testing.T) {
	leader, second, third, _ := behind(t)
	leader.images = nil
	leader.ImageSent(3, false)
	for range 5 {
		leader.Tick()
		leader.settle()
		for _, m := range leader.sent {
			if m.GetType() == raftpb.MsgSnap {
				t.Fatal("a MsgSnap is among the messages")
			}
		}
		deliver(leader, second, third)
	}
}
