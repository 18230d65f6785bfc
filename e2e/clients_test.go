package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clientSuite is one client of the npm registry and what it need not do.
type clientSuite struct {
	name   string
	script string
	client string   // the package, where a script runs several
	later  []string // methods of what Waggle does not have yet
}

var laterOfRest = []string{
	// More than one node's data: shards, the cluster, settings of all of it.
	"collectionClusterInfo", "updateCollectionCluster", "clusterTelemetry", "listShardKeys", "createShardKey", "deleteShardKey", "getOptimizations",
	// Snapshots.
	"listSnapshots", "createSnapshot", "deleteSnapshot", "recoverSnapshot", "listFullSnapshots", "createFullSnapshot", "deleteFullSnapshot",
	"listShardSnapshots", "createShardSnapshot", "deleteShardSnapshot", "recoverShardFromSnapshot",
	// Vectors that come and go, groups, facets, distances among points.
	"createVectorName", "deleteVectorName", "queryGroups", "facet", "searchMatrixPairs", "searchMatrixOffsets",
}

var clientSuites = []clientSuite{
	{name: "rest-1.19", script: "rest.mjs", client: "@qdrant/js-client-rest", later: slices.Concat(laterOfRest, []string{"getQuotas", "updateQuotas"})},
	{name: "rest-1.18", script: "rest.mjs", client: "qdrant-1.18", later: slices.Concat(laterOfRest, []string{
		"searchPointGroups", "recommendPointGroups", "discoverPoints", "discoverBatchPoints",
	})},
	{name: "langchain", script: "langchain.mjs"},
	{name: "llamaindex", script: "llamaindex.mjs"},
	{name: "mastra", script: "mastra.mjs"},
}

// TestClients runs the clients that people have: each suite in clients/ for
// two tenants at once, with the same names and ids and other data. What the
// suites compare with is a model of their own tenant, so that whatever crosses
// is a wrong answer. Every method of a client's class has to be checked, but
// for those that are listed as not there yet.
func TestClients(t *testing.T) {
	t.Parallel()
	node, dir := clientsDir(t)
	s := start(t, t.TempDir())
	for _, c := range clientSuites {
		t.Run(c.name, func(t *testing.T) {
			_, first := s.newTenant(c.name+" one", "ADMIN")
			_, second := s.newTenant(c.name+" two", "ADMIN")
			output := make([]string, 2)
			var wg sync.WaitGroup
			for i, u := range []user{first, second} {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
					defer cancel()
					cmd := exec.CommandContext(ctx, node, c.script)
					cmd.Dir = dir
					cmd.Env = environ([]string{"QDRANT_URL=" + s.qdrant, "QDRANT_API_KEY=" + u.key, "TENANT=" + string(rune('1'+i)), "CLIENT=" + c.client})
					var out bytes.Buffer
					cmd.Stdout, cmd.Stderr = &out, &out
					err := cmd.Run()
					output[i] = out.String()
					if err != nil {
						t.Errorf("tenant %d: %v\n%s", i+1, err, withoutChecked(output[i]))
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				return
			}
			for _, out := range output {
				c.covers(t, out)
			}
		})
	}
}

// TestClientsAreDocumented holds that the page names what is run.
func TestClientsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/qdrant.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("clients/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Dependencies map[string]string }
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	for name, version := range p.Dependencies {
		if real, ok := strings.CutPrefix(version, "npm:"); ok {
			at := strings.LastIndex(real, "@")
			name, version = real[:at], real[at+1:]
		}
		if strings.Contains(name, "qdrant") && !strings.Contains(string(page), "| `"+name+"` | "+version+" |") {
			t.Errorf("docs/qdrant.md does not say that %s %s is run", name, version)
		}
	}
}

// covers holds that all methods of the class are checked or not there yet.
func (c clientSuite) covers(t *testing.T, output string) {
	t.Helper()
	has, checked := methods(output, "has "), methods(output, "checked ")
	if len(has) == 0 {
		t.Errorf("the suite named no methods:\n%s", output)
	}
	for _, m := range has {
		switch isChecked, isLater := slices.Contains(checked, m), slices.Contains(c.later, m); {
		case isChecked && isLater:
			t.Errorf("%s is checked and listed as not there yet", m)
		case !isChecked && !isLater:
			t.Errorf("%s is not checked", m)
		}
	}
	for _, m := range append(checked, c.later...) {
		if !slices.Contains(has, m) {
			t.Errorf("the class has no %s", m)
		}
	}
}

// methods are those of the lines "WORD CLASS.METHOD".
func methods(output, word string) (all []string) {
	for line := range strings.Lines(output) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), word); ok {
			all = append(all, name[strings.LastIndex(name, ".")+1:])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func withoutChecked(output string) string {
	var b strings.Builder
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "has ") && !strings.HasPrefix(line, "checked ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// clientsDir is a directory with the suites in it and the clients beside them,
// where Node.js looks for them, and the Node.js to run them on.
func clientsDir(t *testing.T) (node, dir string) {
	t.Helper()
	var stderr bytes.Buffer
	install := exec.Command("../scripts/clients.sh")
	install.Stderr = &stderr
	out, err := install.Output()
	if err != nil {
		t.Fatalf("scripts/clients.sh: %v\n%s", err, &stderr)
	}
	modules := filepath.Join(strings.TrimSpace(string(out)), "node_modules")
	dir = t.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("clients")); err != nil {
		t.Fatal(err)
	}
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return filepath.Join(modules, "node-linux-"+arch, "bin", "node"), dir
}
