package main

import (
	"os"
	"path/filepath"
	"testing"
)

// `waggle cluster init` is composed of what a node is: nothing is missing, it
// leaves a cluster with its first keys behind, and makes no second one there.
func TestClusterInit(t *testing.T) {
	c := DefaultConfig()
	c.DataDir = filepath.Join(t.TempDir(), "data")
	if err := initCluster(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secret", "first-keys", "log", "partitions"} {
		if _, err := os.Stat(filepath.Join(c.DataDir, name)); err != nil {
			t.Error(err)
		}
	}
	if err := initCluster(t.Context(), c); err == nil {
		t.Error("there was a cluster already, and a second one was made")
	}
}
