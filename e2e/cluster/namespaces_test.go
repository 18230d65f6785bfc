package cluster

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// namespaces is a network of network namespaces, one a node, on one bridge,
// with nft rules that drop packets where they arrive. A way that is cut loses
// acknowledgements of the other way, too, as a real one does.
type namespaces struct {
	t      testing.TB
	subnet string // the first three bytes
	bridge string

	mu    sync.Mutex
	hosts map[string]string // by node
	cuts  map[way]int
}

func newNamespaces(t testing.TB) *namespaces {
	if os.Getuid() != 0 {
		t.Fatal("-netns needs root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("-netns needs %s: %v", tool, err)
		}
	}
	id := os.Getpid() % 250
	s := &namespaces{
		t: t, subnet: fmt.Sprintf("10.213.%d", id), bridge: fmt.Sprintf("waggle%d", id),
		hosts: map[string]string{}, cuts: map[way]int{},
	}
	if err := s.do("ip link add %s type bridge", s.bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.do("ip link del %s", s.bridge) })
	for _, c := range []string{"ip addr add %s.1/24 dev %s", "ip link set %[2]s up"} {
		if err := s.do(c, s.subnet, s.bridge); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// do runs a command whose words hold no spaces.
func (s *namespaces) do(format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	line, _, _ = strings.Cut(line, "%!(EXTRA")
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

func (s *namespaces) space(name string) string { return s.bridge + "-" + name }

// place makes the namespace of a new node.
func (s *namespaces) place(name string) (host string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := len(s.hosts) + 2
	host = fmt.Sprintf("%s.%d", s.subnet, number)
	s.hosts[name] = host
	space, outside := s.space(name), fmt.Sprintf("%s.%d", s.bridge, number)
	if err := s.do("ip netns add %s", space); err != nil {
		return "", err
	}
	s.t.Cleanup(func() { _ = s.do("ip netns del %s", space) })
	inside := "ip netns exec " + space + " "
	for _, c := range []string{
		"ip link add " + outside + " type veth peer name eth0 netns " + space,
		"ip link set " + outside + " master " + s.bridge + " up",
		inside + "ip addr add " + host + "/24 dev eth0",
		inside + "ip link set eth0 up",
		inside + "ip link set lo up",
		inside + "nft add table ip waggle",
		inside + "nft add set ip waggle cut { type ipv4_addr; }",
		inside + "nft add chain ip waggle in { type filter hook input priority 0; }",
		inside + "nft add rule ip waggle in ip saddr @cut drop",
	} {
		if err := s.do("%s", c); err != nil {
			return "", err
		}
	}
	return host, nil
}

func (s *namespaces) node(name string) (listen, advertise string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := net.JoinHostPort(s.hosts[name], "15010")
	return a, a, nil
}

func (s *namespaces) consulHost() string { return s.subnet + ".1" }

func (s *namespaces) command(name, program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", s.space(name), program}, args...)...)
}

func (s *namespaces) cut(from, to string) (heal func(), err error) {
	if err := s.change(way{from, to}, +1); err != nil {
		return nil, err
	}
	return func() {
		if err := s.change(way{from, to}, -1); err != nil {
			s.t.Errorf("heal: %v", err)
		}
	}, nil
}

// change counts the faults that cut a way, and puts the rule in with the first
// and takes it out with the last.
func (s *namespaces) change(w way, by int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.cuts[w]
	s.cuts[w] += by
	var verb string
	switch {
	case was == 0 && by > 0:
		verb = "add"
	case was == 1 && by < 0:
		verb = "delete"
	default:
		return nil
	}
	return s.do("ip netns exec %s nft %s element ip waggle cut { %s }", s.space(w.to), verb, s.hosts[w.from])
}
