//go:build netns

package cluster

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestNamespaces holds that one way can be cut, and healed.
func TestNamespaces(t *testing.T) {
	s := newNamespaces(t)
	for _, name := range []string{"n1", "n2"} {
		if _, err := s.place(name); err != nil {
			t.Fatal(err)
		}
	}
	const port = "17000"
	arrives := func(from, to string) bool {
		t.Helper()
		got := t.TempDir() + "/got"
		hear := s.command(to, "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+s.hosts[from]+"/"+port+" && echo yes > "+got)
		_ = hear.Run()
		_, err := os.Stat(got)
		return err == nil
	}
	listen := func(name string) {
		cmd := s.command(name, os.Args[0])
		cmd.Env = append(os.Environ(), "LISTEN_FOR_NAMESPACES="+s.hosts[name]+":"+port)
		p, err := launch(cmd, os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
	}
	listen("n1")
	if err := poll(10*time.Second, func() error {
		if !arrives("n1", "n2") {
			return fmt.Errorf("n2 does not reach n1")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []way{{"n1", "n2"}, {"n2", "n1"}} {
		heal, err := s.cut(w.from, w.to)
		if err != nil {
			t.Fatal(err)
		}
		if arrives("n1", "n2") {
			t.Errorf("cut %v: a connection is made", w)
		}
		heal()
		if !arrives("n1", "n2") {
			t.Errorf("cut %v is not healed", w)
		}
	}
}
