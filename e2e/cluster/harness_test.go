package cluster

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of faults and operations; 0 = drawn")
	faults   = flag.Int("faults", 60, "how many faults TestChaos makes")
	limit    = flag.Duration("limit", 7*time.Minute, "how long TestChaos may make faults")
	only     = flag.String("only", "", "the kinds of fault to make, separated by commas; empty = all")
	netns    = flag.Bool("netns", false, "one network namespace a node, and nft rules instead of proxies (root)")
	rows     = flag.Int("rows", 100_000, "points of each collection that TestFigures/Search searches")
	single   = flag.Bool("single", false, "run TestChaos on one node, to see the harness work")
)

// The keys that the first node is born with.
const (
	operatorKey = "hh_live_operator0000000000000000000000000000"
	tenantKey   = "hh_live_tenant000000000000000000000000000000"
)

var bootstrapKeys = []string{
	"WAGGLE_BOOTSTRAP_OPERATOR_KEY=" + operatorKey,
	"WAGGLE_BOOTSTRAP_TENANT_KEY=" + tenantKey,
}

// small makes births quick, and checkpoints and log cuts frequent enough that
// a node that was away needs images.
var small = []string{
	"WAGGLE_PARTITIONS=16", "WAGGLE_STORAGE_SEGMENT_BYTES=16MB",
	"WAGGLE_STORAGE_CHECKPOINT_INTERVAL=2s", "WAGGLE_STORAGE_CHECKPOINT_BYTES=1MB",
	"WAGGLE_LIMITS_AUTH_FAILURES=1000", // every client has one address
}

// buildDir is where the binary under test is built, unless WAGGLE_BIN names one.
var buildDir string

// waggle is the path of the binary under test.
var waggle = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("WAGGLE_BIN"); path != "" {
		return path, nil
	}
	path := filepath.Join(buildDir, "waggle")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", path, "../..").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w: %s", err, out)
	}
	return path, nil
})

var summary string // what TestMain prints last

func TestMain(m *testing.M) {
	if address := os.Getenv("LISTEN_FOR_NAMESPACES"); address != "" {
		listenFor(address)
		return
	}
	flag.Parse()
	os.Exit(func() int {
		var err error
		if buildDir, err = os.MkdirTemp("", "waggle-cluster"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(buildDir)
		code := m.Run()
		fmt.Print(summary)
		return code
	}())
}

// drawSeed is the seed of a test, told so that the test can be run again.
func drawSeed(t testing.TB) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1e9
	}
	t.Logf("seed %d (again: -seed %d)", seed, seed)
	return seed
}

// environ is the environment of a child: no WAGGLE_ setting but those given.
func environ(env ...[]string) []string {
	clean := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "WAGGLE_") })
	return append(clean, slices.Concat(env...)...)
}

// workDir is a directory for a test's data and logs. It is kept when the test
// has failed.
func workDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "waggle-fleet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("data and logs are kept in %s", dir)
		} else {
			_ = os.RemoveAll(dir)
		}
	})
	return dir
}

// freePort finds a TCP port on host that nobody listens on. It is below the
// range from which the kernel draws ports of outgoing connections, so that
// nobody takes it while its owner is down. Another network namespace's host is
// its owner's alone.
func freePort(host string) int {
	for {
		port := 16000 + rand.IntN(16000)
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
			return port
		}
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			return port
		}
	}
}

// freeAddress is host with a free port.
func freeAddress(host string) string {
	return net.JoinHostPort(host, strconv.Itoa(freePort(host)))
}

// poll asks until done returns nil, and returns the last answer when it did
// not within the time.
func poll(within time.Duration, done func() error) error {
	deadline := time.After(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("after %v: %w", within, err)
		case <-tick.C:
		}
	}
}

// wait passes a time that the test wants to pass; false when stop came first.
func wait(d time.Duration, stop <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	}
}

// findings are the violations of a run.
type findings struct {
	began time.Time
	quiet bool // for tests of the checkers, which look for violations
	mu    sync.Mutex
	list  []string
	count int
}

const findingsListed = 50

func newFindings() *findings { return &findings{began: time.Now()} }

// add notes a violation and says it at once.
func (f *findings) add(format string, args ...any) {
	text := fmt.Sprintf("%7.2fs ", time.Since(f.began).Seconds()) + fmt.Sprintf(format, args...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if len(f.list) < findingsListed {
		f.list = append(f.list, text)
		if !f.quiet {
			fmt.Println("VIOLATION", text)
		}
	}
}

func (f *findings) all() (list []string, count int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list), f.count
}

// tail is the last n bytes of a file, for people.
func tail(path string, n int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(raw) > n {
		return "..." + string(raw[len(raw)-n:])
	}
	return string(raw)
}

// listenFor is a process of TestNamespaces: it takes connections until it is
// killed.
func listenFor(address string) {
	l, err := net.Listen("tcp", address)
	for err == nil {
		_, err = l.Accept()
	}
	fmt.Fprintln(os.Stderr, err)
}
