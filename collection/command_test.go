package collection

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/tenant"
)

// everyOp is one operation of each kind.
func everyOp(t testing.TB) []Op {
	ids := []PointID{NumID(1), UUID([16]byte{2})}
	config := Config{
		Vectors: []VectorParams{{Size: 3, Distance: Cosine}}, CreatedAt: 5,
		Extra: map[string]any{"hnsw_config": map[string]any{"m": int64(16)}},
	}
	return append([]Op{
		CreateCollection{Name: "käse", Config: config},
		DeleteCollection{Name: "käse"},
		upsert(t, point(1, Payload{"a": int64(1)}), point(2, nil)),
		DeletePoints{IDs: ids},
		SetPayload{IDs: ids, Payload: []byte{0x80}, Path: "a.b"},
		OverwritePayload{IDs: ids, Payload: []byte{0x80}},
		DeletePayload{IDs: ids, Keys: []string{"a", "b[0].c"}},
		ClearPayload{IDs: ids},
		DropTenant{Max: 10},
		Purge{Max: 1},
		CheckDigest{},
		OutboxDone{Upto: 1 << 50},
		CutUsage{},
		UsageDone{Upto: 1 << 50},
	}, everyNamedOp(t)...)
}

var sameValues = cmp.AllowUnexported(Record{}, PointID{})

func TestCommandGivesBackEveryField(t *testing.T) {
	for _, op := range everyOp(t) {
		for _, key := range []string{"", "k", strings.Repeat("k", 255)} {
			want := Command{
				Tenant: "t", Collection: 1 << 60, Key: key, Time: -3,
				Limits: tenant.Limits{Version: 9, Vectors: -1, Bytes: 0, Collections: 1 << 40}, Op: op,
			}
			if key != "" {
				want.Hash = [32]byte{1, 31: 2}
				want.Nonce, want.Claim = key, 1<<63
			}
			data := encode(t, want)
			got, err := DecodeCommand(data)
			if err != nil {
				t.Fatalf("%T: %v", op, err)
			}
			if diff := cmp.Diff(want, got, sameValues); diff != "" {
				t.Fatalf("%T: %s", op, diff)
			}
			if CommandTenant(data) != "t" {
				t.Fatalf("%T: CommandTenant = %q", op, CommandTenant(data))
			}
		}
	}
}

// commandsGolden are entries as they lie in logs: what an older build wrote is
// read by every later one. A row may be added, none may change.
var commandsGolden = []struct {
	name string
	cmd  Command
	hex  string
}{
	{"plain", Command{Tenant: "t", Collection: 7, Basis: 3, Time: 2, Limits: tenant.Limits{Version: 9, Vectors: -1, Bytes: 0, Collections: 5}, Op: DeleteCollection{Name: "x"}}, "01020200000000000000070000000000000003000000000000000900000000000000ffffffffffffffff0000000000000000050000000000000001740078"},
	{"key", Command{Tenant: "t", Key: "k", Hash: [32]byte{1, 31: 2}, Op: ClearPayload{IDs: []PointID{NumID(1)}}}, "010800000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000174016b010000000000000000000000000000000000000000000000000000000000000201000000010000000000000001"},
	{"nonce", Command{Tenant: "t", Nonce: "n", Claim: 5, Op: DeletePoints{IDs: []PointID{NumID(1)}}}, "02040000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000017400016e050000000000000001000000010000000000000001"},
	{"key and nonce", Command{Tenant: "t", Key: "k", Nonce: "n", Claim: 5, Op: CheckDigest{}}, "020b00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000174016b0000000000000000000000000000000000000000000000000000000000000000016e0500000000000000"},
	{"outbox done", Command{Op: OutboxDone{Upto: 258}}, "010c000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000201000000000000"},
	{"cut usage", Command{Op: CutUsage{}}, "012700000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"},
	{"usage done", Command{Op: UsageDone{Upto: 258}}, "0128000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000201000000000000"},
}

func TestCommandsAreReadAsTheyWereWritten(t *testing.T) {
	for _, g := range commandsGolden {
		if got := hex.EncodeToString(encode(t, g.cmd)); got != g.hex {
			t.Errorf("%s: written as\n%s\nnot\n%s", g.name, got, g.hex)
		}
		data, _ := hex.DecodeString(g.hex)
		got, err := DecodeCommand(data)
		if diff := cmp.Diff(g.cmd, got, sameValues); err != nil || diff != "" {
			t.Errorf("%s: %v %s", g.name, err, diff)
		}
	}
}

// What is cut off or added shows, except at the end of an operation that takes
// the rest of the entry as it is: there a checksum must tell.
func TestCommandRefusesWhatIsCutShort(t *testing.T) {
	for _, op := range everyOp(t) {
		data := encode(t, command(1, op))
		for n := range data {
			c, err := DecodeCommand(data[:n])
			if err == nil && bytes.Equal(encode(t, c), data) {
				t.Fatalf("%T: the first %d of %d bytes are the whole", op, n, len(data))
			}
			if err != nil && CodeOf(err) != DataLoss {
				t.Fatalf("%T: the first %d bytes: %v", op, n, err)
			}
		}
		for _, at := range []int{0, 1} {
			bad := bytes.Clone(data)
			bad[at] = 99
			if _, err := DecodeCommand(bad); CodeOf(err) != DataLoss {
				t.Fatalf("%T: byte %d changed: %v", op, at, err)
			}
		}
	}
}

