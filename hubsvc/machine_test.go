package hubsvc

import (
	"encoding/hex"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/tenant"
)

var (
	someKey  = NewKey{ID: "k_1", Hash: KeyHash{1, 2, 3}, Prefix: "hh_live_abcd", Test: true}
	otherKey = NewKey{ID: "k_2", Hash: KeyHash{4}, Prefix: "hh_live_efgh"}
)

// commands has one command of every op, and its bytes in the log. The bytes
// may never change: logs have them.
var commands = []struct {
	cmd    Command
	golden string
}{
	{Command{Time: 1000, Op: &Birth{ClusterID: ClusterID{9}, Partitions: 64, SecretSum: KeyHash{8}, OperatorKey: someKey, TenantKey: otherKey}}, "010100000000000003e885a26964c41009000000000000000000000000000000a170ce00000040a27373c4200800000000000000000000000000000000000000000000000000000000000000a26f6b84a26964a36b5f31a168c4200102030000000000000000000000000000000000000000000000000000000000a27078ac68685f6c6976655f61626364a27473c3a2746b84a26964a36b5f32a168c4200400000000000000000000000000000000000000000000000000000000000000a27078ac68685f6c6976655f65666768a27473c2"},
	{Command{Time: 1001, Op: &CreateTenant{ID: "acme", Name: "Acme", Plan: "pro"}}, "010200000000000003e983a26964a461636d65a16ea441636d65a2706ca370726f"},
	{Command{Time: 1002, Op: &DeleteTenant{ID: "acme"}}, "010300000000000003ea81a26964a461636d65"},
	{Command{Time: 1003, Op: &TenantPurged{ID: "acme"}}, "010400000000000003eb81a26964a461636d65"},
	{Command{Time: 1004, Op: &CreateKey{Tenant: "acme", Permission: tenant.MCP, Key: someKey}}, "010500000000000003ec83a2746ea461636d65a2706da34d4350a16b84a26964a36b5f31a168c4200102030000000000000000000000000000000000000000000000000000000000a27078ac68685f6c6976655f61626364a27473c3"},
	{Command{Time: 1005, Op: &RevokeKey{ID: "k_1"}}, "010600000000000003ed81a26964a36b5f31"},
	{Command{Time: 1006, Op: &NameMember{Number: 1, Name: "n1", Cluster: "demo", Address: "10.0.0.1:15010", HTTP: "10.0.0.1:15002"}}, "010700000000000003ee85a16ece00000001a26e6da26e31a163a464656d6fa161ae31302e302e302e313a3135303130a168ae31302e302e302e313a3135303032"},
	{Command{Time: 1007, Op: &SetMemberAddress{Number: 2, Address: "10.0.0.2:15010"}}, "010800000000000003ef83a16ece00000002a161ae31302e302e302e323a3135303130a168a0"},
	{Command{Time: 1008, Op: &SetMemberState{Number: 2, State: MemberLeaving}}, "010900000000000003f082a16ece00000002a173cc02"},
	{Command{Time: 1009, Op: &CreateJoinToken{Hash: TokenHash{7}, TTL: 3600_000}}, "010a00000000000003f182a168c4200700000000000000000000000000000000000000000000000000000000000000a174d3000000000036ee80"},
	{Command{Time: 1010, Op: &JoinMember{Token: TokenHash{7}, Request: TokenHash{6}, Name: "n2", Cluster: "demo", Address: "10.0.0.2:15010", Replace: true}}, "010b00000000000003f287a2746bc4200700000000000000000000000000000000000000000000000000000000000000a171c4200600000000000000000000000000000000000000000000000000000000000000a26e6da26e32a163a464656d6fa161ae31302e302e302e323a3135303130a168a0a172c3"},
	{Command{Time: 1011, Op: &SetPlacements{Changes: []PlacementChange{{Group: 3, Expected: 9, Replicas: []Replica{{ID: 1<<32 | 1}, {ID: NewReplica(2), Learner: true}}}}}}, "010c00000000000003f381a1639183a167cf0000000000000003a176cf0000000000000009a1729281a26964cf000000010000000182a26964cf0000000200000000a16cc3"},
	{Command{Time: 1012, Op: &SetTenantStatus{ID: "acme", Status: Suspended}}, "010d00000000000003f482a26964a461636d65a173cc02"},
	{Command{Time: 1013, Op: &SetTenantPlan{ID: "acme", Plan: "pro"}}, "010e00000000000003f582a26964a461636d65a2706ca370726f"},
	{Command{Time: 1014, Op: &PutPlan{Plan: tenant.Plan{Name: "gold", Limits: tenant.Limits{Vectors: 7, Bytes: -1, Collections: 3}, Rates: &tenant.Rates{PerMinute: 60, PerHour: -1, PerDay: 0}}}}, "010f00000000000003f681a17083a16ea4676f6c64a16c84a176cf0000000000000000a16ed30000000000000007a162d3ffffffffffffffffa163d30000000000000003a17283a16dd3000000000000003ca168d3ffffffffffffffffa164d30000000000000000"},
	{Command{Time: 1015, Op: &DeletePlan{Name: "gold"}}, "011000000000000003f781a16ea4676f6c64"},
	{Command{Time: 1016, Op: &RotateKey{ID: "k_1", Grace: 604800_000, Key: otherKey}}, "011100000000000003f883a26964a36b5f31a167d300000000240c8400a16b84a26964a36b5f32a168c4200400000000000000000000000000000000000000000000000000000000000000a27078ac68685f6c6976655f65666768a27473c2"},
	{Command{Time: 1017, Op: &RecordAuth{Seen: []AuthSeen{{Tenant: "acme", KeyID: "k_1", KeyPrefix: "hh_live_abcd", Address: "10.0.0.9", Reason: "AUTH_KEY_EXPIRED", Count: 3, First: 900, Last: 1000}, {Count: 1, First: 5, Last: 5}}}}, "011200000000000003f981a1739288a2746ea461636d65a16ba36b5f31a170ac68685f6c6976655f61626364a161a831302e302e302e39a172b0415554485f4b45595f45585049524544a163ce00000003a166d30000000000000384a16cd300000000000003e883a163ce00000001a166d30000000000000005a16cd30000000000000005"},
	{Command{Time: 1018, Op: &RecordCollections{Records: []CollectionRecord{{Tenant: "acme", Collection: 1 << 40, Name: "docs", Created: 1000}, {Tenant: "acme", Collection: 7, Name: "old", Created: 10, Deleted: 20}}}}, "011300000000000003fa81a1729284a2746ea461636d65a163cf0000010000000000a16ea4646f6373a174d300000000000003e885a2746ea461636d65a163cf0000000000000007a16ea36f6c64a174d3000000000000000aa164d30000000000000014"},
	{Command{Time: 1019, Op: &SetEndpoint{Tenant: "acme", Endpoint: &Endpoint{URL: "https://e.example/v1/embeddings", Model: "m", SealedKey: []byte{1, 2}, Dimension: 384, Batch: 32, TimeoutMs: 5000}}}, "011400000000000003fb82a2746ea461636d65a16586a175bf68747470733a2f2f652e6578616d706c652f76312f656d62656464696e6773a16da16da16bc4020102a164ce00000180a162ce00000020a174ce00001388"},
	{Command{Time: 1020, Op: &TakeUsage{Reporter: "c1", Reports: []tenant.UsageReport{{ReportID: "ab", Source: "p:7", Sequence: 1, Start: 5, End: 1000, Entries: []tenant.UsageEntry{{Tenant: "acme", Collection: 3, Usage: tenant.Usage{VectorsInserted: 2, StorageAdded: 40, CollectionsCreated: 1, ByteSeconds: 9}, VectorCount: 2, StorageBytes: 40}}}}}}, "011500000000000003fc82a27270a26331a1729186a26964a26162a173a3703a37a171cf0000000000000001a162d30000000000000005a165d300000000000003e8a1729188a2746ea461636d65a163cf0000000000000003a27669cf0000000000000002a27361cf0000000000000028a26363cf0000000000000001a26273cf0000000000000009a26e76cf0000000000000002a26e62cf0000000000000028"},
}

