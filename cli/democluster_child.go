package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	childStartTime = 2 * time.Minute
	childStopTime  = 15 * time.Second
	childRestart   = 10 * time.Second
)

// child is a program that is kept running by one goroutine, from start to stop.
// Its processes write to one log.
type child struct {
	name, log string
	command   func() *exec.Cmd                // a fresh one for each process
	ready     func(ctx context.Context) error // nil when it can be used
	say       func(format string, args ...any)

	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	failed chan error    // how the first process ended, when that was before it was ready

	mu   sync.Mutex
	pid  int
	isUp bool
}

// start starts the children together and returns when all of them are ready.
// stop ends them, whether start failed or not.
func startChildren(ctx context.Context, children ...*child) error {
	for _, c := range children {
		own, cancel := context.WithCancel(context.Background())
		c.cancel, c.done, c.failed = cancel, make(chan struct{}), make(chan error, 1)
		go func() {
			defer close(c.done)
			c.keep(own)
		}()
	}
	for _, c := range children {
		if err := c.awaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *child) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, childStartTime)
	defer cancel()
	var failure error
	err := poll(ctx, func() (bool, error) {
		select {
		case failure = <-c.failed:
			return true, failure
		default:
			return false, c.ready(ctx)
		}
	})
	if failure != nil {
		return fmt.Errorf("%s ended (%w): %s", c.name, failure, lastLine(c.log))
	}
	if err != nil {
		return fmt.Errorf("%s does not become ready, its log is %s: %w", c.name, c.log, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isUp = true
	return nil
}

// keep runs one process after the other until ctx ends.
func (c *child) keep(ctx context.Context) {
	for {
		err := c.live(ctx)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		wasUp := c.isUp
		c.mu.Unlock()
		if !wasUp {
			c.failed <- err
			return
		}
		c.say("%s ended (%v); it is started again in %v", c.name, err, childRestart)
		select {
		case <-time.After(childRestart):
		case <-ctx.Done():
			return
		}
	}
}

// live runs one process to its end, which ctx brings about. The process is in a
// group of its own, so that a Ctrl-C is not its to see, and dies with this one.
func (c *child) live(ctx context.Context) error {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := c.command()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.mu.Lock()
	c.pid = cmd.Process.Pid
	c.mu.Unlock()
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	select {
	case <-exited:
		return errors.New(cmd.ProcessState.String())
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(childStopTime):
		c.say("%s does not stop; it is killed", c.name)
		_ = cmd.Process.Kill()
		<-exited
	}
	return nil
}

// stopChildren ends the children together and waits for them.
func stopChildren(children ...*child) {
	for _, c := range children {
		if c.cancel != nil {
			c.cancel()
		}
	}
	for _, c := range children {
		if c.done != nil {
			<-c.done
		}
	}
}

// poll asks until done says that there is no point in asking again, or ctx ends;
// then it returns the last error.
func poll(ctx context.Context, done func() (stop bool, err error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		stop, err := done()
		if stop || err == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// get asks for a URL, which has to answer 200 within a second.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// consulChild is one server of Consul on loopback that opens nothing but the
// three ports from port on.
func consulChild(bin, dir, log string, port int) *child {
	return &child{
		name: "Consul", log: log,
		command: func() *exec.Cmd {
			return exec.Command(bin, "agent", "-server", "-bootstrap-expect=1", "-data-dir="+dir, "-node=consul", "-disable-host-node-id",
				"-bind=127.0.0.1", "-client=127.0.0.1", "-http-port="+strconv.Itoa(port), "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1",
				"-server-port="+strconv.Itoa(port+1), "-serf-lan-port="+strconv.Itoa(port+2), "-serf-wan-port=-1", "-log-level=warn",
				"-hcl", "disable_update_check=true  ui_config{enabled=false}  performance{raft_multiplier=1}  connect{enabled=false}")
		},
		ready: func(ctx context.Context) error {
			leader, err := get(ctx, "http://"+local(port)+"/v1/status/leader")
			if err == nil && len(strings.TrimSpace(leader)) <= len(`""`) {
				err = errors.New("it has no leader yet")
			}
			return err
		},
	}
}

// childEnv is this process's environment without what would send the children's
// questions to another Consul, or them to another cluster.
func childEnv(env ...string) []string {
	own := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "CONSUL_") || strings.HasPrefix(e, "WAGGLE_CLUSTER_") || strings.HasPrefix(e, "WAGGLE_BOOTSTRAP_")
	})
	return append(own, env...)
}

// lastLine is the last line of a log, for people.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}
