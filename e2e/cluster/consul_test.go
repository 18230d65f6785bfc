package cluster

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// consul is one Consul server: processes one after the other, on one address.
type consul struct {
	bin, dir, log string
	host          string
	port          int // HTTP; the next two are its own
	address       string

	mu sync.Mutex
	p  *process
}

var consulBinary = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("../../scripts/consul.sh")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
})

// startConsul starts a server that ends with the test.
func startConsul(t testing.TB, dir, host string) *consul {
	t.Helper()
	bin, err := consulBinary()
	if err != nil {
		t.Fatalf("find Consul: %v", err)
	}
	c := &consul{bin: bin, dir: filepath.Join(dir, "consul"), log: filepath.Join(dir, "consul.log"), host: host, port: freePorts(host, 3)}
	c.address = net.JoinHostPort(host, strconv.Itoa(c.port))
	t.Cleanup(func() {
		if p := c.process(); p != nil {
			p.kill()
		}
		if t.Failed() {
			t.Logf("log of Consul:\n%s", tail(c.log, 1500))
		}
	})
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// freePorts finds n ports in a row that are free for TCP and UDP, and returns
// the first.
func freePorts(host string, n int) int {
	for {
		first := freePort(host)
		ok := true
		for i := first; i < first+n && ok; i++ {
			address := net.JoinHostPort(host, strconv.Itoa(i))
			l, err := net.Listen("tcp", address)
			if ok = err == nil; !ok {
				break
			}
			_ = l.Close()
			u, err := net.ListenPacket("udp", address)
			if ok = err == nil; ok {
				_ = u.Close()
			}
		}
		if ok {
			return first
		}
	}
}

// start runs the server and returns when it has a leader.
func (c *consul) start() error {
	if err := c.spawn(); err != nil {
		return err
	}
	return poll(30*time.Second, func() error {
		a, err := call{method: "GET", url: "http://" + c.address + "/v1/status/leader"}.do()
		if !c.process().alive() {
			return fmt.Errorf("Consul ended: %v", c.process().cmd.ProcessState)
		}
		if err != nil {
			return fmt.Errorf("ask Consul for its leader: %w", err)
		}
		if a.status != 200 || len(a.body) < len(`"1.1.1.1:1"`) {
			return fmt.Errorf("consul has no leader: %d %s", a.status, a.body)
		}
		return nil
	})
}

func (c *consul) spawn() error {
	cmd := exec.Command(c.bin, "agent", "-server", "-bootstrap-expect=1", "-data-dir="+c.dir, "-node=consul",
		"-disable-host-node-id", "-bind="+c.host, "-client="+c.host, "-http-port="+strconv.Itoa(c.port), "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
		"-server-port="+strconv.Itoa(c.port+1), "-serf-lan-port="+strconv.Itoa(c.port+2), "-serf-wan-port=-1", "-log-level=warn",
		"-hcl", "disable_update_check=true  ui_config{enabled=false}  performance{raft_multiplier=1}  connect{enabled=false}")
	p, err := launch(cmd, c.log)
	if err != nil {
		return fmt.Errorf("start Consul: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p = p
	return nil
}

func (c *consul) process() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.p
}

func (c *consul) kill()   { c.process().kill() }
func (c *consul) pause()  { c.process().pause() }
func (c *consul) resume() { c.process().resume() }

// wipe removes everything it knows. It must not be running.
func (c *consul) wipe() error { return os.RemoveAll(c.dir) }

// TestConsul holds that Consul survives what the tests do to it.
func TestConsul(t *testing.T) {
	c := startConsul(t, workDir(t), "127.0.0.1")
	put := func(value string) {
		t.Helper()
		if a, err := (call{method: "PUT", url: "http://" + c.address + "/v1/kv/x", body: value}).do(); err != nil || string(a.body) != "true" {
			t.Fatalf("%d %s, %v", a.status, a.body, err)
		}
	}
	has := func(status int) {
		t.Helper()
		if a, err := (call{method: "GET", url: "http://" + c.address + "/v1/kv/x?raw&consistent"}).do(); err != nil || a.status != status {
			t.Fatalf("%d %s, %v; want %d", a.status, a.body, err, status)
		}
	}
	put("1")
	c.pause()
	if _, err := (call{method: "GET", url: "http://" + c.address + "/v1/kv/x", timeout: 300 * time.Millisecond}).do(); err == nil {
		t.Error("a stopped Consul answers")
	}
	c.resume()
	has(200)
	c.kill()
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	has(200)
	c.kill()
	if err := c.wipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	has(404)
}
