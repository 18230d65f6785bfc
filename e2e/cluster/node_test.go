package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// node is one member: processes one after the other on the same data, and
// under the same addresses.
type node struct {
	fleet *fleet
	name  string
	data  string
	log   string
	env   []string

	http, qdrant      string // URLs
	host              string
	listen, advertise string // of the connections between nodes

	mu struct {
		sync.Mutex
		p      *process
		mayEnd bool // it ending by itself is no violation
	}
}

var readyLine = regexp.MustCompile(`^waggle ready http=(\S+:[1-9]\d*) qdrant=(\S+:[1-9]\d*|off) data=(.+)\n$`)

func (n *node) process() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.p
}

// end allows the process to end, or forbids it again.
func (n *node) end(may bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.mayEnd = may
}

// spawn starts a process on the node's data. args are flags besides those that
// every process of a node has. It does not wait.
func (n *node) spawn(args ...string) error {
	if err := os.MkdirAll(n.data, 0o700); err != nil {
		return err
	}
	all := append([]string{
		"serve", "--data", n.data, "--listen", strings.TrimPrefix(n.http, "http://"),
		"--qdrant-listen", strings.TrimPrefix(n.qdrant, "http://"),
	}, args...)
	cmd := n.fleet.net.command(n.name, n.fleet.binary, all...)
	cmd.Env = environ(n.env, n.fleet.options.env)
	p, err := launch(cmd, n.log)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.mu.Lock()
	n.mu.p, n.mu.mayEnd = p, false
	n.mu.Unlock()
	n.fleet.watching.Go(func() {
		<-p.exited
		n.mu.Lock()
		bad := n.mu.p == p && !n.mu.mayEnd
		n.mu.Unlock()
		if bad {
			n.fleet.found.add("%s ended by itself (%v):\n%s", n.name, p.cmd.ProcessState, tail(n.log, 3000))
		}
	})
	return nil
}

// member starts the node as a member of its cluster; token is for the first
// time on an empty directory.
func (n *node) member(token string) error {
	if n.fleet.consul == nil {
		return n.spawn()
	}
	args := []string{
		"--node-id", n.name, "--cluster", "demo", "--consul", n.fleet.consul.address,
		"--cluster-listen", n.listen, "--cluster-advertise", n.advertise,
	}
	if token != "" {
		args = append(args, "--join-token", token)
	}
	return n.spawn(args...)
}

// ready waits for the ready line of a process that was just started.
func (n *node) ready(within time.Duration) error {
	p := n.process()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case line := <-p.first:
		if readyLine.FindString(line) == "" {
			return fmt.Errorf("%s: no ready line but %q; its log:\n%s", n.name, line, tail(n.log, 2000))
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("%s is not ready after %v; its log:\n%s", n.name, within, tail(n.log, 2000))
	}
}

// kill ends the process as a power cut would, for the process.
func (n *node) kill() {
	n.end(true)
	n.process().kill()
}

// terminate ends it politely.
func (n *node) terminate() error {
	n.end(true)
	code, err := n.process().terminate(30 * time.Second)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		return fmt.Errorf("end %s: %w; its log:\n%s", n.name, err, tail(n.log, 2000))
	}
	return nil
}

func (n *node) pause()  { n.process().pause() }
func (n *node) resume() { n.process().resume() }

// wipe removes everything that a node that is down has stored.
func (n *node) wipe() error {
	entries, err := os.ReadDir(n.data)
	if err != nil {
		return err
	}
	for _, e := range entries { // the directory may be a mount
		if err := os.RemoveAll(filepath.Join(n.data, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// smallDisk gives a node whose data directory is empty a disk of its own, so
// that it can be full. It needs root.
func (n *node) smallDisk(t testing.TB, size string) error {
	if err := os.MkdirAll(n.data, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("waggle-e2e", n.data, "tmpfs", 0, "size="+size+",mode=700"); err != nil {
		return fmt.Errorf("mount a small disk: %w", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(n.data, syscall.MNT_DETACH) })
	return nil
}

// fill makes the node's disk full until it is freed.
func (n *node) fill() (free func() error, err error) {
	path := filepath.Join(n.data, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return nil, err
	}
	return func() error { return os.Remove(path) }, nil
}

// run runs waggle to its end, as an operator on this machine.
func (n *node) run(within time.Duration, args ...string) (string, error) {
	cmd := exec.Command(n.fleet.binary, append(args, "--url", n.http)...)
	cmd.Env = environ([]string{"WAGGLE_OPERATOR_KEY=" + operatorKey})
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("waggle %q: %w: %s", args, err, errOut.String())
	}
	return out.String(), nil
}
