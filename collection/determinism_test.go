package collection

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machineFiles is the source that apply runs through.
var machineFiles = []string{
	"apply*.go", "rows.go", "read*.go", "codec.go", "command_*.go", "config_codec.go", "record*.go", "vectors.go",
	"payload_codec.go", "payload_edit.go",
}

// orderFree are the functions that walk a map and treat every key by itself,
// so that the order leaves no trace.
var orderFree = []string{"merged", "project", "overlaid", "overlaidObject"}

// What apply runs through must be a function of the transaction and the entry.
// This reads its source and finds what would make it anything else: a clock,
// randomness, files, other goroutines, the order of a map, variables of the
// package, and sums of floats, which compilers may round each in their way.
func TestApplyIsDeterministicByItsSource(t *testing.T) {
	fset := token.NewFileSet()
	machine := map[string]bool{}
	for _, pattern := range machineFiles {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: no such file (%v)", pattern, err)
		}
		for _, name := range names {
			machine[name] = !strings.HasSuffix(name, "_test.go")
		}
	}
	var files []*ast.File
	names, _ := filepath.Glob("*.go")
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	for _, found := range nondeterminism(fset, files, func(name string) bool { return machine[name] }) {
		t.Error(found)
	}
}

// The check itself finds what it looks for.
func TestNondeterminismIsFound(t *testing.T) {
	const source = `package p
import ("time"; "maps")
var state int
const fine = 1
func f(m map[string]int, x float32) {
	for range m {}
	maps.Keys(m)
	go f(nil, x*x)
	x += 1
	select {}
	state++
}`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := nondeterminism(fset, []*ast.File{file}, func(string) bool { return true })
	for _, want := range []string{
		"imports time", "package variable state", "walks a map", "maps.Keys", "goroutine", "float", "select",
	} {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%q was not found in %q", want, got)
		}
	}
}

// nothing is an importer of empty packages: types of other packages are not
// known, those of this one are.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, path[strings.LastIndexByte(path, '/')+1:])
	p.MarkComplete()
	return p, nil
}

func nondeterminism(fset *token.FileSet, files []*ast.File, in func(name string) bool) []string {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	_, _ = conf.Check("p", fset, files, info) // what is imported is unknown, which is an error and no matter
	var found []string
	for _, file := range files {
		if !in(fset.Position(file.Package).Filename) {
			continue
		}
		v := finder{fset: fset, info: info}
		v.imports(file)
		ast.Inspect(file, v.visit)
		found = append(found, v.found...)
	}
	return found
}

type finder struct {
	fset  *token.FileSet
	info  *types.Info
	found []string
}

func (v *finder) add(n ast.Node, what string) {
	v.found = append(v.found, v.fset.Position(n.Pos()).String()+": "+what)
}

func (v *finder) imports(file *ast.File) {
	allowed := []string{
		"bytes", "encoding/binary", "github.com/hivehub/waggle/tenant", "maps", "math", "math/bits", "slices", "strings", "unsafe",
	}
	for _, spec := range file.Imports {
		if path := strings.Trim(spec.Path.Value, `"`); !slices.Contains(allowed, path) {
			v.add(spec, "imports "+path)
		}
	}
}

func (v *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		return !slices.Contains(orderFree, n.Name.Name)
	case *ast.RangeStmt:
		if t := v.info.TypeOf(n.X); t != nil {
			if _, isMap := t.Underlying().(*types.Map); isMap {
				v.add(n, "walks a map")
			}
		}
	case *ast.GoStmt:
		v.add(n, "starts a goroutine")
	case *ast.SelectStmt:
		v.add(n, "has a select")
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "maps" && n.Sel.Name != "Clone" {
			v.add(n, "calls maps."+n.Sel.Name)
		}
	case *ast.BinaryExpr:
		v.float(n, n.X)
	case *ast.AssignStmt:
		if n.Tok != token.ASSIGN && n.Tok != token.DEFINE {
			v.float(n, n.Lhs[0])
		}
	case *ast.Ident:
		v.variable(n)
	}
	return true
}

func (v *finder) float(n ast.Node, operand ast.Expr) {
	t := v.info.TypeOf(operand)
	if t == nil {
		return
	}
	if basic, ok := t.Underlying().(*types.Basic); ok && basic.Info()&types.IsFloat != 0 && basic.Kind() != types.UntypedFloat {
		v.add(n, "calculates with a float")
	}
}

// variable finds variables of the package. Those that never change are named.
func (v *finder) variable(n *ast.Ident) {
	constant := map[string]bool{"distanceNumbers": true, "fieldTypes": true, "littleEndian": true, "wideSize": true}
	obj, ok := v.info.Uses[n].(*types.Var)
	if !ok || obj.Pkg() == nil || obj.Parent() != obj.Pkg().Scope() || constant[obj.Name()] {
		return
	}
	v.add(n, "uses the package variable "+obj.Name())
}
