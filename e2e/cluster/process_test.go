package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one running program whose output goes to a file, but for the
// first line of its standard output.
type process struct {
	cmd    *exec.Cmd
	first  chan string   // the first line of standard output, once; "" when it ended without
	exited chan struct{} // closed
}

// launch starts cmd. It dies with the test.
func launch(cmd *exec.Cmd, logPath string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "--- %s %q\n", time.Now().Format("15:04:05.000"), cmd.Args)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		_ = log.Close()
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		_ = log.Close()
		return nil, err
	}
	p := &process{cmd: cmd, first: make(chan string, 1), exited: make(chan struct{})}
	go func() {
		r := bufio.NewReader(stdout)
		line, _ := r.ReadString('\n')
		p.first <- line
		_, _ = io.Copy(log, r)
		_ = cmd.Wait()
		fmt.Fprintf(log, "--- %s ended: %v\n", time.Now().Format("15:04:05.000"), cmd.ProcessState)
		_ = log.Close()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends it as a power cut would, for the process.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

func (p *process) resume() { p.signal(syscall.SIGCONT) }

// pause stops it where it is and returns when every thread of it stands.
func (p *process) pause() {
	p.signal(syscall.SIGSTOP)
	_ = poll(5*time.Second, func() error {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		for _, path := range threads {
			if f := statFields(path); len(f) > 0 && f[0] != "T" && f[0] != "Z" {
				return errors.New("it runs")
			}
		}
		return nil
	})
}

// terminate ends it politely, or after the time by force, and returns the exit
// code.
func (p *process) terminate(within time.Duration) (code int, err error) {
	p.signal(syscall.SIGTERM)
	if wait(within, p.exited) {
		p.kill()
		return -1, fmt.Errorf("still there %v after SIGTERM", within)
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// cpu is the processor time that it has used.
func (p *process) cpu() time.Duration {
	f := statFields(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if len(f) < 13 { // utime and stime are the 14th and 15th of all, in ticks of 10 ms
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// statFields are the fields of a stat file after the name, which is in
// brackets: the state comes first.
func statFields(path string) []string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.Fields(rest)
}
