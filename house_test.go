package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/hivehub/waggle"

// layers says which folder imports which of ours, itself apart, in code that
// is not a test. The test below holds it exactly: an import that is not here
// fails, and so does a row that no import needs any more.
var layers = map[string][]string{
	".":           {"actors", "cli", "collection", "grains", "http", "hubsvc", "index", "persistence", "tenant"},
	"http":        {"collection", "hubsvc", "tenant"},
	"grains":      {"actors", "collection", "hubsvc", "index", "persistence", "tenant"},
	"actors":      {"collection", "hubsvc", "persistence", "tenant"},
	"hubsvc":      {"tenant"},
	"collection":  {"index", "tenant"},
	"persistence": {"collection", "tenant"},
	"cli":         {"client", "tenant"},
	"client":      nil,
	"index":       nil,
	"tenant":      nil,
	"e2e":         nil,
}

// walls says which folders may import a third party's module.
var walls = map[string][]string{
	"github.com/gofiber/fiber/v2":         {"http"},
	"github.com/valyala/fasthttp":         {"http"},
	"github.com/asynkron/protoactor-go":   {"actors", "grains", "."},
	"go.etcd.io/bbolt":                    {"persistence"},
	"go.etcd.io/raft/v3":                  {"actors", "persistence", "."},
	"go.uber.org/fx":                      {"."},
	"go.uber.org/dig":                     {"."},
	"github.com/hashicorp/hcl/v2":         {"."},
	"github.com/hashicorp/consul/api":     {"grains"},
	"github.com/prometheus/client_golang": {"http", "."},
	"github.com/spf13/cobra":              {"cli", "."},
	"go.opentelemetry.io/otel/trace":      {"http", "grains", "."},
	"go.opentelemetry.io/otel/sdk":        {"."},
	"go.opentelemetry.io/otel/exporters":  {"."},

	"github.com/modelcontextprotocol/go-sdk": {"http"},
}

type listedPackage struct {
	ImportPath string
	Imports    []string
	SFiles     []string
}

// folder is the top-level folder of a package of ours, and whether it is one.
func folder(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	rest, ok := strings.CutPrefix(path, module+"/")
	top, _, _ := strings.Cut(rest, "/")
	return top, ok
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,SFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listedPackage
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p listedPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestLayers(t *testing.T) {
	used := map[string][]string{}
	for _, p := range listPackages(t) {
		from, _ := folder(p.ImportPath)
		if _, ok := layers[from]; !ok {
			t.Errorf("folder %s has no row in layers", from)
		}
		for _, i := range p.Imports {
			if to, ours := folder(i); ours && to != from && !slices.Contains(used[from], to) {
				used[from] = append(used[from], to)
			}
		}
	}
	for from, may := range layers {
		got := slices.Sorted(slices.Values(used[from]))
		if !slices.Equal(got, may) {
			t.Errorf("%s imports %q, its row says %q", from, got, may)
		}
	}
}

func TestWalls(t *testing.T) {
	for _, p := range listPackages(t) {
		from, _ := folder(p.ImportPath)
		for _, i := range p.Imports {
			for party, may := range walls {
				if (i == party || strings.HasPrefix(i, party+"/")) && !slices.Contains(may, from) {
					t.Errorf("%s imports %s; only %q may", p.ImportPath, i, may)
				}
			}
		}
		if len(p.SFiles) > 0 && !strings.HasPrefix(p.ImportPath, module+"/index/distance") {
			t.Errorf("%s has assembly; only index/distance may", p.ImportPath)
		}
	}
}

// linesMax is the longest a file may get before it has to be split by idea.
const linesMax = 600

// TestFiles holds what every source file owes its reader: one package comment
// a package, and a length that fits a head.
func TestFiles(t *testing.T) {
	comments := map[string]int{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "node_modules" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(src, []byte("\n")); n > linesMax {
			t.Errorf("%s has %d lines, more than %d: split it by idea", path, n, linesMax)
		}
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		comments[filepath.Dir(path)] += hasComment(f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("package in %s has %d package comments, want 1", dir, n)
		}
	}
}

func hasComment(f *ast.File) int {
	if f.Doc == nil {
		return 0
	}
	return 1
}
