package collection

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func anyID() *rapid.Generator[PointID] {
	return rapid.OneOf(
		rapid.Map(rapid.Uint64(), NumID),
		rapid.Custom(func(t *rapid.T) PointID {
			return UUID([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")))
		}),
	)
}

func TestPointIDKeysOrderAsIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyID().Draw(t, "a"), anyID().Draw(t, "b")
		ka, kb := a.AppendKey(nil), b.AppendKey(nil)
		if got, want := bytes.Compare(ka, kb), a.Compare(b); got != want {
			t.Fatalf("keys of %s and %s order %d, ids %d", a, b, got, want)
		}
		back, rest, err := DecodeID(append(ka, 0xee))
		if err != nil || back != a || len(rest) != 1 {
			t.Fatalf("decoded %v, %x, %v; want %v", back, rest, err, a)
		}
	})
	if NumID(math.MaxUint64).Compare(UUID([16]byte{})) >= 0 {
		t.Fatal("numbers sort before UUIDs")
	}
}

func TestPointIDText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := anyID().Draw(t, "id")
		parsed, err := ParseID(id.String())
		if err != nil || parsed != id {
			t.Fatalf("ParseID(%q) = %v, %v", id.String(), parsed, err)
		}
		b, err := json.Marshal(id)
		var back PointID
		if err != nil || json.Unmarshal(b, &back) != nil || back != id {
			t.Fatalf("JSON of %s: %s, %v", id, b, err)
		}
	})
}

func TestParseUUIDTakesEveryForm(t *testing.T) {
	const want = "936da01f-9abd-4d9d-80c7-02af85c822a8"
	for _, s := range []string{
		want, "936DA01F9ABD4D9D80C702AF85C822A8", "{936da01f-9abd-4d9d-80c7-02af85c822a8}",
		"urn:uuid:936da01f-9abd-4d9d-80c7-02af85c822a8",
	} {
		id, err := ParseUUID(s)
		if err != nil || id.String() != want {
			t.Errorf("ParseUUID(%q) = %q, %v", s, id, err)
		}
		if _, isNum := id.Num(); isNum || id.IsZero() {
			t.Errorf("%q became a number or nothing", s)
		}
	}
}

func TestBadIDs(t *testing.T) {
	for _, s := range []string{
		"", "-1", "+1", "1.0", "0x1", "18446744073709551616", "abc",
		"936da01f-9abd-4d9d-80c7-02af85c822a", "x936da01f-9abd-4d9d-80c7-02af85c822a8x",
	} {
		if id, err := ParseID(s); err == nil || CodeOf(err) != InvalidArgument {
			t.Errorf("ParseID(%q) = %v, %v", s, id, err)
		}
	}
	for _, s := range []string{`"1"`, `1.0`, `-1`, `1e3`, `null`, `true`, `{}`, `18446744073709551616`} {
		var id PointID
		if err := id.UnmarshalJSON([]byte(s)); err == nil {
			t.Errorf("%s became the id %s", s, id)
		}
	}
	for _, key := range [][]byte{nil, {1}, {2, 0, 0, 0, 0, 0, 0, 0, 0}, {3, 0, 0, 0, 0, 0, 0, 0, 0}} {
		if _, _, err := DecodeID(key); CodeOf(err) != DataLoss {
			t.Errorf("DecodeID(%x): %v", key, err)
		}
	}
	if got := (PointID{}).String(); got != "" {
		t.Errorf("the zero id is %q", got)
	}
}
