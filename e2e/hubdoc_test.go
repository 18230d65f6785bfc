package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unlike is what differs in every run of docs/hub.md: ids, times, partitions.
var unlike = regexp.MustCompile(`\b(t_[a-z2-7]{12}|k_[a-z2-7]{16}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\b|partition  \d+`)

// TestHubDocument does what docs/hub.md tells a reader to do, in order and in
// one shell, on other ports.
func TestHubDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/hub.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := readmeSteps(t, string(text))
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, "waggle")); err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, port := range []string{"15002", "15004", "6333", "15102"} {
		ports = append(ports, "127.0.0.1:"+port, unusedAddress())
	}
	elsewhere := strings.NewReplacer(ports...)
	var script strings.Builder
	script.WriteString("set -eu -o pipefail\n")
	for i, step := range steps {
		fmt.Fprintf(&script, "exec >out.%d\n%s\n", i, elsewhere.Replace(step.shell))
	}
	shell := exec.Command("bash", "-c", script.String())
	shell.Dir = dir
	shell.Env = environ(small)
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
	if err := shell.Wait(); err != nil {
		said, _ := os.ReadFile(errs.Name())
		t.Errorf("%v\n%s", err, tail(string(said), 2000))
	}
	for i, step := range steps {
		got, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("out.%d", i)))
		if err != nil {
			t.Fatalf("the blocks ended before this one:\n%s", step.shell)
		}
		if want := []byte(step.expected); step.form != "" && !bytes.Equal(unlike.ReplaceAll(got, []byte("*")), unlike.ReplaceAll(want, []byte("*"))) {
			t.Errorf("this block:\n%s\nprints:\n%s\nand the document shows:\n%s", step.shell, got, want)
		}
	}
}

// unusedAddress is one that nobody listens on now, for a document that names
// its ports. It is below the range from which the kernel draws ports, so that
// nobody takes it meanwhile.
func unusedAddress() string {
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 16000+rand.IntN(16000))
		if ln, err := net.Listen("tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
}