func TestCommandLimits(t *testing.T) {
	for _, c := range []Command{
		{Tenant: tenant.ID(strings.Repeat("t", 256)), Op: CheckDigest{}},
		{Tenant: "t", Key: strings.Repeat("k", 256), Op: CheckDigest{}},
		{Tenant: "t", Nonce: strings.Repeat("n", 256), Op: CheckDigest{}},
		{Tenant: "t"},
	} {
		if _, err := EncodeCommand(nil, c); CodeOf(err) != Internal {
			t.Errorf("encoded: %v", err)
		}
	}
	most := make([]PointID, MaxBatchPoints)
	for i := range most {
		most[i] = NumID(uint64(i))
	}
	if _, err := DecodeCommand(encode(t, command(1, DeletePoints{IDs: most}))); err != nil {
		t.Fatal(err)
	}
	more := append(most, NumID(1))
	if _, err := DecodeCommand(encode(t, command(1, DeletePoints{IDs: more}))); CodeOf(err) != DataLoss {
		t.Fatalf("%d ids: %v", len(more), err)
	}
	many := make([]Record, MaxBatchPoints+1)
	for i := range many {
		many[i] = record(t, Point{ID: NumID(1)})
	}
	if _, err := DecodeCommand(encode(t, command(1, Upsert{Records: many}))); CodeOf(err) != DataLoss {
		t.Fatalf("%d records: %v", len(many), err)
	}
	for _, op := range []Op{Purge{}, DropTenant{}} {
		if _, err := DecodeCommand(encode(t, command(1, op))); CodeOf(err) != DataLoss {
			t.Fatalf("%T of nothing: %v", op, err)
		}
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, op := range everyOp(f) {
		f.Add(encode(f, command(1, op)))
		f.Add(encode(f, Command{Tenant: alice, Key: "k", Nonce: "n", Claim: 1, Op: op}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = CommandTenant(b)
		c, err := DecodeCommand(b)
		if err != nil {
			if CodeOf(err) != DataLoss {
				t.Fatal(err)
			}
			return
		}
		again, err := EncodeCommand(nil, c)
		if err != nil {
			return // a NaN in a configuration, which only a forger writes
		}
		back, err := DecodeCommand(again)
		if err != nil {
			t.Fatalf("%x became %x: %v", b, again, err)
		}
		if twice, err := EncodeCommand(nil, back); err != nil || !bytes.Equal(again, twice) {
			t.Fatalf("%x became %x, then %x: %v", b, again, twice, err)
		}
	})
}

func FuzzDecodeConfig(f *testing.F) {
	raw, _ := appendConfig(nil, testConfig())
	f.Add(raw)
	f.Add(append(raw, 0x80)) // settings that are there and empty
	raw, _ = appendConfig(nil, namedConfig())
	f.Add(raw)
	raw, _ = appendConfig(nil, textConfig())
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeConfig(b)
		if err != nil {
			if CodeOf(err) != DataLoss {
				t.Fatal(err)
			}
			return
		}
		again, err := appendConfig(nil, c)
		if err != nil {
			return
		}
		back, err := decodeConfig(again)
		if err != nil {
			t.Fatalf("%x became %x: %v", b, again, err)
		}
		if twice, err := appendConfig(nil, back); err != nil || !bytes.Equal(again, twice) {
			t.Fatalf("%x became %x, then %x: %v", b, again, twice, err)
		}
	})
}

// FuzzDecodeRows throws bytes at the decoders of every stored row.
func FuzzDecodeRows(f *testing.F) {
	f.Add([]byte{1, 1, 'a', 1, 0, 0, 0, 'n'})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newMemStore()
		for bucket := range BucketEnd {
			for row := range rowField + 1 {
				s.buckets[bucket][string([]byte{row})] = b
				s.buckets[bucket][string(collectionKey(row, 1))] = b
				s.buckets[bucket][string(tenantKey(row, alice, "n"))] = b
				s.buckets[bucket][string(tenantKey(row, alice, ""))] = b
			}
			s.buckets[bucket][string(pointKey(nil, 1, 1))] = b
			s.buckets[bucket][string(idKey(nil, 1, NumID(1)))] = b
			s.buckets[bucket][string(indexKey(1, "f"))] = b
		}
		for _, op := range everyOp(t) {
			c := command(1, op)
			c.Key, c.Nonce = "n", "n"
			s.apply(encode(t, c))
		}
		_ = Verify(s)
		_, _ = ListTrash(s)
		_, _, _ = Outbox(s, 10)
		_, _ = Erased(s, alice)
		_, _ = ListAliases(s, alice)
		_, _ = ListPayloadIndexes(s, 1)
		_, _, _ = Resolve(s, alice, "n")
	})
}

func TestConfigGivesBackEveryField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Config{CreatedAt: rapid.Int64().Draw(t, "created")}
		for range rapid.IntRange(1, 3).Draw(t, "vectors") {
			want.Vectors = append(want.Vectors, VectorParams{
				Name:     rapid.String().Draw(t, "name"),
				Size:     rapid.IntRange(0, 1<<20).Draw(t, "size"),
				Distance: rapid.SampledFrom(distanceNumbers[1:]).Draw(t, "distance"),
			})
		}
		if rapid.Bool().Draw(t, "extra") {
			want.Extra = map[string]any{"a": map[string]any{"b": int64(1), "c": 1.0}}
		}
		raw, err := appendConfig(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeConfig(raw)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})
	if _, err := appendConfig(nil, Config{Vectors: []VectorParams{{Distance: "cosine"}}}); err == nil {
		t.Fatal("an unknown distance was encoded")
	}
}
