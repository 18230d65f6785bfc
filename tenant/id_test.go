package tenant

import (
	"strings"
	"testing"
)

func TestParseID(t *testing.T) {
	for _, good := range []string{"a", "0", "default", "t_abc-9", strings.Repeat("a", IDBytesMax)} {
		if id, err := ParseID(good); err != nil || string(id) != good {
			t.Errorf("%q: %q, %v", good, id, err)
		}
	}
	for _, bad := range []string{"", "_a", "-a", "A", "a b", "a/b", "a\x00", "é", "..", strings.Repeat("a", IDBytesMax+1)} {
		if id, err := ParseID(bad); err == nil || id != "" {
			t.Errorf("%q accepted as %q", bad, id)
		}
	}
}

// Where a tenant lives is on disk in every cluster: the function may never change.
func TestPartitionIsFixed(t *testing.T) {
	for id, want := range map[ID]uint32{"default": 22, "acme": 12, "t_aaaaaaaaaaaa": 54} {
		if got := id.Partition(64); got != want {
			t.Errorf("%s: partition %d, want %d", id, got, want)
		}
	}
}

func TestPlans(t *testing.T) {
	var names strings.Builder
	for _, p := range Plans() {
		names.WriteString(p.Name + " ")
	}
	if names.String() != "free pro enterprise " {
		t.Errorf("plans are %s", names.String())
	}
	if l := Plans()[0].Limits; l != (Limits{Vectors: 10_000, Bytes: 50 << 20, Collections: 1}) {
		t.Errorf("free is %+v", l)
	}
}
