package e2e

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// words384 answers like an embedding endpoint: each vector counts the words of
// its text in 384 buckets.
func words384(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Input []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path != "/v1/embeddings" {
			w.WriteHeader(400)
			return
		}
		data := []any{}
		for i, text := range in.Input {
			vector, sum := make([]float64, 384), 0.0
			for word := range strings.FieldsSeq(strings.ToLower(text)) {
				h := fnv.New32a()
				_, _ = h.Write([]byte(word))
				vector[h.Sum32()%384]++
			}
			for _, v := range vector {
				sum += v * v
			}
			for j := range vector {
				vector[j] /= max(math.Sqrt(sum), 1)
			}
			data = append(data, map[string]any{"index": i, "embedding": vector})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// runDocument does what a document tells a reader to do, in order and in one
// shell, in a directory with waggle and the documents, with some words replaced.
// It returns what each block printed, and what all said beside it.
func runDocument(t *testing.T, path string, replace ...string) (steps []step, printed []string, said string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	steps = readmeSteps(t, string(text))
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, "waggle")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "docs"), os.DirFS("../docs")); err != nil {
		t.Fatal(err)
	}
	elsewhere := strings.NewReplacer(append(replace, "127.0.0.1:15002", unusedAddress())...)
	var script strings.Builder
	script.WriteString("set -eu -o pipefail\n")
	for i, step := range steps {
		fmt.Fprintf(&script, "exec >out.%d\n%s\n", i, elsewhere.Replace(step.shell))
	}
	shell := exec.Command("bash", "-c", script.String())
	shell.Dir, shell.Env = dir, environ(small)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the node has to end with it
	errs, err := os.Create(filepath.Join(dir, "errs"))
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	shell.Stderr = errs
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { _ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	t.Cleanup(end)
	stop := time.AfterFunc(2*time.Minute, end)
	defer stop.Stop()
	ended := shell.Wait()
	errText, _ := os.ReadFile(errs.Name())
	for i := range steps {
		out, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("out.%d", i)))
		printed = append(printed, string(out))
	}
	if ended != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("%v\n%s\n%s\n%q", ended, tail(string(errText), 2000), tail(string(log), 2000), printed)
	}
	return steps, printed, string(errText)
}

// TestQuickStart runs docs/quickstart.md with an endpoint of its own: in fewer than
// ten blocks of commands a folder of Markdown is searched by words, the same after
// a restart, and by words and vectors.
func TestQuickStart(t *testing.T) {
	t.Parallel()
	steps, printed, said := runDocument(t, "../docs/quickstart.md", "http://127.0.0.1:11434", words384(t))
	if len(steps) >= 10 {
		t.Errorf("%d blocks of commands", len(steps))
	}
	var answers []string
	for i, step := range steps {
		if strings.Contains(step.shell, "waggle search") {
			answers = append(answers, printed[i])
		}
	}
	if len(answers) != 3 || strings.Count(answers[0], "\n") != 4 || !strings.Contains(answers[0], "docs/") {
		t.Fatalf("searches found %q", answers)
	}
	if answers[1] != answers[0] {
		t.Errorf("before the restart:\n%s\nthen:\n%s", answers[0], answers[1])
	}
	if strings.Count(answers[2], "\n") != 4 || answers[2] == answers[0] || strings.Contains(said, "words alone") {
		t.Errorf("by words and vectors:\n%s\n%s", answers[2], said)
	}
}

// TestAPIExamples runs the examples of docs/api.md: each prints what is shown.
func TestAPIExamples(t *testing.T) {
	t.Parallel()
	steps, printed, _ := runDocument(t, "../docs/api.md")
	for i, step := range steps {
		if !step.matches(printed[i]) {
			t.Errorf("this block:\n%s\nprints:\n%s\nand the page shows:\n%s", step.shell, printed[i], step.expected)
		}
	}
}
