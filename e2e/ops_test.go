package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// onlySometimes are series that the node of the test does not have, and the file
// that registers them.
var onlySometimes = []struct {
	name, file string
	labels     []string
}{
	{"waggle_hub_connected", "../hub_remote.go", []string{}},                                // of a hub outside of the cluster
	{"waggle_tenant_quota_limit", "../http/tenant_metrics.go", []string{"tenant", "quota"}}, // of tenants with a limit
}

// TestOperatorsFiles holds what docs/ops gives to Prometheus and Grafana against
// a running node: every series and label is there, every expression is whole,
// and every alert leads to a section of the documentation.
func TestOperatorsFiles(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	s.create("c")
	s.must("POST", "/collections/c/points/query", `{"query": [1, 2, 3, 4], "limit": 1}`)
	known := seriesOf(string(s.operator().callMain("GET", "/metrics", nil).body))
	known["up"] = []string{"job"}
	for _, o := range onlySometimes {
		text, err := os.ReadFile(o.file)
		if err != nil {
			t.Fatal(err)
		}
		short := strings.TrimPrefix(strings.TrimPrefix(o.name, "waggle_"), "tenant_")
		if known[o.name] != nil || !strings.Contains(string(text), `"`+short+`"`) {
			t.Errorf("%s is not a series of %s alone", o.name, o.file)
		}
		known[o.name] = o.labels
	}
	alerts, err := os.ReadFile("../docs/ops/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := parseRules(t, string(alerts))
	if len(rules) < 10 {
		t.Errorf("%d alerts", len(rules))
	}
	anchors := anchorsOf(string(manual))
	for _, r := range rules {
		if err := checkExpression(r["expr"], known); err != nil {
			t.Errorf("%s: %v", r["alert"], err)
		}
		page, anchor, _ := strings.Cut(r["runbook_url"], "#")
		if !strings.HasSuffix(page, "/docs/operations.md") || !slices.Contains(anchors, anchor) {
			t.Errorf("%s leads to %q, which is none of %q", r["alert"], r["runbook_url"], anchors)
		}
		if r["severity"] != "critical" && r["severity"] != "warning" || r["summary"] == "" {
			t.Errorf("%s has the severity %q and the summary %q", r["alert"], r["severity"], r["summary"])
		}
	}
	for _, e := range dashboard(t) {
		if err := checkExpression(e, known); err != nil {
			t.Errorf("dashboard: %v", err)
		}
	}
	for _, wrong := range []string{
		`waggle_nothing > 0`, `sum(rate(waggle_http_requests_total[5m])`, `waggle_delta_bytes{tenant="x"}`, `sum by (tenant) (waggle_delta_bytes)`, `summ(waggle_delta_bytes)`, ``,
	} {
		if checkExpression(wrong, known) == nil {
			t.Errorf("%q passes", wrong)
		}
	}
}

var (
	sampleLine = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? `)
	labelName  = regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)
)

// seriesOf returns the names in an answer of /metrics with their labels.
func seriesOf(text string) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(text) {
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		labels := []string{}
		for _, l := range labelName.FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		all[m[1]] = labels
	}
	return all
}

// parseRules reads the form that the file of alerts has: one key a line.
func parseRules(t *testing.T, text string) (rules []map[string]string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "- alert: "); ok {
			rules = append(rules, map[string]string{"alert": name})
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		switch {
		case strings.HasPrefix(line, "#") || line == "groups:" || line == "rules:" || line == "annotations:" || line == "- name: waggle":
		case !ok || rules == nil:
			t.Errorf("a line of another form: %q", line)
		case key == "labels":
			rules[len(rules)-1]["severity"] = strings.TrimSuffix(strings.TrimPrefix(value, "{severity: "), "}")
		case slices.Contains([]string{"expr", "for", "summary", "runbook_url"}, key):
			rules[len(rules)-1][key] = value
		default:
			t.Errorf("an unknown key: %q", line)
		}
	}
	return rules
}

// anchorsOf are the sections of a page as links name them.
func anchorsOf(page string) (anchors []string) {
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	for line := range strings.Lines(page) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			anchors = append(anchors, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-"))
		}
	}
	return anchors
}

// dashboard returns the expressions of the dashboard, and holds that its panels
// do not lie on each other.
func dashboard(t *testing.T) (expressions []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/ops/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string `json:"title"`
		Panels []struct {
			ID      int    `json:"id"`
			Type    string `json:"type"`
			Title   string `json:"title"`
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: no title, an id twice, or nothing to show", p.ID, p.Title)
		}
		ids[p.ID] = true
		g := p.GridPos
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if there := cells[[2]int{x, y}]; there != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q or outside", p.Title, there)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	return expressions
}

var (
	textIn    = regexp.MustCompile(`"[^"]*"`)
	rangeIn   = regexp.MustCompile(`\[(\d+[smhd]|\$__rate_interval)\]`)
	labelsIn  = regexp.MustCompile(`\b(by|without|on) \(([a-z, ]+)\)`)
	matchIn   = regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`)
	wordIn    = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*`)
	functions = []string{"sum", "max", "min", "rate", "increase", "histogram_quantile", "topk", "time", "and", "or", "by"}
)

// checkExpression holds the names in an expression of PromQL against the series
// that there are. It knows as much of the language as is used.
func checkExpression(e string, known map[string][]string) error {
	rest := rangeIn.ReplaceAllString(textIn.ReplaceAllString(e, `""`), "")
	open := 0
	for _, c := range rest {
		switch c {
		case '(', '{':
			open++
		case ')', '}':
			open--
		case '[', ']':
			return fmt.Errorf("%q: a range or a text that is not whole", e)
		}
		if open < 0 {
			break
		}
	}
	if open != 0 || strings.TrimSpace(e) == "" {
		return fmt.Errorf("%q is not whole", e)
	}
	used := labelsIn.FindAllStringSubmatch(rest, -1)
	rest = labelsIn.ReplaceAllString(rest, "")
	wanted := []string{}
	for _, m := range used {
		wanted = append(wanted, strings.Split(m[2], ", ")...)
	}
	matches := matchIn.FindAllStringSubmatch(rest, -1)
	rest = matchIn.ReplaceAllString(rest, "$1")
	for _, m := range matches {
		for _, label := range wordIn.FindAllString(m[2], -1) {
			if !hasLabel(known[m[1]], label) {
				return fmt.Errorf("%q: %s has no label %s", e, m[1], label)
			}
		}
	}
	names := 0
	for _, word := range wordIn.FindAllString(rest, -1) {
		labels, ok := known[word]
		switch {
		case slices.Contains(functions, word):
			continue
		case !ok:
			return fmt.Errorf("%q: there is no series and no function %s", e, word)
		}
		names++
		for _, label := range wanted {
			if !hasLabel(labels, label) {
				return fmt.Errorf("%q: %s has no label %s", e, word, label)
			}
		}
	}
	if names == 0 {
		return fmt.Errorf("%q asks for no series", e)
	}
	return nil
}

func hasLabel(labels []string, label string) bool {
	return label == "instance" || slices.Contains(labels, label)
}
