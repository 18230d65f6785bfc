package hubsvc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// namedHub returns a hub whose cluster is named demo and whose first member n1.
func namedHub(t testing.TB) (*Embedded, *group) {
	t.Helper()
	hub, g, _ := bornHub(t)
	_, err := hub.NameMember(context.Background(), NameMember{Number: 1, Name: "n1", Cluster: "demo", Address: "h1:15010", HTTP: "h1:15002"})
	if err != nil {
		t.Fatal(err)
	}
	return hub, g
}

func mustToken(t testing.TB, hub *Embedded, ttl time.Duration) TokenHash {
	t.Helper()
	text, err := hub.CreateJoinToken(context.Background(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	token, err := ParseJoinToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return HashTokenSecret(token.Secret())
}

func join(hub *Embedded, token TokenHash, name string) (Joined, error) {
	return hub.JoinMember(context.Background(), JoinMember{Token: token, Name: name, Cluster: "demo", Address: name + ":15010"})
}

func mustJoin(t testing.TB, hub *Embedded, name string) Joined {
	t.Helper()
	j, err := join(hub, mustToken(t, hub, 0), name)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func wantMessage(t testing.TB, err error, code Code, part string) {
	t.Helper()
	wantCode(t, err, code)
	if err != nil && !strings.Contains(err.Error(), part) {
		t.Errorf("%q does not say %q", err, part)
	}
}

func TestFirstMember(t *testing.T) {
	ctx := context.Background()
	hub, g, _ := bornHub(t)
	unnamed := Member{Number: 1, State: MemberActive, Created: 1, Updated: 1}
	if m, ok := hub.Member(1); !ok || m != unnamed || len(hub.Members()) != 1 {
		t.Errorf("%+v, %v", m, ok)
	}
	if len(hub.Placements()) != 65 {
		t.Errorf("%d placements", len(hub.Placements()))
	}
	for _, group := range []uint64{0, 1, 64} {
		p, ok := hub.Placement(group)
		if diff := cmp.Diff(Placement{Group: group, Version: 1, Replicas: []Replica{{ID: 1<<32 | 1}}}, p); !ok || diff != "" {
			t.Error(diff)
		}
	}
	if _, ok := hub.Placement(65); ok {
		t.Error("there is a group 65")
	}
	_, err := join(hub, mustToken(t, hub, 0), "n2")
	wantMessage(t, err, CodeFailedPrecondition, "no name yet")

	op := NameMember{Number: 1, Name: "n1", Cluster: "demo", Address: "h1:15010"}
	named, err := hub.NameMember(ctx, op)
	want := Member{Number: 1, Name: "n1", Address: "h1:15010", State: MemberActive, Created: 1, Updated: g.index}
	if err != nil || named != want || hub.Topology().ClusterName() != "demo" {
		t.Errorf("%+v, %v", named, err)
	}
	version := hub.Topology().Version()
	if again, err := hub.NameMember(ctx, op); err != nil || again != want || hub.Topology().Version() != version {
		t.Errorf("repeated: %+v, %v, version %d", again, err, hub.Topology().Version())
	}
	op.Name = "n9"
	_, err = hub.NameMember(ctx, op)
	wantMessage(t, err, CodeFailedPrecondition, `cannot become "n9"`)
	op.Name, op.Cluster = "n1", "other"
	_, err = hub.NameMember(ctx, op)
	wantMessage(t, err, CodeFailedPrecondition, `the cluster's name is "demo", not "other"`)

	moved, err := hub.SetMemberAddress(ctx, 1, "h2:1", "h2:2")
	want.Address, want.HTTP, want.Updated = "h2:1", "h2:2", g.index
	if found, ok := hub.MemberByName("n1"); err != nil || moved != want || !ok || found != want {
		t.Errorf("%+v, %v", moved, err)
	}
	_, err = hub.SetMemberAddress(ctx, 2, "h:1", "")
	wantCode(t, err, CodeNotFound)
}

func TestJoin(t *testing.T) {
	ctx := context.Background()
	hub, g := namedHub(t)
	token := mustToken(t, hub, 0)
	j, err := join(hub, token, "n2")
	want := Joined{
		Member:  Member{Number: 2, Name: "n2", Address: "n2:15010", State: MemberActive, Created: g.index, Updated: g.index},
		Replica: 2<<32 | 2,
	}
	if err != nil || j != want {
		t.Fatalf("%+v, %v", j, err)
	}
	system, _ := hub.Placement(SystemGroup)
	if diff := cmp.Diff([]Replica{{ID: FirstReplica}, {ID: 2<<32 | 2, Learner: true}}, system.Replicas); diff != "" {
		t.Error(diff)
	}
	_, err = join(hub, token, "n3")
	wantMessage(t, err, CodeFailedPrecondition, "has been used")
	_, err = join(hub, token, "n2")
	wantMessage(t, err, CodeFailedPrecondition, "has been used")
	_, err = join(hub, TokenHash{1}, "n3")
	wantMessage(t, err, CodeNotFound, "not known")

	// A refusal for another reason does not consume the token.
	token = mustToken(t, hub, 0)
	_, err = join(hub, token, "n2")
	wantMessage(t, err, CodeAlreadyExists, "--node-id")
	_, err = hub.JoinMember(ctx, JoinMember{Token: token, Name: "n3", Cluster: "other", Address: "h:1"})
	wantMessage(t, err, CodeFailedPrecondition, `"demo", not "other"`)
	j, err = hub.JoinMember(ctx, JoinMember{Token: token, Name: "n2", Cluster: "demo", Address: "h:1", Replace: true})
	if err != nil || j.Member.Number != 3 || j.Replaced != 2 || j.Replica != 3<<32|3 {
		t.Errorf("%+v, %v", j, err)
	}
	if old, _ := hub.Member(2); old.State != MemberGone {
		t.Errorf("%+v", old)
	}
	if m, ok := hub.MemberByName("n2"); !ok || m.Number != 3 {
		t.Errorf("%+v", m)
	}
	_, err = hub.NameMember(ctx, NameMember{Number: 2, Name: "n2", Cluster: "demo", Address: "h:1"})
	wantMessage(t, err, CodeFailedPrecondition, "gone from the cluster for good")
	_, err = hub.SetMemberState(ctx, 2, MemberActive)
	wantMessage(t, err, CodeFailedPrecondition, "gone from the cluster for good")
}

// A join whose answer was lost can be repeated by the same node alone.
func TestJoinRepeated(t *testing.T) {
	ctx := context.Background()
	hub, _ := namedHub(t)
	op := JoinMember{Token: mustToken(t, hub, 0), Request: TokenHash{5}, Name: "n2", Cluster: "demo", Address: "h:1"}
	first, err := hub.JoinMember(ctx, op)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := hub.JoinMember(ctx, op); err != nil || again != first || len(hub.Members()) != 2 {
		t.Errorf("%+v, %v", again, err)
	}
	other := op
	other.Request = TokenHash{6}
	_, err = hub.JoinMember(ctx, other)
	wantMessage(t, err, CodeFailedPrecondition, "has been used")
	other = op
	other.Name = "n3"
	_, err = hub.JoinMember(ctx, other)
	wantMessage(t, err, CodeFailedPrecondition, "has been used")
	if _, err := hub.SetMemberState(ctx, 2, MemberGone); err != nil {
		t.Fatal(err)
	}
	_, err = hub.JoinMember(ctx, op)
	wantMessage(t, err, CodeFailedPrecondition, "has been used")
}

func TestJoinTokenExpires(t *testing.T) {
	hub, g := namedHub(t)
	now := hub.now()
	hub.now = func() time.Time { return now }
	stored := func() (n int) {
		for key := range g.tx.state {
			if key[0] == tagToken {
				n++
			}
		}
		return n
	}
	token, kept := mustToken(t, hub, time.Minute), mustToken(t, hub, 0)
	now = now.Add(time.Minute)
	_, err := join(hub, token, "n2")
	wantMessage(t, err, CodeFailedPrecondition, "has expired")
	if mustToken(t, hub, 0); stored() != 3 {
		t.Errorf("%d tokens", stored())
	}
	if _, err := join(hub, kept, "n2"); err != nil {
		t.Error(err)
	}
	now = now.Add(25 * time.Hour)
	if mustToken(t, hub, 0); stored() != 1 {
		t.Errorf("%d tokens a day later", stored())
	}
	_, err = join(hub, token, "n2")
	wantMessage(t, err, CodeNotFound, "not known")
	for _, ttl := range []time.Duration{-1, time.Microsecond, 8 * 24 * time.Hour} {
		_, err := hub.CreateJoinToken(context.Background(), ttl)
		wantCode(t, err, CodeInvalidRequest)
	}
}

func TestJoinTokensAreBounded(t *testing.T) {
	hub, _ := namedHub(t)
	now := hub.now()
	hub.now = func() time.Time { return now }
	first := mustToken(t, hub, time.Minute)
	for range JoinTokensMax - 1 {
		mustToken(t, hub, 0)
	}
	_, err := hub.CreateJoinToken(context.Background(), 0)
	wantCode(t, err, CodeQuotaExceeded)
	if _, err := join(hub, first, "n2"); err != nil {
		t.Fatal(err)
	}
	mustToken(t, hub, 0) // in place of the used one
	_, err = hub.CreateJoinToken(context.Background(), 0)
	wantCode(t, err, CodeQuotaExceeded)
}

func TestMemberStates(t *testing.T) {
	ctx := context.Background()
	hub, _ := namedHub(t)
	for _, s := range []MemberState{MemberLeaving, MemberGone} {
		_, err := hub.SetMemberState(ctx, 1, s)
		wantMessage(t, err, CodeFailedPrecondition, "only active")
	}
	_, err := hub.JoinMember(ctx, JoinMember{Token: mustToken(t, hub, 0), Name: "n1", Cluster: "demo", Address: "h:1", Replace: true})
	wantMessage(t, err, CodeFailedPrecondition, "only active")
	mustJoin(t, hub, "n2")
	for _, s := range []MemberState{MemberLeaving, MemberActive, MemberActive, MemberLeaving, MemberGone, MemberGone} {
		if m, err := hub.SetMemberState(ctx, 1, s); err != nil || m.State != s {
			t.Errorf("%+v, %v", m, err)
		}
	}
	_, err = hub.SetMemberState(ctx, 2, MemberLeaving)
	wantMessage(t, err, CodeFailedPrecondition, "only active")
	_, err = hub.SetMemberState(ctx, 2, 9)
	wantCode(t, err, CodeInvalidRequest)
	if j := mustJoin(t, hub, "n1"); j.Member.Number != 3 {
		t.Errorf("a number was used again: %+v", j)
	}
}

func TestMembersAreBounded(t *testing.T) {
	hub, g := namedHub(t)
	for range 3 * goneMembersMax {
		j := mustJoin(t, hub, "n2")
		if _, err := hub.SetMemberState(context.Background(), j.Member.Number, MemberGone); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(hub.Members()); n > goneMembersMax+3 {
		t.Errorf("%d members are remembered", n)
	}
	loaded := NewDirectory(hub.hasher, hub.now)
	if err := loaded.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hub.Members(), loaded.Members()); diff != "" {
		t.Error(diff)
	}
	for n := range MembersMax - 1 {
		mustJoin(t, hub, fmt.Sprintf("m%d", n))
	}
	_, err := join(hub, mustToken(t, hub, 0), "onemore")
	wantCode(t, err, CodeQuotaExceeded)
}

func TestNamesAndAddresses(t *testing.T) {
	for name, good := range map[string]bool{
		"n1": true, "0": true, "a-b_c.d": true, strings.Repeat("x", 63): true,
		"": false, "-a": false, ".a": false, "N1": false, "a b": false, "ä": false, "a/b": false, strings.Repeat("x", 64): false,
	} {
		if err := ValidateNodeName("node id", name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	for address, good := range map[string]bool{
		"h:1": true, "[::1]:65535": true, "10.0.0.1:15010": true,
		"": false, "h": false, ":1": false, "h:": false, "h:0": false, "h:65536": false, "h:1x": false, "h:000001": false,
		"h h:1": false, "h\n:1": false, "hü:1": false, strings.Repeat("h", 254) + ":1": false,
	} {
		if err := validateAddress("address", address); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestSetPlacements(t *testing.T) {
	ctx := context.Background()
	hub, g := namedHub(t)
	mustJoin(t, hub, "n2")
	mustJoin(t, hub, "n3")
	placed, err := hub.SetPlacements(ctx, []PlacementChange{
		{Group: 1, Expected: 1, Replicas: []Replica{{ID: FirstReplica}, {ID: NewReplica(2)}, {ID: NewReplica(3)}}},
		{Group: 64, Expected: 1, Replicas: []Replica{{ID: FirstReplica}, {ID: NewReplica(3), Learner: true}}},
	})
	want := []Placement{
		{Group: 1, Version: g.index, Replicas: []Replica{{ID: FirstReplica}, {ID: 2<<32 | 4}, {ID: 3<<32 | 5}}},
		{Group: 64, Version: g.index, Replicas: []Replica{{ID: FirstReplica}, {ID: 3<<32 | 6, Learner: true}}},
	}
	if diff := cmp.Diff(want, placed); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	if p, _ := hub.Placement(64); !cmp.Equal(p, want[1]) {
		t.Errorf("%+v", p)
	}
	p, err := placeReplica(ctx, hub, 2, 3, 9)
	if diff := cmp.Diff([]Replica{{ID: FirstReplica}, {ID: 3<<32 | 7, Learner: true}}, p.Replicas); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	_, err = placeReplica(ctx, hub, 65, 2, 1)
	wantCode(t, err, CodeNotFound)
	if _, err := hub.SetMemberState(ctx, 2, MemberLeaving); err != nil {
		t.Fatal(err)
	}
	version, state := placed[0].Version, maps.Clone(g.tx.state)
	one := Replica{ID: FirstReplica}
	for name, tc := range map[string]struct {
		changes []PlacementChange
		code    Code
	}{
		"stale":           {[]PlacementChange{{1, 1, []Replica{one}}}, CodeFailedPrecondition},
		"second is stale": {[]PlacementChange{{1, version, []Replica{one}}, {64, 1, []Replica{one}}}, CodeFailedPrecondition},
		"no such group":   {[]PlacementChange{{65, 1, []Replica{one}}}, CodeNotFound},
		"foreign replica": {[]PlacementChange{{1, version, []Replica{one, {ID: 3<<32 | 6, Learner: true}}}}, CodeFailedPrecondition},
		"unknown replica": {[]PlacementChange{{3, 1, []Replica{one, {ID: 3<<32 | 99, Learner: true}}}}, CodeFailedPrecondition},
		"leaving member":  {[]PlacementChange{{3, 1, []Replica{one, {ID: NewReplica(2), Learner: true}}}}, CodeFailedPrecondition},
		"unknown member":  {[]PlacementChange{{3, 1, []Replica{one, {ID: NewReplica(4), Learner: true}}}}, CodeNotFound},
		"nothing kept":    {[]PlacementChange{{3, 1, []Replica{{ID: NewReplica(3)}}}}, CodeFailedPrecondition},
		"two voters":      {[]PlacementChange{{3, 1, []Replica{one, {ID: NewReplica(3)}}}}, CodeInvalidRequest},
		"learner first":   {[]PlacementChange{{3, 1, []Replica{{ID: NewReplica(3), Learner: true}, one}}}, CodeInvalidRequest},
		"twice a member":  {[]PlacementChange{{3, 1, []Replica{one, {ID: NewReplica(1), Learner: true}}}}, CodeInvalidRequest},
		"no member":       {[]PlacementChange{{3, 1, []Replica{one, {ID: 5, Learner: true}}}}, CodeInvalidRequest},
		"none":            {[]PlacementChange{{3, 1, nil}}, CodeInvalidRequest},
		"no change":       {nil, CodeInvalidRequest},
		"not ordered":     {[]PlacementChange{{3, 1, []Replica{one}}, {3, 1, []Replica{one}}}, CodeInvalidRequest},
	} {
		_, err := hub.SetPlacements(ctx, tc.changes)
		if wantCode(t, err, tc.code); err == nil {
			t.Error(name)
		}
		if !cmp.Equal(state, g.tx.state) {
			t.Fatalf("%s left a trace", name)
		}
	}
	// A replica that was removed is not known any more; what replaces it has a new id.
	shrunk, err := hub.SetPlacements(ctx, []PlacementChange{{1, version, []Replica{{ID: 3<<32 | 5}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = hub.SetPlacements(ctx, []PlacementChange{{1, shrunk[0].Version, []Replica{{ID: 3<<32 | 5}, {ID: FirstReplica, Learner: true}}}})
	wantCode(t, err, CodeFailedPrecondition)
	if p, err := placeReplica(ctx, hub, 1, 1, 1); err != nil || p.Replicas[1].ID != 1<<32|8 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestTopologyChanges(t *testing.T) {
	hub, _ := namedHub(t)
	before := hub.Topology()
	select {
	case <-before.Changed():
		t.Error("changed before a change")
	default:
	}
	mustCreate(t, hub, "free")
	if mustToken(t, hub, 0); hub.Topology() != before {
		t.Error("a tenant or a token changed the topology")
	}
	mustJoin(t, hub, "n2")
	<-before.Changed()
	after := hub.Topology()
	if len(before.Members()) != 1 || len(after.Members()) != 2 || after.Version() <= before.Version() {
		t.Errorf("%+v, %+v", before.Members(), after.Members())
	}
	if p, _ := before.Placement(SystemGroup); len(p.Replicas) != 1 {
		t.Error("an old topology changed")
	}
}

// An image replaces the state under the directory: Reload follows, keys too.
func TestReload(t *testing.T) {
	hub, g := namedHub(t)
	d := NewDirectory(hub.hasher, hub.now)
	if err := d.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	a := mustCreate(t, hub, "free")
	k, revoked := mustKey(t, hub, a.ID, "ADMIN")
	if err := d.Reload(g.tx); err != nil {
		t.Fatal(err)
	}
	old := d.Topology()
	if _, err := d.Validate(revoked); err != nil {
		t.Error(err)
	}
	hub.RevokeKey(context.Background(), k.ID)
	_, good := mustKey(t, hub, a.ID, "ADMIN")
	mustJoin(t, hub, "n2")
	if err := d.Reload(g.tx); err != nil {
		t.Fatal(err)
	}
	<-old.Changed()
	if _, err := d.Validate(good); err != nil {
		t.Error(err)
	}
	_, err := d.Validate(revoked)
	wantCode(t, err, CodeAuthInvalidKey)
	wantSameTopology(t, hub.Topology(), d.Topology())

	g.tx.work[string(memberKey(2))] = []byte{9}
	wantCode(t, d.Reload(g.tx), CodeDataLoss)
	_, err = d.Validate(good)
	wantCode(t, err, CodeUnavailable)
}

type fataler interface{ Fatalf(string, ...any) }

func wantSameTopology(t fataler, a, b *Topology) {
	diff := cmp.Diff(a.Members(), b.Members()) + cmp.Diff(a.Placements(), b.Placements())
	if diff != "" || a.ClusterName() != b.ClusterName() || a.Version() != b.Version() || (a.authority == nil) != (b.authority == nil) {
		t.Fatalf("versions %d and %d, names %q and %q:\n%s", a.Version(), b.Version(), a.ClusterName(), b.ClusterName(), diff)
	}
}

// placeReplica adds a replica on a member to a group, as a learner that stands
// at position, or last. The first position is a voter's and cannot be had.
func placeReplica(ctx context.Context, e *Embedded, group uint64, member uint32, position int) (Placement, error) {
	p, ok := e.Placement(group)
	if !ok {
		return Placement{}, errorf(CodeNotFound, "there is no group %d", group)
	}
	position = min(max(position, 1), len(p.Replicas))
	placed, err := e.SetPlacements(ctx, []PlacementChange{{
		Group: group, Expected: p.Version,
		Replicas: slices.Insert(slices.Clone(p.Replicas), position, Replica{ID: NewReplica(member), Learner: true}),
	}})
	if err != nil {
		return Placement{}, err
	}
	return placed[0], nil
}
