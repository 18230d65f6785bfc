package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
	"github.com/hivehub/waggle/tenant"
)

// demoCluster is one run of `waggle demo-cluster`.
type demoCluster struct {
	count  int
	dir    string
	errOut io.Writer

	saved  savedCluster
	binary string // this program
	consul *child
	nodes  []*child
}

// savedCluster is what a second run with the same --data needs of the first: the
// file demo.json. The ports stay, since nodes that all come back elsewhere would
// not find each other.
type savedCluster struct {
	OperatorKey string `json:"operator_key"`
	TenantKey   string `json:"tenant_key"`
	Port        int    `json:"port"` // Consul's first of three; then three a node
}

const (
	demoNodesMax    = 9
	demoClusterName = "demo"
	portsOfNode     = 3
)

func newDemoCluster() *cobra.Command {
	d := &demoCluster{}
	cmd := &cobra.Command{
		Use:   "demo-cluster",
		Short: "Run Consul and several nodes on this machine, for a look around",
		Long: "Starts Consul and several nodes on free ports of 127.0.0.1, prints how to reach them and what to\n" +
			"try, and stops all of them on Ctrl-C. A node that ends, or is killed, is started again after 10 s.\n" +
			"Settings in the environment (WAGGLE_PARTITIONS, ...) are those of every node.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.errOut = cmd.ErrOrStderr()
			ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer cancel()
			return d.run(ctx, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&d.count, "nodes", 3, "how many nodes")
	f.StringVar(&d.dir, "data", "", "directory that is kept, and used again by the next run (default: one that is removed at the end)")
	return cmd
}

func (d *demoCluster) run(ctx context.Context, out io.Writer) (err error) {
	if d.count < 1 || d.count > demoNodesMax {
		return fmt.Errorf("--nodes: is %d; must be 1 to %d", d.count, demoNodesMax)
	}
	consul, err := findConsul()
	if err != nil {
		return err
	}
	if d.binary, err = os.Executable(); err != nil {
		return err
	}
	remove, err := d.openDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	defer d.stop()
	if err := d.start(ctx, consul); err != nil {
		if ctx.Err() != nil {
			return nil // Ctrl-C, too early
		}
		return err
	}
	d.explain(out)
	<-ctx.Done()
	return nil
}

func (d *demoCluster) say(format string, args ...any) { fmt.Fprintf(d.errOut, format+"\n", args...) }

// findConsul returns the path of a Consul: what CONSUL_BIN names, else the one
// on the PATH, else the one that scripts/consul.sh built.
func findConsul() (string, error) {
	if path := os.Getenv("CONSUL_BIN"); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("CONSUL_BIN=%s is not a program", path)
		}
		return path, nil
	}
	if path, err := exec.LookPath("consul"); err == nil {
		return path, nil
	}
	if cache, err := os.UserCacheDir(); err == nil {
		built, _ := filepath.Glob(filepath.Join(cache, "waggle", "consul-[0-9]*[0-9]"))
		for _, path := range slices.Backward(built) {
			if _, err := exec.LookPath(path); err == nil {
				return path, nil
			}
		}
	}
	return "", errors.New("no Consul: install one (developer.hashicorp.com/consul/install) on the PATH, name one in CONSUL_BIN, " +
		"or build one with scripts/consul.sh of Waggle's sources, once, ten to twenty minutes")
}

// openDir makes the directory and reads, or makes up, what is saved in it.
func (d *demoCluster) openDir() (remove func() error, err error) {
	remove = func() error { return nil }
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "waggle-demo-cluster"); err != nil {
			return nil, err
		}
		remove = func() error { return os.RemoveAll(d.dir) }
	} else if err = os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(d.dir, "demo.json")
	text, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(text, &d.saved); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		return remove, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	d.saved = savedCluster{
		OperatorKey: firstOf(os.Getenv("WAGGLE_BOOTSTRAP_OPERATOR_KEY"), tenant.NewKey()),
		TenantKey:   firstOf(os.Getenv("WAGGLE_BOOTSTRAP_TENANT_KEY"), tenant.NewKey()),
		Port:        freePorts(portsOfNode * (demoNodesMax + 1)),
	}
	if text, err = json.MarshalIndent(d.saved, "", "  "); err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return remove, nil
}