func TestCommandCodec(t *testing.T) {
	for i, tc := range commands {
		data := EncodeCommand(tc.cmd)
		if got := hex.EncodeToString(data); got != tc.golden {
			t.Errorf("%T is now %s", tc.cmd.Op, got)
		}
		back, err := DecodeCommand(data)
		if diff := diff(tc.cmd, back); err != nil || diff != "" {
			t.Errorf("%T: %v\n%s", tc.cmd.Op, err, diff)
		}
		if int(tc.cmd.Op.code()) != i+1 {
			t.Errorf("%T has the code %d", tc.cmd.Op, tc.cmd.Op.code())
		}
		for n := range data {
			if _, err := DecodeCommand(data[:n]); err == nil {
				t.Errorf("%T cut to %d bytes decodes", tc.cmd.Op, n)
			}
		}
		if _, err := DecodeCommand(append(slices.Clone(data), 0)); err == nil {
			t.Errorf("%T with a byte too many decodes", tc.cmd.Op)
		}
	}
	if newOp(byte(len(commands)+1)) != nil {
		t.Error("an op is not in the list of this test")
	}
}

// A birth of today brings the authority along; those above did not, and still apply.
func TestBirthWithAuthorityCodec(t *testing.T) {
	op := *commands[0].cmd.Op.(*Birth)
	op.Authority = &NewAuthority{Certificate: []byte{1, 2}, SealedKey: []byte{3}}
	data := EncodeCommand(Command{Time: 1000, Op: &op})
	want := strings.Replace(commands[0].golden, "85a26964", "86a26964", 1) + "a2636182a163c4020102a16bc40103"
	if got := hex.EncodeToString(data); got != want {
		t.Errorf("it is now %s", got)
	}
	back, err := DecodeCommand(data)
	if diff := diff(Command{Time: 1000, Op: &op}, back); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// richCommands are of ops that have grown, with all that they have now, and
// of commands with an actor.
var richCommands = []struct {
	cmd    Command
	golden string
}{
	{Command{Time: 1, Op: &CreateTenant{ID: "acme", Name: "Acme", Plan: "pro", Partition: new(uint32(9))}}, "0102000000000000000184a26964a461636d65a16ea441636d65a2706ca370726fa170ce00000009"},
	{Command{Time: 2, Op: &TenantPurged{ID: "acme", Document: []byte("{}"), Signature: []byte{1, 2}}}, "0104000000000000000283a26964a461636d65a164c4027b7da173c4020102"},
	{Command{Time: 3, Op: &CreateKey{
		Tenant: "acme", Permission: tenant.ReadOnly, Key: someKey, Kind: tenant.KeyMCP, Name: "bot", Expires: 99,
		Scope: &tenant.Scope{
			Collections: []string{"docs-*", "x"},
			AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")},
		},
		Rates: &tenant.Rates{PerMinute: 5, PerHour: -1, PerDay: 7},
	}}, "0105000000000000000388a2746ea461636d65a2706da9524541445f4f4e4c59a16b84a26964a36b5f31a168c4200102030000000000000000000000000000000000000000000000000000000000a27078ac68685f6c6976655f61626364a27473c3a26b64cc02a16ea3626f74a2736382a16392a6646f63732d2aa178a2697092c4050a01000010c41120010db800000000000000000000000020a2726183a16dd30000000000000005a168d3ffffffffffffffffa164d30000000000000007a165d30000000000000063"},
	{Command{Time: 6, Op: &SetEndpoint{Tenant: "acme"}}, "0114000000000000000681a2746ea461636d65"},
	{Command{Time: 4, Op: &RevokeKey{ID: "k_1"}, Actor: Actor{KeyID: "k_2", Service: "gateway", Operator: true, Address: "10.0.0.1", RequestID: "r-1", Nonce: "0123456789abcdef"}}, "0206000000000000000486a16ba36b5f32a173a767617465776179a16fc3a161a831302e302e302e31a172a3722d31a16eb03031323334353637383961626364656681a26964a36b5f31"},
	{Command{Time: 5, Op: &RevokeKey{ID: "k_1"}, Actor: Actor{KeyID: "k_2"}}, "0206000000000000000581a16ba36b5f3281a26964a36b5f31"},
}

func TestRichCommandCodec(t *testing.T) {
	for i, tc := range richCommands {
		data := EncodeCommand(tc.cmd)
		if got := hex.EncodeToString(data); got != tc.golden {
			t.Errorf("rich %d is now %s", i, got)
		}
		back, err := DecodeCommand(data)
		if diff := diff(tc.cmd, back); err != nil || diff != "" {
			t.Errorf("%d: %v\n%s", i, err, diff)
		}
		if err := back.validate(); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		for n := range data {
			if _, err := DecodeCommand(data[:n]); err == nil {
				t.Errorf("%d cut to %d bytes decodes", i, n)
			}
		}
	}
}

// A field that this build does not know is passed over, in the op and in the actor.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	data := []byte{2, 6, 0, 0, 0, 0, 0, 0, 0, 9}
	data = append(data, "\x82\xa1k\xa3k_2\xa3new\x93\x01\x02\xa1x"...)
	data = append(data, "\x82\xa5newer\x81\xa1a\x01\xa2id\xa3k_1"...)
	got, err := DecodeCommand(data)
	want := Command{Time: 9, Op: &RevokeKey{ID: "k_1"}, Actor: Actor{KeyID: "k_2"}}
	if diff := diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, tc := range commands {
		f.Add(EncodeCommand(tc.cmd))
	}
	for _, tc := range richCommands {
		f.Add(EncodeCommand(tc.cmd))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cmd, err := DecodeCommand(data)
		if err != nil {
			return
		}
		back, err := DecodeCommand(EncodeCommand(cmd))
		if diff := diff(cmd, back); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		_ = cmd.validate()
	})
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(encodeRecord(Tenant{ID: "a", Status: Active}))
	f.Add(encodeRecord(Key{ID: "k", Permission: tenant.Admin}))
	f.Add(encodeRecord(Cluster{Partitions: 64}))
	f.Add(encodeRecord(tenant.Plans()[0]))
	f.Add(encodeRecord(Member{Number: 3, Name: "n3", State: MemberGone}))
	f.Add(encodeRecord(Placement{Group: 3, Replicas: []Replica{{ID: FirstReplica}, {ID: 2<<32 | 2, Learner: true}}}))
	f.Add(encodeRecord(Authority{Certificate: []byte{1}, SealedKey: []byte{2}}))
	f.Add(encodeRecord(joinToken{Hash: TokenHash{1}, Expires: 5}))
	f.Add(encodeRecord(settings{Name: "demo", Number: 1, Serial: 1}))
	f.Add(encodeRecord(AuditEntry{Action: ActionBirth, Chain: []byte{1}}))
	f.Add(encodeRecord(Event{Version: 1, Kind: EventKeyCreated}))
	f.Add(encodeRecord(CollectionRecord{Tenant: "a", Collection: 1}))
	f.Add(encodeRecord(ledger{Time: 1}))
	f.Add(encodeRecord(EndpointRecord{Tenant: "a", Endpoint: Endpoint{URL: "https://x", SealedKey: []byte{1}}}))
	f.Add(encodeRecord(usageRow{Points: 1, Held: span{1, 2}}))
	f.Add(encodeRecord(usageSource{Last: 1}))
	f.Add(encodeRecord(Key{ID: "k", Scope: &tenant.Scope{Collections: []string{"*"}, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("::/0")}}}))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = decodeRecord[AuditEntry](data)
		_, _ = decodeRecord[auditPool](data)
		_, _ = decodeRecord[usageRow](data)
		_, _ = decodeRecord[usageSource](data)
		_, _ = decodeRecord[usageReporter](data)
		_, _ = decodeRecord[Event](data)
		_, _ = decodeRecord[nonceRow](data)
		_, _ = decodeRecord[CollectionRecord](data)
		_, _ = decodeRecord[collectionCount](data)
		_, _ = decodeRecord[erasureRecord](data)
		_, _ = decodeRecord[ledger](data)
		_, _ = decodeRecord[EndpointRecord](data)
		_, _ = decodeRecord[Tenant](data)
		_, _ = decodeRecord[Key](data)
		_, _ = decodeRecord[Cluster](data)
		_, _ = decodeRecord[tenant.Plan](data)
		_, _ = decodeRecord[Member](data)
		_, _ = decodeRecord[Placement](data)
		_, _ = decodeRecord[joinToken](data)
		_, _ = decodeRecord[settings](data)
		if a, err := decodeRecord[Authority](data); err == nil {
			_, _ = openAuthority(a)
		}
	})
}

