package cli

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
)

// groundTruth computes, for each query, the squared distance of its tenth
// nearest image: exactly, in integers, sharing no code with the server.
//
// It gives an image up as soon as the part of its distance summed so far is
// past the tenth best: the pixels that vary most come first, so that most
// images are given up early.
func (d *demo) groundTruth() []int32 {
	order := byVariance(d.base.images)
	base := reorder(d.base.images, order)
	queries := reorder(d.query.images, order)
	truth := make([]int32, len(queries))
	bar := startBar(d.errOut, "computing the exact answer", len(queries))
	_ = parallel(context.Background(), runtime.GOMAXPROCS(0), len(queries), func(_ context.Context, i int) error {
		truth[i] = tenthNearest(&queries[i], base)
		bar.add(1)
		return nil
	})
	bar.stop()
	return truth
}

func byVariance(images []image) []int {
	var variance [pixels]float64
	for p := range variance {
		var sum, squares float64
		for i := range images {
			v := float64(images[i][p])
			sum, squares = sum+v, squares+v*v
		}
		n := float64(len(images))
		variance[p] = squares/n - (sum/n)*(sum/n)
	}
	order := make([]int, pixels)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(variance[b], variance[a]) })
	return order
}

func reorder(images []image, order []int) []image {
	out := make([]image, len(images))
	for i := range images {
		for to, from := range order {
			out[i][to] = images[i][from]
		}
	}
	return out
}

func tenthNearest(q *image, base []image) int32 {
	var best [demoTopK]int32 // ascending
	for i := range best {
		best[i] = math.MaxInt32
	}
	for i := range base {
		worst := best[demoTopK-1]
		dist := squaredDistance(q, &base[i], worst)
		if dist >= worst {
			continue
		}
		at := demoTopK - 1
		for ; at > 0 && best[at-1] > dist; at-- {
			best[at] = best[at-1]
		}
		best[at] = dist
	}
	return best[demoTopK-1]
}

// squaredDistance is exact up to limit; past it any value past it will do.
func squaredDistance(a, b *image, limit int32) int32 {
	var sum int32
	for from := 0; from < pixels; from += 56 {
		x, y := a[from:from+56], b[from:from+56]
		for i := range x {
			diff := int32(x[i]) - int32(y[i])
			sum += diff * diff
		}
		if sum >= limit {
			return sum
		}
	}
	return sum
}

// recall is the share of found neighbours that are among the ten nearest: an
// image exactly as far as the tenth counts, whichever of its equals was found.
func recall(found [][]int, truth []int32, base, query imageSet) float64 {
	right := 0
	for i, ids := range found {
		seen := map[int]bool{}
		for _, id := range ids {
			if id < 0 || id >= len(base.images) || seen[id] {
				continue
			}
			seen[id] = true
			if squaredDistance(&query.images[i], &base.images[id], math.MaxInt32) <= truth[i] {
				right++
			}
		}
	}
	return float64(right) / float64(len(found)*demoTopK)
}