// freePorts returns the first of n ports in a row that nobody listens on,
// below those that the kernel gives to outgoing connections.
func freePorts(n int) int {
	for {
		first := 20000 + rand.IntN(10000)
		ok := true
		for port := first; port < first+n && ok; port++ {
			l, err := net.Listen("tcp", local(port))
			if ok = err == nil; ok {
				_ = l.Close()
			}
		}
		if ok {
			return first
		}
	}
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// port is the i-th of a node's, the node counted from 1; of Consul's for node 0.
func (d *demoCluster) port(node, i int) int { return d.saved.Port + node*portsOfNode + i }

// start starts Consul, the nodes that are members already, which need each
// other, and then the new ones, one after the other.
func (d *demoCluster) start(ctx context.Context, consul string) error {
	d.say("starting Consul and %d nodes in %s", d.count, d.dir)
	d.consul = consulChild(consul, filepath.Join(d.dir, "consul"), filepath.Join(d.dir, "consul.log"), d.port(0, 0))
	d.consul.say = d.say
	if err := startChildren(ctx, d.consul); err != nil {
		return err
	}
	if err := d.birth(ctx); err != nil {
		return err
	}
	var rest []int
	for n := 1; n <= d.count; n++ {
		if _, err := os.Stat(filepath.Join(d.data(n), "node.json")); err != nil && n > 1 {
			rest = append(rest, n)
			continue
		}
		d.nodes = append(d.nodes, d.node(n, ""))
	}
	if err := startChildren(ctx, d.nodes...); err != nil {
		return err
	}
	operator, err := client.New(client.Options{URL: d.url(1), Key: d.saved.OperatorKey})
	if err != nil {
		return err
	}
	for _, n := range rest {
		token, err := operator.CreateJoinToken(ctx, time.Hour)
		if err != nil {
			return fmt.Errorf("make a join token: %w", err)
		}
		c := d.node(n, token)
		d.nodes = append(d.nodes, c)
		if err := startChildren(ctx, c); err != nil {
			return err
		}
	}
	return d.awaitCopies(ctx, operator)
}

// stop ends the nodes, and then Consul, which they take leave of.
func (d *demoCluster) stop() {
	d.say("stopping")
	stopChildren(d.nodes...)
	if d.consul != nil {
		stopChildren(d.consul)
	}
}

// birth makes the cluster in the first node's directory, if it is not there.
func (d *demoCluster) birth(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(d.data(1), "log")); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, d.binary, "cluster", "init", "--data", d.data(1))
	cmd.Env = childEnv("WAGGLE_BOOTSTRAP_OPERATOR_KEY="+d.saved.OperatorKey, "WAGGLE_BOOTSTRAP_TENANT_KEY="+d.saved.TenantKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the cluster: %w: %s", err, out)
	}
	return nil
}

// node is a member of the cluster; token is for one that has yet to join.
func (d *demoCluster) node(n int, token string) *child {
	return &child{
		name: d.name(n), log: d.data(n) + ".log", say: d.say,
		command: func() *exec.Cmd {
			cmd := exec.Command(d.binary, "serve", "--data", d.data(n), "--listen", local(d.port(n, 0)), "--qdrant-listen", local(d.port(n, 1)),
				"--cluster", demoClusterName, "--node-id", d.name(n), "--cluster-listen", local(d.port(n, 2)), "--consul", local(d.port(0, 0)))
			cmd.Env = childEnv("WAGGLE_CLUSTER_JOIN_TOKEN=" + token)
			return cmd
		},
		ready: func(ctx context.Context) error {
			_, err := get(ctx, d.url(n)+"/health/ready")
			return err
		},
	}
}

// awaitCopies returns when every group has the copies that it should have.
func (d *demoCluster) awaitCopies(ctx context.Context, operator *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, childStartTime)
	defer cancel()
	voters := 1
	if d.count >= 3 {
		voters = 3
	}
	return poll(ctx, func() (bool, error) {
		groups, err := operator.ClusterPartitions(ctx)
		if err != nil {
			return false, err
		}
		for _, g := range groups {
			if len(g.Voters) < voters || g.Leader == "" || len(g.Voters)+len(g.Learners) < min(d.count, 3) {
				return false, fmt.Errorf("group %v has %d voters and %d learners", g.ID, len(g.Voters), len(g.Learners))
			}
		}
		return false, nil
	})
}

func (d *demoCluster) name(n int) string { return "n" + strconv.Itoa(n) }

func (d *demoCluster) data(n int) string { return filepath.Join(d.dir, d.name(n)) }

func (d *demoCluster) url(n int) string { return "http://" + local(d.port(n, 0)) }

// explain prints what there is and what to try.
func (d *demoCluster) explain(out io.Writer) {
	rows := make([][]string, 0, d.count)
	for n := 1; n <= d.count; n++ {
		rows = append(rows, []string{d.name(n), d.url(n), "http://" + local(d.port(n, 1)), d.data(n) + ".log"})
	}
	fmt.Fprintln(out)
	_ = table(out, "NODE URL QDRANT LOG", rows)
	fmt.Fprintf(out, `
In another terminal (Consul is on %[1]s):

  export WAGGLE_URL=%[2]s
  export WAGGLE_OPERATOR_KEY=%[3]s
  export WAGGLE_KEY=%[4]s

  waggle cluster status
  waggle cluster partitions
  curl -X PUT %[2]s/qdrant/collections/c -H "api-key: $WAGGLE_KEY" --json '{"vectors": {"size": 2, "distance": "Dot"}}'
  curl %[5]s/qdrant/collections -H "api-key: $WAGGLE_KEY"   # any node answers
  kill -9 $(pgrep -f '^%[6]s serve --data %[7]s ')   # a node dies; it is started again after 10 s
  waggle cluster nodes

Ctrl-C here stops everything.
`, local(d.port(0, 0)), d.url(1), d.saved.OperatorKey, d.saved.TenantKey, d.url(d.count), d.binary, d.data(d.count))
}