func TestMachineRefusesWithoutATrace(t *testing.T) {
	_, g, _ := bornHub(t)
	seen := 0
	m := NewMachine(func(Change) { seen++ })
	apply := func(op Op) error {
		g.index++
		_, err := m.Apply(g.tx, g.index, EncodeCommand(Command{Time: 5, Op: op}))
		g.tx.end(err)
		return err
	}
	if err := apply(&CreateTenant{ID: "acme", Name: "a", Plan: "free"}); err != nil {
		t.Fatal(err)
	}
	if err := apply(&CreateKey{Tenant: "acme", Permission: tenant.Admin, Key: someKey}); err != nil {
		t.Fatal(err)
	}
	before := g.tx.state
	same := someKey
	same.ID = "k_9"
	for _, tc := range []struct {
		op   Op
		code Code
	}{
		{&Birth{ClusterID: ClusterID{1}, Partitions: 64, OperatorKey: someKey, TenantKey: otherKey}, CodeAlreadyExists},
		{&CreateTenant{ID: "acme", Name: "b", Plan: "pro"}, CodeAlreadyExists},
		{&CreateTenant{ID: "Acme", Name: "b", Plan: "pro"}, CodeInvalidRequest},
		{&CreateTenant{ID: "b", Name: "b", Plan: "gold"}, CodeInvalidRequest},
		{&DeleteTenant{ID: "absent"}, CodeNotFound},
		{&TenantPurged{ID: "absent"}, CodeNotFound},
		{&TenantPurged{ID: "acme"}, CodeFailedPrecondition},
		{&CreateKey{Tenant: "absent", Permission: tenant.Admin, Key: otherKey}, CodeNotFound},
		{&CreateKey{Tenant: "acme", Permission: "ROOT", Key: otherKey}, CodeInvalidRequest},
		{&CreateKey{Tenant: "acme", Permission: tenant.Admin, Key: NewKey{ID: "k_9"}}, CodeInvalidRequest},
		{&CreateKey{Tenant: "acme", Permission: tenant.Admin, Key: someKey}, CodeAlreadyExists},
		{&CreateKey{Tenant: "acme", Permission: tenant.Admin, Key: same}, CodeAlreadyExists},
		{&RevokeKey{ID: "absent"}, CodeNotFound},
		{&SetEndpoint{Tenant: "absent", Endpoint: &Endpoint{URL: "https://x", Dimension: 1}}, CodeNotFound},
		{&SetEndpoint{Tenant: "acme", Endpoint: &Endpoint{URL: "https://x"}}, CodeInvalidRequest},
		{&SetEndpoint{Tenant: "acme", Endpoint: &Endpoint{Dimension: 1}}, CodeInvalidRequest},
		{&SetEndpoint{Tenant: "acme"}, CodeNotFound},
	} {
		wantCode(t, apply(tc.op), tc.code)
		if diff := cmp.Diff(before, g.tx.state); diff != "" {
			t.Errorf("%T left a trace:\n%s", tc.op, diff)
		}
	}
	if seen != 2 {
		t.Errorf("%d changes observed, 2 commands applied", seen)
	}
	_, err := m.Apply(g.tx, g.index+1, []byte("garbage of a log"))
	wantCode(t, err, CodeDataLoss)
	g.tx.fail = errors.New("page is corrupt")
	for _, tc := range commands {
		_, err := m.Apply(g.tx, g.index+1, EncodeCommand(tc.cmd))
		wantCode(t, err, CodeDataLoss)
		if !errors.Is(err, g.tx.fail) {
			t.Errorf("%T hides the cause: %v", tc.cmd.Op, err)
		}
	}
}

