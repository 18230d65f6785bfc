package httpedge

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestQdrantDoc holds the table of operations in docs/qdrant.md to the route
// table, in both directions.
func TestQdrantDoc(t *testing.T) {
	text, err := os.ReadFile("../docs/qdrant.md")
	if err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\{[^}]*\}|:[a-z]+`)
	plain := func(operation string) string { return parameter.ReplaceAllString(operation, "{}") }
	row := regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\| ([a-z ]+) \\| (.*) \\|$")
	documented, paths := map[string]string{}, map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		operation, state, note := plain(m[1]), m[2], m[3]
		if documented[operation] != "" {
			t.Errorf("%s stands there twice", m[1])
		}
		if (state == "differs" || state == "absent") && note == "" {
			t.Errorf("%s: %s, without a word how or why", m[1], state)
		}
		documented[operation] = state
		paths[strings.SplitN(operation, " ", 2)[1]] = true
	}
	// Qdrant 1.19 describes 69 operations at 53 paths, and serves 8 older ones.
	if len(documented) != 69+8 || len(paths) != 53+8 {
		t.Errorf("%d operations at %d paths", len(documented), len(paths))
	}

	later := map[string]bool{}
	for _, op := range notYet {
		later[plain(op.method+" "+op.path)] = true
	}
	s := newEdge(t, nil)
	routed := map[string]bool{}
	for _, rt := range s.qdrantRoutes() {
		operation := plain(rt.method + " " + rt.path)
		routed[operation] = true
		state := documented[operation]
		switch built := state == "works" || state == "differs"; {
		case later[operation] && state != "not yet", !later[operation] && !built:
			t.Errorf("%s is documented as %q", operation, state)
		}
	}
	for operation, state := range documented {
		if absent := state == "absent"; absent == routed[operation] {
			t.Errorf("%s is documented as %q, and a route: %v", operation, state, routed[operation])
		}
	}

	// What the table says is what a client gets.
	for operation, state := range documented {
		method, path, _ := strings.Cut(operation, " ")
		got := s.send(method, s.qdrant+strings.ReplaceAll(path, "{}", "7"), s.keys["ADMIN"], "{}")
		is := fmt.Sprint(got.status)
		switch {
		case state == "not yet" && got.status != 501,
			state == "absent" && got.status != 404 && got.status != 405,
			(state == "works" || state == "differs") && (got.status == 501 || got.status == 405 || strings.Contains(got.text, "nothing at this path")):
			t.Errorf("%s is documented as %q and answers %s", operation, state, is)
		}
	}
}
