package e2e

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"
)

// TestREADME does what the README tells a stranger to do: `make run` in a copy
// of the tree, then every block marked "sh run", in order and in one shell,
// with the printed keys in the environment. Each block has to succeed, and to
// print what the block after it shows. Only the ports are others.
func TestREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := readmeSteps(t, string(text))
	tree := copyTree(t)
	s := makeRun(t, tree)
	operator, tenant := firstKeys(t, filepath.Join(tree, "data", "first-keys"))
	out := t.TempDir()

	// Blocks share variables, so they are one script; each writes to a file.
	var script strings.Builder
	script.WriteString("set -eu\n")
	for _, step := range steps {
		script.WriteString("exec >" + filepath.Join(out, step.name) + "\n" + step.shell + "\n")
	}
	shell := exec.Command("bash", "-c", strings.NewReplacer("http://127.0.0.1:15002", s.http, "http://127.0.0.1:6333", s.qdrant).Replace(script.String()))
	shell.Dir = tree
	shell.Env = environ([]string{"WAGGLE_OPERATOR_KEY=" + operator, "WAGGLE_KEY=" + tenant, "WAGGLE_URL=" + s.http})
	var stderr bytes.Buffer
	shell.Stderr = &stderr
	if err := shell.Run(); err != nil {
		t.Errorf("%v\n%s", err, &stderr)
	}
	for _, step := range steps {
		got, err := os.ReadFile(filepath.Join(out, step.name))
		if err != nil {
			t.Fatalf("the blocks ended before this one:\n%s", step.shell)
		}
		if !step.matches(string(got)) {
			t.Errorf("this block:\n%s\nprints:\n%s\nand the README shows:\n%s", step.shell, got, step.expected)
		}
	}
}

// step is a block to run and what it has to print.
type step struct {
	name     string
	shell    string
	form     string // of expected: "json", "text", "" = anything
	expected string
}

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

func readmeSteps(t *testing.T, text string) (steps []step) {
	t.Helper()
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		kind, body := m[1], m[2]
		switch last := len(steps) - 1; kind {
		case "sh":
		case "sh run":
			steps = append(steps, step{name: string(rune('a' + len(steps))), shell: body})
		case "json", "text expected":
			if last < 0 || steps[last].form != "" {
				t.Fatalf("a block of output after no block to run:\n%s", body)
			}
			steps[last].form, _, _ = strings.Cut(kind, " ")
			steps[last].expected = body
		default:
			t.Fatalf("a block of the unknown kind %q:\n%s", kind, body)
		}
	}
	if len(steps) == 0 {
		t.Fatal("the README has no block to run")
	}
	return steps
}

// changing are the numbers that are others in every run.
var changing = regexp.MustCompile(`"(time|operation_id|version)":[0-9.e-]+`)

func (s step) matches(got string) bool {
	want := changing.ReplaceAllString(s.expected, `"$1":0`)
	got = changing.ReplaceAllString(got, `"$1":0`)
	switch s.form {
	case "json":
		var a, b any
		return json.Unmarshal([]byte(got), &a) == nil && json.Unmarshal([]byte(want), &b) == nil && reflect.DeepEqual(a, b)
	case "text":
		return got == want
	}
	return true
}

// copyTree copies the sources, so that nothing here is built or run in them.
func copyTree(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	skip := []string{".git", ".cache", "data", "demo-out", "bench-out", "node_modules", "waggle"}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains(skip, d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		rel, _ := filepath.Rel("..", path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// makeRun runs `make run`, on other ports.
func makeRun(t *testing.T, tree string) *server {
	t.Helper()
	cmd := exec.Command("make", "--no-print-directory", "run")
	cmd.Dir = tree
	cmd.Env = environ([]string{"WAGGLE_LISTEN_ADDRESS=127.0.0.1:0", "WAGGLE_LISTEN_QDRANT_ADDRESS=127.0.0.1:0"})
	cmd.Env = slices.DeleteFunc(cmd.Env, func(e string) bool { return strings.HasPrefix(e, "MAKE") || strings.HasPrefix(e, "MFLAGS") })
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make's child has to end with it
	s, err := launch(t, "./data", cmd)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLinks holds that the documents point to what there is.
func TestLinks(t *testing.T) {
	t.Parallel()
	docs, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)]+)\)`)
	for _, doc := range append(docs, "../README.md", "../ARCHITECTURE.md", "../CHANGELOG.md") {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.HasPrefix(path, "https://") {
				continue
			}
			target := doc
			if path != "" {
				target = filepath.Join(filepath.Dir(doc), path)
			}
			there, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s: %v", doc, err)
			}
			if anchor != "" && !hasHeading(string(there), anchor) {
				t.Errorf("%s: %s has no heading %q", doc, target, anchor)
			}
		}
	}
}

// anchorOf is what a heading is linked by: in small letters, without marks.
func anchorOf(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return r
		}
		return -1
	}, strings.ToLower(title))
}

func hasHeading(text, anchor string) bool {
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(line), "#"), " ")
		if ok && strings.HasPrefix(line, "#") && anchorOf(title) == anchor {
			return true
		}
	}
	return false
}