// Two machines that are given the same log have the same bytes, one of them
// across refusals and without an observer.
func TestMachineIsDeterministic(t *testing.T) {
	tenants := []tenant.ID{"default", "a", "b", "c"}
	keys := []tenant.KeyID{"k0", "k1", "k2", "k3", "k4"}
	rapid.Check(t, func(rt *rapid.T) {
		id := rapid.SampledFrom(tenants)
		newKey := rapid.Custom(func(rt *rapid.T) NewKey {
			i := rapid.IntRange(0, len(keys)-1).Draw(rt, "key")
			return NewKey{ID: keys[i], Hash: KeyHash{byte(rapid.IntRange(1, 4).Draw(rt, "hash"))}}
		})
		op := rapid.OneOf(
			rapid.Custom(func(rt *rapid.T) Op { return &CreateTenant{ID: id.Draw(rt, "id"), Name: "n", Plan: "pro"} }),
			rapid.Custom(func(rt *rapid.T) Op { return &DeleteTenant{ID: id.Draw(rt, "id")} }),
			rapid.Custom(func(rt *rapid.T) Op { return &TenantPurged{ID: id.Draw(rt, "id")} }),
			rapid.Custom(func(rt *rapid.T) Op {
				return &CreateKey{Tenant: id.Draw(rt, "id"), Permission: tenant.Admin, Key: newKey.Draw(rt, "key")}
			}),
			rapid.Custom(func(rt *rapid.T) Op { return &RevokeKey{ID: rapid.SampledFrom(keys).Draw(rt, "id")} }),
			rapid.Custom(func(rt *rapid.T) Op {
				op := &SetEndpoint{Tenant: id.Draw(rt, "id")}
				if rapid.Bool().Draw(rt, "put") {
					op.Endpoint = &Endpoint{URL: "https://x", Dimension: 3}
				}
				return op
			}),
		)
		log := [][]byte{EncodeCommand(commands[0].cmd)}
		for i, o := range rapid.SliceOfN(op, 0, 40).Draw(rt, "ops") {
			log = append(log, EncodeCommand(Command{Time: int64(i), Op: o}))
		}
		one, two := newMemTxn(), newMemTxn()
		a, b := NewMachine(func(Change) {}), NewMachine(nil)
		for i, data := range log {
			answer1, err1 := a.Apply(one, uint64(i+1), data)
			one.end(err1)
			answer2, err2 := b.Apply(two, uint64(i+1), data)
			two.end(err2)
			if diff := cmp.Diff(answer1, answer2); diff != "" || (err1 == nil) != (err2 == nil) {
				rt.Fatalf("entry %d: %v and %v\n%s", i+1, err1, err2, diff)
			}
			checkIndexes(rt, one)
		}
		if diff := cmp.Diff(one.state, two.state); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// checkIndexes holds the two indexes to be exactly what the records say.
func checkIndexes(t *rapid.T, tx *memTxn) {
	want := map[string][]byte{}
	keys, err := list[Key](tx, tagKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		want[string(tenantKeyKey(k.Tenant, k.ID))] = []byte{1}
		if k.Revoked == 0 {
			want[string(hashKey(k.Hash))] = []byte(k.ID)
		}
	}
	got := map[string][]byte{}
	for k, v := range tx.state {
		if k[0] == tagHash || k[0] == tagTenantKey {
			got[k] = v
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("indexes differ from the records:\n%s", diff)
	}
}

// Apply is a function of state and entry: the files it is made of do not
// know of clocks, randomness, files or maps, whose order is random.
func TestMachineKnowsNothingElse(t *testing.T) {
	allowed := []string{
		"bytes", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt", "math", "strings", "unicode/utf8",
		"github.com/vmihailenco/msgpack/v5", "github.com/hivehub/waggle/tenant",
	}
	for _, name := range []string{
		"machine.go", "machine_records.go", "machine_members.go", "machine_placement.go", "state.go", "state_cluster.go",
		"command.go", "command_cluster.go", "validate.go", "validate_cluster.go", "records.go", "records_cluster.go",
		"machine_tenants.go", "machine_keys.go", "machine_tables.go", "state_hub.go", "command_hub.go", "validate_hub.go", "records_hub.go",
		"machine_endpoint.go",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range file.Imports {
			if path := strings.Trim(imp.Path.Value, `"`); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if _, ok := n.(*ast.MapType); ok {
				t.Errorf("%s has a map", name)
			}
			return true
		})
	}
}
