package persistence

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// TestBoltSkeleton damages what bbolt trusts, in the ways that would end the
// process or overwrite live pages if bbolt got to see them.
func TestBoltSkeleton(t *testing.T) {
	_, sound, _, _ := boltStates(t, 5)
	meta, err := newestMeta(bytes.NewReader(sound), int64(len(sound)))
	if err != nil {
		t.Fatal(err)
	}
	branch, leaf := -1, uint64(0) // a branch page in use and a child of it
	c := boltCheck{r: bytes.NewReader(sound), pageSize: meta.pageSize, seen: make([]bool, meta.high)}
	if err := c.tree(meta.root, func(p page) error {
		roots, err := p.buckets()
		for _, root := range roots {
			if p := page(sound[root*testPage:]); p.flags() == flagBranch {
				branch, leaf = int(root), p.children(nil)[1]
			}
		}
		return err
	}); err != nil || branch < 0 {
		t.Fatal(branch, err)
	}
	child := branch*testPage + pageHeader + elementBytes + 8 // of the branch's second element
	free := int(meta.freelist)*testPage + pageHeader
	number := binary.LittleEndian.PutUint64
	for name, change := range map[string]func(b []byte){
		"branch leads to itself":       func(b []byte) { number(b[child:], uint64(branch)) },
		"branch leads to the root":     func(b []byte) { number(b[child:], meta.root) },
		"branch leads past the end":    func(b []byte) { number(b[child:], meta.high) },
		"branch leads to a meta page":  func(b []byte) { number(b[child:], 1) },
		"branch leads to a free page":  func(b []byte) { copy(b[child:child+8], b[free:]) },
		"branch leads there twice":     func(b []byte) { copy(b[child:child+8], b[child-elementBytes:]) },
		"branch is empty":              func(b []byte) { number(b[branch*testPage+8:], flagBranch) },
		"branch has too many elements": func(b []byte) { b[branch*testPage+11] = 0xff },
		"leaf in use is free":          func(b []byte) { number(b[free:], leaf) },
		"branch in use is free":        func(b []byte) { number(b[free:], uint64(branch)) },
		"free page past the end":       func(b []byte) { number(b[free:], meta.high) },
		"free list is too long":        func(b []byte) { number(b[free-8:], 0xfffe<<16|flagFreelist) },
		"free list is huge":            func(b []byte) { b[free-6], b[free-5] = 0xff, 0xff; number(b[free:], 1<<62) },
		"free list is a leaf":          func(b []byte) { b[free-8] = flagLeaf },
	} {
		t.Run(name, func(t *testing.T) {
			b := bytes.Clone(sound)
			change(b)
			path := filepath.Join(t.TempDir(), "p.db")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := OpenBolt(path); collection.CodeOf(err) != collection.DataLoss {
				t.Error(s, err)
			}
			if after := must(os.ReadFile(path))(t); !bytes.Equal(after, b) {
				t.Error("opening a corrupt file changed it")
			}
		})
	}
}

// TestBoltOneWriter opens a store that is open.
func TestBoltOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	s := must(openUnsynced(path))(t)
	if _, err := OpenBolt(path); err == nil || collection.CodeOf(err) == collection.DataLoss {
		t.Error(err)
	}
	mustClose(t, s)
	mustClose(t, must(openUnsynced(path))(t))
}
