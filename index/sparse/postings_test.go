package sparse

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A list under random inserts and removals, in phases of growth and shrinking:
// every version is kept and must stay what it was.
func TestListEqualsMap(t *testing.T) {
	for _, slots := range []int{40, 1000, 10_000} {
		for _, ascending := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d slots, ascending %v", slots, ascending), func(t *testing.T) {
				checkList(t, slots, ascending)
			})
		}
	}
}

func checkList(t *testing.T, slots int, ascending bool) {
	r := rand.New(rand.NewPCG(uint64(slots), 1))
	e := &editor{owner: 1, extent: func(p posting) extent { return extent{p.value, -p.value} }}
	var list ref
	now := map[uint32]float32{}
	change := func(slot uint32, grow bool) {
		_, have := now[slot]
		switch {
		case have && !grow:
			e.remove(&list, slot)
			delete(now, slot)
		case !have && grow:
			now[slot] = float32(r.IntN(1000))
			e.insert(&list, posting{slot, now[slot]})
		}
		if list.count == 0 {
			list = ref{}
		}
	}
	var versions []ref
	var models []map[uint32]float32
	for phase := range 6 {
		for i := range slots {
			slot := uint32(i)
			if !ascending || phase > 0 {
				slot = uint32(r.IntN(slots))
			}
			change(slot, (phase+r.IntN(5)/4)%2 == 0)
			if i%(slots/10) == 0 {
				versions, models = append(versions, list), append(models, maps.Clone(now))
				e.owner++
			}
		}
	}
	for slot := range slots {
		change(uint32(slot), false)
		if len(now)%100 == 0 || len(now) < 10 {
			if err := checkVersion(&list, now); err != nil {
				t.Fatalf("with %d left: %v", len(now), err)
			}
		}
	}
	if len(now) > 0 || list.count > 0 {
		t.Fatalf("%d postings after all were removed, want %d", list.count, len(now))
	}
	for i := range versions {
		if err := checkVersion(&versions[i], models[i]); err != nil {
			t.Fatalf("version %d: %v", i, err)
		}
	}
}

func checkVersion(list *ref, want map[uint32]float32) error {
	if len(want) == 0 {
		if list.node != nil {
			return fmt.Errorf("an empty list has a node")
		}
		return nil
	}
	if len(list.node.kids) == 1 {
		return fmt.Errorf("a root with one kid")
	}
	if _, err := checkTree(list); err != nil {
		return err
	}
	var got []posting
	for _, b := range list.appendBlocks(nil) {
		got = append(got, b.node.postings...)
	}
	for i, slot := range slices.Sorted(maps.Keys(want)) {
		if i >= len(got) || got[i] != (posting{slot, want[slot]}) {
			return fmt.Errorf("no posting %d of %d for slot %d", i, len(got), slot)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d postings, want %d", len(got), len(want))
	}
	return nil
}

// checkTree holds what a reference says to what is below it, and returns the
// height.
func checkTree(r *ref) (int, error) {
	n, e := r.node, editor{extent: func(p posting) extent { return extent{p.value, -p.value} }}
	height := 0
	for i := range n.kids {
		below, err := checkTree(&n.kids[i])
		if err != nil {
			return 0, err
		}
		if i > 0 && below+1 != height {
			return 0, fmt.Errorf("kids of heights %d and %d", below, height-1)
		}
		height = below + 1
	}
	if len(n.postings) > blockSize || len(n.kids) > fanout || len(n.postings) > 0 == (len(n.kids) > 0) {
		return 0, fmt.Errorf("a node of %d postings and %d kids", len(n.postings), len(n.kids))
	}
	if exact := e.summary(n); exact != *r {
		return 0, fmt.Errorf("a reference says %+v, below it is %+v", *r, exact)
	}
	return height, nil
}
