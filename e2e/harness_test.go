package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The keys every test server is born with.
const (
	operatorKey = "hh_live_operator0000000000000000000000000000"
	tenantKey   = "hh_live_tenant000000000000000000000000000000"
)

var bootstrapKeys = []string{
	"WAGGLE_BOOTSTRAP_OPERATOR_KEY=" + operatorKey,
	"WAGGLE_BOOTSTRAP_TENANT_KEY=" + tenantKey,
}

// small makes births quick, and lets tests try wrong keys from one address.
// Tests of the defaults do without.
var small = []string{"WAGGLE_PARTITIONS=16", "WAGGLE_STORAGE_SEGMENT_BYTES=16MB", "WAGGLE_LIMITS_AUTH_FAILURES=1000"}

var freePorts = []string{"--listen", "127.0.0.1:0", "--qdrant-listen", "127.0.0.1:0"}

var binary string // the waggle under test

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "waggle-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if binary = os.Getenv("WAGGLE_BIN"); binary == "" {
			binary = filepath.Join(dir, "waggle")
			build := exec.Command("go", "build", "-trimpath", "-o", binary, "..")
			build.Stderr = os.Stderr
			if err := build.Run(); err != nil {
				fmt.Fprintln(os.Stderr, "build the binary:", err)
				return 1
			}
		}
		return m.Run()
	}())
}

// environ is the environment of a child: no WAGGLE_ setting but those given.
func environ(env []string) []string {
	clean := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "WAGGLE_") })
	return append(clean, env...)
}

// server is one waggle process.
type server struct {
	user    // the tenant `default`, under its first key
	t       testing.TB
	data    string
	cmd     *exec.Cmd
	stderr  *output
	surplus []byte        // on standard output, after the ready line; valid after exited
	exited  chan struct{} // closed
	http    string        // base URL of the main listener
	qdrant  string        // base URL of the Qdrant listener, "http://off" when there is none
}

// output is what a process wrote so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

var readyLine = regexp.MustCompile(`^waggle ready http=(\S+:[1-9]\d*) qdrant=(\S+:[1-9]\d*|off) data=(.+)\n$`)

// start runs `waggle serve` on a data directory and free ports, with the keys
// above, and returns when it is ready.
func start(t testing.TB, data string, args ...string) *server {
	t.Helper()
	s, err := tryStart(t, data, args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryStart(t testing.TB, data string, args ...string) (*server, error) {
	t.Helper()
	return launch(t, data, serveCommand(data, args...))
}

func serveCommand(data string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, slices.Concat([]string{"serve", "--data", data}, freePorts, args)...)
	cmd.Env = environ(slices.Concat(bootstrapKeys, small))
	return cmd
}

// launch runs cmd, which is a waggle or becomes one, until its ready line.
func launch(t testing.TB, data string, cmd *exec.Cmd) (*server, error) {
	t.Helper()
	s := &server{t: t, data: data, cmd: cmd, stderr: &output{}, exited: make(chan struct{})}
	s.user = user{s, tenantKey}
	cmd.Stderr = s.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(s.cleanup)
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(stdout)
		line, _ := r.ReadString('\n')
		first <- line
		s.surplus, _ = io.ReadAll(r)
		_ = cmd.Wait()
		close(s.exited)
	}()
	select {
	case line := <-first:
		m := readyLine.FindStringSubmatch(line)
		if m == nil {
			s.kill()
			return nil, fmt.Errorf("no ready line but %q, %v, standard error:\n%s", line, cmd.ProcessState, s.stderr)
		}
		if m[3] != data {
			t.Errorf("the ready line says data=%s, want %s", m[3], data)
		}
		s.http, s.qdrant = "http://"+m[1], "http://"+m[2]
		return s, nil
	case <-time.After(10 * time.Minute): // `make run` may have to compile everything
		return nil, errors.New("not ready after 10 minutes")
	}
}

func (s *server) cleanup() {
	s.kill()
	if len(s.surplus) > 0 {
		s.t.Errorf("standard output has more than the ready line: %q", s.surplus)
	}
	if s.t.Failed() {
		s.t.Logf("log of the server on %s:\n%s", s.data, tail(s.stderr.String(), 4000))
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// kill ends the process as a power cut would, for the process.
func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	<-s.exited
}

// stop ends it politely and returns its exit code.
func (s *server) stop() int {
	s.terminate()
	<-s.exited
	return s.cmd.ProcessState.ExitCode()
}

func (s *server) terminate() { s.signal(syscall.SIGTERM) }

func (s *server) signal(sig syscall.Signal) {
	if a := s.cmd.SysProcAttr; a != nil && a.Setpgid {
		_ = syscall.Kill(-s.cmd.Process.Pid, sig)
		return
	}
	_ = s.cmd.Process.Signal(sig)
}

// mustStop is stop for tests that need everything in the stores.
func (s *server) mustStop() {
	s.t.Helper()
	if code := s.stop(); code != 0 {
		s.t.Fatalf("exit code %d after SIGTERM", code)
	}
}

// run runs waggle to its end.
func run(t testing.TB, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = environ(env)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// refused runs waggle, which has to end with exit code 1 and one line on
// standard error, and returns the line without "waggle: ".
func refused(t testing.TB, env []string, args ...string) string {
	t.Helper()
	stdout, stderr, code := run(t, env, args...)
	line, isOurs := strings.CutPrefix(stderr, "waggle: ")
	if code != 1 || stdout != "" || !isOurs || strings.Index(line, "\n") != len(line)-1 {
		t.Fatalf("%q: exit code %d, standard output %q, standard error %q; want 1 and one line", args, code, stdout, stderr)
	}
	return strings.TrimSuffix(line, "\n")
}

// eventually polls until done, which returns what is missing.
func eventually(t testing.TB, within time.Duration, done func() error) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("after %v: %v", within, err)
		case <-tick.C:
		}
	}
}
