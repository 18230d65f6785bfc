package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The keys every test server is born with.
const (
	operatorKey = "hh_live_operator0000000000000000000000000000"
	tenantKey   = "hh_live_tenant000000000000000000000000000000"
)

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
			build := exec.Command("go", "build", "-o", binary, "..")
			build.Stderr = os.Stderr
			if err := build.Run(); err != nil {
				fmt.Fprintln(os.Stderr, "build the binary:", err)
				return 1
			}
		}
		return m.Run()
	}())
}

// server is one waggle process.
type server struct {
	t      testing.TB
	data   string
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	exited chan error
	http   string // base URL of the main listener
	qdrant string // base URL of the Qdrant listener, "off" when there is none
}

var readyLine = regexp.MustCompile(`^waggle ready http=(\S+) qdrant=(\S+) data=(.+)$`)

// start runs `waggle serve` on a data directory and free ports and returns
// when it is ready.
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
	s := &server{t: t, data: data, stderr: &bytes.Buffer{}, exited: make(chan error, 1)}
	args = append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--qdrant-listen", "127.0.0.1:0"}, args...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Env = append(os.Environ(), "WAGGLE_BOOTSTRAP_OPERATOR_KEY="+operatorKey, "WAGGLE_BOOTSTRAP_TENANT_KEY="+tenantKey)
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(s.cleanup)
	lines := make(chan string)
	go func() {
		scan := bufio.NewScanner(stdout)
		for scan.Scan() {
			lines <- scan.Text()
		}
		close(lines)
		s.exited <- s.cmd.Wait()
	}()
	select {
	case line, ok := <-lines:
		m := readyLine.FindStringSubmatch(line)
		if !ok || m == nil {
			err := <-s.exited
			s.exited <- err
			return nil, fmt.Errorf("no ready line but %q, exit %v, standard error:\n%s", line, err, s.stderr)
		}
		s.http, s.qdrant = "http://"+m[1], "http://"+m[2]
		go func() { // nothing more may be printed
			for extra := range lines {
				t.Errorf("surplus line on standard output: %q", extra)
			}
		}()
		return s, nil
	case <-time.After(30 * time.Second):
		return nil, errors.New("not ready after 30 s")
	}
}

func (s *server) cleanup() {
	s.kill()
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
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	s.wait()
}

// stop ends it politely and returns its exit code.
func (s *server) stop() int {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.wait()
	return s.cmd.ProcessState.ExitCode()
}

func (s *server) wait() {
	err := <-s.exited
	s.exited <- err
}

// answer is a response as a client sees it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

var client = &http.Client{Timeout: 30 * time.Second}

// call sends a request with a key; body may be nil, a string or something for JSON.
func call(key, method, url string, body any) (answer, error) {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			return answer{}, err
		}
		r = bytes.NewReader(j)
	}
	req, err := http.NewRequest(method, url, r)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("api-key", key)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

// must is call for requests that have to succeed; it returns "result".
func (s *server) must(method, path string, body any) json.RawMessage {
	s.t.Helper()
	a, err := call(tenantKey, method, s.qdrant+path, body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	var envelope struct{ Result json.RawMessage }
	if err := json.Unmarshal(a.body, &envelope); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
	}
	return envelope.Result
}

// run runs a client command of the binary and returns its standard output.
func run(t testing.TB, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}
