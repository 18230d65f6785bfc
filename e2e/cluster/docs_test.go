package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demoEnd is the last line that demo-cluster prints.
const demoEnd = "Ctrl-C here stops everything."

// startDemo runs `waggle demo-cluster` until it has explained itself, and
// returns what it printed. It uses tmp for what is temporary.
func startDemo(t *testing.T, tmp string, args ...string) (cmd *exec.Cmd, text string) {
	t.Helper()
	binary, err := waggle()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := consulBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(binary, append([]string{"demo-cluster"}, args...)...)
	cmd.Env = environ(small, []string{"CONSUL_BIN=" + bin, "TMPDIR=" + tmp})
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	stop := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		text += lines.Text() + "\n"
		if lines.Text() == demoEnd {
			return cmd, text
		}
	}
	_ = cmd.Wait()
	t.Fatalf("demo-cluster ended with %v after printing %q:\n%s", cmd.ProcessState, text, &errOut)
	return nil, ""
}

// naming lists the processes whose command line has text in it.
func naming(text string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), text) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

func nobodyNames(text string) error {
	if left := naming(text); len(left) > 0 {
		return fmt.Errorf("processes %q are left", left)
	}
	return nil
}

// shellLines are the commands that demo-cluster prints, as they are.
func shellLines(text string) string {
	var script strings.Builder
	script.WriteString("set -eu\n")
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "  "); ok {
			script.WriteString(command)
		}
	}
	return script.String()
}

// TestDemoCluster runs three nodes for a look around, does what it is told to
// try, one kill among it, and presses Ctrl-C: nothing is left.
func TestDemoCluster(t *testing.T) {
	tmp := t.TempDir()
	cmd, text := startDemo(t, tmp)
	if n := len(naming(tmp)); n != 4 {
		t.Errorf("%d processes below demo-cluster, want Consul and three nodes", n)
	}
	binary, _ := waggle()
	shell := exec.Command("bash", "-c", shellLines(text))
	shell.Env = environ([]string{"PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH")})
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Errorf("what demo-cluster tells to try: %v\n%s", err, out)
	}
	for _, want := range []string{`status +ok`, `nodes +3, away: none`, `\{"name":"c"\}`, `n3 +3 .*active`} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %q in what the commands print:\n%s", want, out)
		}
	}
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if err := nobodyNames(tmp); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemoClusterData kills a demo-cluster, which takes its children with it,
// and starts another one on its data.
func TestDemoClusterData(t *testing.T) {
	dir := filepath.Join(workDir(t), "kept")
	exports := regexp.MustCompile(`(?m)^  export .*$`)
	cmd, before := startDemo(t, t.TempDir(), "--nodes", "1", "--data", dir)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := poll(5*time.Second, func() error { return nobodyNames(dir) }); err != nil {
		t.Fatal(err)
	}
	cmd, after := startDemo(t, t.TempDir(), "--nodes", "2", "--data", dir)
	if !slices.Equal(exports.FindAllString(before, -1), exports.FindAllString(after, -1)) {
		t.Errorf("other addresses or keys:\n%s\n%s", before, after)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if err := nobodyNames(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "n2", "node.json")); err != nil {
		t.Errorf("--data is to be kept: %v", err)
	}
}

// TestDemoClusterRefused holds that what is missing is said in one line.
func TestDemoClusterRefused(t *testing.T) {
	binary, err := waggle()
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for want, env := range map[string][]string{
		`^waggle: no Consul: .*CONSUL_BIN.*scripts/consul\.sh`: {"CONSUL_BIN=", "PATH=" + empty, "XDG_CACHE_HOME=" + empty},
		`^waggle: CONSUL_BIN=/absent is not a program`:         {"CONSUL_BIN=/absent"},
	} {
		cmd := exec.Command(binary, "demo-cluster")
		cmd.Env = environ(env)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !regexp.MustCompile(want+`[^\n]*\n$`).Match(out) {
			t.Errorf("%v, %q; want exit code 1 and %s", err, out, want)
		}
	}
}

// block is a piece of a document to run, and what it has to print.
type block struct{ shell, expected string }

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

// blocksOf are the blocks marked "sh run", each with the block "text expected"
// behind it.
func blocksOf(t *testing.T, path string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		switch last := len(blocks) - 1; m[1] {
		case "sh run":
			blocks = append(blocks, block{shell: m[2]})
		case "text expected":
			if last < 0 || blocks[last].expected != "" {
				t.Fatalf("a block of output after no block to run:\n%s", m[2])
			}
			blocks[last].expected = m[2]
		case "hcl":
		default:
			t.Fatalf("a block of the unknown kind %q:\n%s", m[1], m[2])
		}
	}
	return blocks
}

// changing is what is other in every run: ids, addresses, and the number of
// groups, which is that of a small cluster here.
var (
	changing = regexp.MustCompile(`\b([0-9a-f]{32}|127\.0\.0\.1:\d+|65|17)\b`)
	spaces   = regexp.MustCompile(` +`)
)

func form(text string) string {
	return spaces.ReplaceAllString(changing.ReplaceAllString(text, "*"), " ")
}

// TestClusterDocument does what docs/cluster.md tells a reader to do, in order
// and in one shell, on other ports, with a Consul of its own.
func TestClusterDocument(t *testing.T) {
	t.Parallel()
	binary, err := waggle()
	if err != nil {
		t.Fatal(err)
	}
	dir := workDir(t)
	c := startConsul(t, t.TempDir(), "127.0.0.1")
	if err := os.Symlink(binary, filepath.Join(dir, "waggle")); err != nil {
		t.Fatal(err)
	}
	replaced := []string{"127.0.0.1:8500", c.address}
	for _, port := range []string{"6333", "15002", "15003", "15004", "15010", "15011", "15012"} {
		replaced = append(replaced, "127.0.0.1:"+port, freeAddress("127.0.0.1"))
	}
	elsewhere := strings.NewReplacer(replaced...)
	blocks := blocksOf(t, "../../docs/cluster.md")
	var script strings.Builder
	script.WriteString("set -eu\n")
	for i, b := range blocks {
		fmt.Fprintf(&script, "exec >out.%d\n%s\n", i, elsewhere.Replace(b.shell))
	}
	shell := exec.Command("bash", "-c", script.String())
	shell.Dir = dir
	shell.Env = environ(small, []string{"WAGGLE_URL=http://" + replaced[5]})
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the nodes have to end with it
	errOut, err := os.Create(filepath.Join(dir, "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer errOut.Close()
	shell.Stderr = errOut
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { _ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	t.Cleanup(end)
	stop := time.AfterFunc(3*time.Minute, end)
	defer stop.Stop()
	if err := shell.Wait(); err != nil {
		t.Errorf("%v: %s", err, tail(errOut.Name(), 2000))
	}
	for i, b := range blocks {
		got, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("out.%d", i)))
		if err != nil {
			t.Fatalf("the blocks ended before this one:\n%s", b.shell)
		}
		if b.expected != "" && form(string(got)) != form(b.expected) {
			t.Errorf("this block:\n%s\nprints:\n%s\nand the document shows:\n%s", b.shell, got, b.expected)
		}
	}
}
