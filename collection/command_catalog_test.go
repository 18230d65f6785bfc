package collection

import (
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// everyNamedOp is one operation of each kind that came with named vectors.
func everyNamedOp(t testing.TB) []Op {
	c, on, off := namedConfig(), true, false
	records, err := finalRecords(&c, []Point{{ID: NumID(1), Vector: []float32{1, 2}}, {ID: UUID([16]byte{2})}}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	written := textConfig()
	texts, err := finalRecords(&written, []Point{{ID: NumID(1), Vector: []float32{1, 2}, Payload: Payload{"text": "b a b", "title": "the"}}}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	ids := []PointID{NumID(1), UUID([16]byte{2})}
	return []Op{
		CreateCollection{Name: "n", Config: c},
		Upsert{Records: records},
		UpdateVectors{Records: records},
		DeleteVectors{IDs: ids, Vectors: []VectorRef{{DenseKind, 1}, {SparseKind, 0x102}}},
		UpdateAliases{Actions: []AliasAction{{AliasCreate, "a", "käse"}, {AliasDelete, "a", ""}, {AliasRename, "a", "b"}}},
		UpdateCollection{
			Settings: map[string]any{"hnsw_config": map[string]any{"m": int64(8)}},
			Vectors:  []VectorPatch{{Name: "a", OnDisk: &on, Settings: map[string]any{"x": true}}, {}},
			Sparse:   []VectorPatch{{Name: "s", IDF: &off}},
		},
		UpdateCollection{},
		PutPayloadIndex{PayloadIndex{Field: "a.b[]", Type: "uuid", Params: map[string]any{"type": "uuid", "is_tenant": true}}},
		PutPayloadIndex{PayloadIndex{Field: "f", Type: "keyword"}},
		DeletePayloadIndex{Field: "a.b[]"},
		Batch{Ops: []Op{
			Upsert{Records: records},
			DeletePoints{IDs: ids},
			UpdateVectors{Records: records},
			SetPayload{IDs: ids, Payload: []byte{0x80}, Path: "p"},
			DeletePayload{IDs: ids, Keys: []string{"k"}},
		}},
		Batch{Ops: []Op{}},
		CreateCollection{Name: "n", Config: textConfig()},
		Upsert{Records: texts},
		ChangeTexts{Op: SetPayload{IDs: ids, Payload: []byte{0x80}}, Texts: []TextChange{{Number: 1, Part: texts[0].parts()[1].bytes}}},
		Batch{Ops: []Op{ChangeTexts{Op: ClearPayload{IDs: ids}, Texts: []TextChange{{Part: []byte{}}, {Number: 1, Part: []byte{}}}}}},
	}
}

// laterGolden is everyNamedOp as it lies in logs, without what is before the
// operation. A row may be added, none may change.
var laterGolden = []string{
	"010000006e0200000000000000000300010300000001000000610000000000030200000000000000000000000002010000000100000062000000000002000001000000730000000001010000007400000000",
	"020000001c00000002010100000000000000000101000100020000000000803f00000040140000000102000002000000000000000000000000000000",
	"020000001c00000002010100000000000000000101000100020000000000803f00000040140000000102000002000000000000000000000000000000",
	"02000000010000000000000001020200000000000000000000000000000002000000010001020102",
	"03000000010100000061050000006bc3a47365020100000061000000000301000000610100000062",
	"1100000081ab686e73775f636f6e66696781a16d080200010000006102000400000081a178c30000000000000000000001000100000073000100000000",
	"0000000000000000",
	"0805000000612e625b5d1600000082a969735f74656e616e74c3a474797065a475756964",
	"01010000006600000000",
	"612e625b5d",
	"05000000033c000000020000001c00000002010100000000000000000101000100020000000000803f00000040140000000102000002000000000000000000000000000000041e000000020000000100000000000000010202000000000000000000000000000000203c000000020000001c00000002010100000000000000000101000100020000000000803f000000401400000001020000020000000000000000000000000000000524000000020000000100000000000000010202000000000000000000000000000000010000007080072700000002000000010000000000000001020200000000000000000000000000000001000000010000006b",
	"00000000",
	"010000006e030000000000000000010003020000000000000000000000000000020004000000746578740400000074657874333333333333f33f000000000000e83f000000000000060000007469746c6573050000007469746c650000000000000040000000000000000001000900010003000000546865",
	"01000000620000000201030000000000000000010000010002000000000003000200000001000300000000000000803f00000040030000008cec01864cdc63afa5f101864cdf63af01000000020000000000000082a474657874a56220612062a57469746c65a3746865",
	"010001001c000000030000008cec01864cdc63afa5f101864cdf63af0100000002000000050200000001000000000000000102020000000000000000000000000000000000000080",
	"01000000292d000000020000000000000001000000000008020000000100000000000000010202000000000000000000000000000000",
}

func TestNamedOperationsAreWrittenAsEver(t *testing.T) {
	ops := everyNamedOp(t)
	if len(ops) != len(laterGolden) {
		t.Fatalf("%d operations, %d are known", len(ops), len(laterGolden))
	}
	for i, op := range ops {
		data := encode(t, Command{Tenant: "t", Op: op})
		if got := hex.EncodeToString(data[commandHeader+3:]); got != laterGolden[i] {
			t.Errorf("%T: written as\n%s\nnot\n%s", op, got, laterGolden[i])
		}
	}
	for kind, op := range map[opKind]Op{
		32: UpdateVectors{}, 33: DeleteVectors{}, 34: UpdateAliases{}, 35: UpdateCollection{}, 36: PutPayloadIndex{},
		37: DeletePayloadIndex{}, 38: Batch{},
	} {
		if op.kind() != kind {
			t.Errorf("%T has number %d, not %d", op, op.kind(), kind)
		}
	}
}

func TestBatchHoldsChangesOfPointsOnly(t *testing.T) {
	for _, op := range everyOp(t) {
		data, err := EncodeCommand(nil, command(1, Batch{Ops: []Op{op}}))
		if inBatch(op.kind()) != (err == nil) {
			t.Fatalf("%T in a batch: %v", op, err)
		}
		if err != nil {
			continue
		}
		if _, err := DecodeCommand(data); err != nil {
			t.Fatal(err)
		}
		// The kind inside the batch is its first byte after the number of operations.
		at := commandHeader + 1 + len(alice) + 1 + 4
		for _, kind := range []opKind{0, opBatch, opPurge, opDropTenant, opUpdateAliases, 99} {
			bad := append([]byte(nil), data...)
			bad[at] = byte(kind)
			if _, err := DecodeCommand(bad); CodeOf(err) != DataLoss {
				t.Fatalf("a batch with an operation of kind %d: %v", kind, err)
			}
		}
	}
	many := Batch{}
	for range BatchOpsMax + 1 {
		many.Ops = append(many.Ops, ClearPayload{})
	}
	if _, err := DecodeCommand(encode(t, command(1, many))); CodeOf(err) != DataLoss {
		t.Fatal(err)
	}
	many.Ops = many.Ops[1:]
	if _, err := DecodeCommand(encode(t, command(1, many))); err != nil {
		t.Fatal(err)
	}
}

func TestNamedConfigGivesBackEveryField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := func() map[string]any {
			if !rapid.Bool().Draw(t, "settings") {
				return nil
			}
			return map[string]any{"hnsw_config": map[string]any{"m": rapid.Int64().Draw(t, "m")}, "s": rapid.String().Draw(t, "s")}
		}
		want := Config{CreatedAt: rapid.Int64().Draw(t, "created"), Extra: settings()}
		for i := range rapid.IntRange(0, 3).Draw(t, "vectors") {
			v := VectorParams{Name: strconv.Itoa(i), Size: rapid.IntRange(0, 1<<20).Draw(t, "size"), Distance: rapid.SampledFrom(distanceNumbers[1:]).Draw(t, "distance"), Extra: settings()}
			if rapid.Bool().Draw(t, "said") {
				on := rapid.Bool().Draw(t, "on disk")
				v.OnDisk = &on
			}
			want.Vectors = append(want.Vectors, v)
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "sparse") {
			want.Sparse = append(want.Sparse, SparseParams{Name: "s" + strconv.Itoa(i), IDF: rapid.Bool().Draw(t, "idf"), Extra: settings()})
		}
		raw, err := appendConfig(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeConfig(raw)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		for n := range raw {
			if c, err := decodeConfig(raw[:n]); err == nil && cmp.Equal(c, want) {
				t.Fatalf("the first %d of %d bytes are the whole", n, len(raw))
			}
		}
	})
}

// Configurations that were stored before there were named vectors.
func TestOldConfigsAreReadAndWritten(t *testing.T) {
	on := true
	for _, k := range []struct {
		hex  string
		want Config
		same bool // it is written so again
	}{
		{
			"01" + "0500000000000000" + "0100" + "01" + "03000000" + "00000000" + "81ab686e73775f636f6e66696781a16d10",
			Config{Vectors: []VectorParams{{Size: 3, Distance: Cosine}}, CreatedAt: 5, Extra: map[string]any{"hnsw_config": map[string]any{"m": int64(16)}}},
			true,
		},
		{"01" + "0000000000000000" + "0100" + "03" + "02000000" + "00000000", testConfig(), true},
		{ // the vector's settings among the collection's
			"01" + "0000000000000000" + "0100" + "03" + "02000000" + "00000000" + "81a6766563746f7282a76f6e5f6469736bc3a178c2",
			Config{Vectors: []VectorParams{{Size: 2, Distance: Dot, OnDisk: &on, Extra: map[string]any{"x": false}}}},
			false,
		},
	} {
		raw, err := hex.DecodeString(k.hex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeConfig(raw)
		if diff := cmp.Diff(k.want, got); err != nil || diff != "" {
			t.Fatalf("%s: %v %s", k.hex, err, diff)
		}
		again, err := appendConfig(nil, got)
		if err != nil || (hex.EncodeToString(again) == k.hex) != k.same {
			t.Fatalf("%s became %x, %v", k.hex, again, err)
		}
		if back, err := decodeConfig(again); err != nil || cmp.Diff(got, back) != "" {
			t.Fatalf("%s became %+v, %v", k.hex, back, err)
		}
	}
}

func TestCatalogRequestsAreChecked(t *testing.T) {
	l := DefaultLimits()
	long := strings.Repeat("x", fieldNameMax)
	large := map[string]any{"x": strings.Repeat("x", fieldParamMax)}
	for _, x := range []PayloadIndex{{Field: long, Type: "text"}, {Field: "a.b[].c", Type: "geo", Params: map[string]any{"type": "geo"}}} {
		if err := x.Validate(); err != nil {
			t.Errorf("%.20s: %v", x.Field, err)
		}
	}
	for _, x := range []PayloadIndex{
		{Field: long + "x", Type: "text"},
		{Field: "a", Type: "Text"},
		{Field: "a"},
		{Field: "a", Type: "bool", Params: large},
		{Field: "a", Type: "bool", Params: map[string]any{"x": struct{}{}}},
	} {
		wantError(t, x.Validate(), InvalidArgument, ReasonValidation)
	}
	for _, field := range []string{"", "a..b", "[0]"} {
		wantError(t, PayloadIndex{Field: field, Type: "bool"}.Validate(), InvalidArgument, ReasonNone)
	}
	most := UpdateAliases{Actions: make([]AliasAction, AliasesMax)}
	for i := range most.Actions {
		most.Actions[i] = AliasAction{AliasRename, strings.Repeat("y", 300), strings.Repeat("x", 255)}
	}
	if err := most.Validate(l); err != nil {
		t.Error(err)
	}
	wantError(t, UpdateAliases{Actions: append(most.Actions, most.Actions[0])}.Validate(l), InvalidArgument, ReasonTooLarge)
	for _, a := range []AliasAction{{AliasCreate, "", "x"}, {AliasCreate, "a/b", "x"}, {AliasRename, "x", ""}, {AliasRename, "x", strings.Repeat("x", 256)}} {
		wantError(t, UpdateAliases{Actions: []AliasAction{a}}.Validate(l), InvalidArgument, ReasonValidation)
	}
	c := namedConfig()
	room := map[string]any{"a": strings.Repeat("x", maxExtraBytes-6)}
	for _, op := range []UpdateCollection{{}, {Settings: room}, {Vectors: []VectorPatch{{Name: "b", Settings: room}}}, {Sparse: []VectorPatch{{Name: "t"}}}} {
		if err := op.Validate(c); err != nil {
			t.Error(err)
		}
	}
	c.Extra = map[string]any{"b": "c"}
	for _, op := range []UpdateCollection{
		{Settings: room},
		{Settings: map[string]any{"x": struct{}{}}},
		{Vectors: make([]VectorPatch, VectorsMax+1)},
		{Settings: map[string]any{"x": "y"}, Sparse: []VectorPatch{{Name: "s", Settings: room}}},
	} {
		wantError(t, op.Validate(c), InvalidArgument, ReasonValidation)
	}
	for text, op := range map[string]UpdateCollection{
		"Vector params for s are not specified in config":         {Vectors: []VectorPatch{{Name: "s"}}},
		"Sparse vector `a` is not specified in collection config": {Sparse: []VectorPatch{{Name: "a"}}},
	} {
		err := op.Validate(c)
		wantError(t, err, InvalidArgument, ReasonNone)
		if !strings.Contains(err.Error(), text) {
			t.Error(err)
		}
	}
	err := UpdateCollection{Vectors: []VectorPatch{{}}}.Validate(Config{})
	wantError(t, err, InvalidArgument, ReasonNone)
}
