// Package fusion makes one list of hits out of several: of a dense and a
// sparse search, for example. It is pure functions over labels and scores.
//
// All agree in this: lists come best first and scores are the larger the
// better; of a label that is in one list twice the first place counts; the
// result has each label once, best first, equal scores ordered by label. A
// score that is not a number counts as the least there is.
package fusion

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// KDefault is the k of reciprocal rank fusion where nobody chose one.
const KDefault = 2

// The faults of what a fusion is asked for.
var (
	// ErrK is returned for a k below 1.
	ErrK = errors.New("fusion: k is below 1")
	// ErrWeights is returned when there are weights, but not one for each
	// list, or one that is negative or not finite.
	ErrWeights = errors.New("fusion: not one finite weight of 0 or more for each list")
)

// Hit is a label and its score.
type Hit struct {
	Label uint64
	Score float64
}

// RRF is reciprocal rank fusion (Cormack, Clarke and Büttcher 2009) as Qdrant
// has it: a label scores the sum of 1/((rank+1)/w + k-1) over the lists it is
// in, where rank counts from 0 and w is the list's weight; with no weights,
// or all 1, that is 1/(rank+k). A list of weight 0 adds labels and no scores.
func RRF(k int, weights []float64, lists ...[]Hit) ([]Hit, error) {
	if k < 1 {
		return nil, ErrK
	}
	return fuse(weights, lists, func(list []Hit, weight float64) {
		for rank := range list {
			list[rank].Score = 1 / (float64(rank+1)/weight + float64(k-1))
		}
	})
}

// DBSF is distribution-based score fusion as Qdrant has it: in each list scores
// are stretched so that the mean less three standard deviations (of a sample)
// becomes 0 and the mean plus three becomes 1, and then summed. One score
// alone, or equal ones, become 0.5.
func DBSF(lists ...[]Hit) []Hit {
	fused, _ := fuse(nil, lists, func(list []Hit, _ float64) { normalise(list) })
	return fused
}

// Weighted is the sum of the scores as they are, each times its list's weight.
func Weighted(weights []float64, lists ...[]Hit) ([]Hit, error) {
	return fuse(weights, lists, func(list []Hit, weight float64) {
		for i := range list {
			list[i].Score *= weight
		}
	})
}

// Blend is the sum of the scores, each times its list's weight, after those of
// each list were stretched so that its least becomes 0 and its greatest 1. One
// score alone, or equal ones, become 1.
func Blend(weights []float64, lists ...[]Hit) ([]Hit, error) {
	return fuse(weights, lists, func(list []Hit, weight float64) {
		least, most := math.Inf(1), math.Inf(-1)
		for _, h := range list {
			least, most = min(least, h.Score), max(most, h.Score)
		}
		for i := range list {
			share := 1.0
			if most > least {
				share = (list[i].Score - least) / (most - least)
			}
			list[i].Score = share * weight
		}
	})
}

// place is where a label stands in what is fused.
type place struct{ at, list int } // list: the last one that it is in

// fuse sums, label by label, what score makes of every list. Score may change
// the list it gets: a copy without second places, of finite scores.
func fuse(weights []float64, lists [][]Hit, score func(list []Hit, weight float64)) ([]Hit, error) {
	if err := check(weights, len(lists)); err != nil {
		return nil, err
	}
	sum, longest := 0, 0
	for _, list := range lists {
		sum, longest = sum+len(list), max(longest, len(list))
	}
	fused, room := make([]Hit, 0, sum), make([]Hit, 0, longest)
	places := make(map[uint64]place, sum)
	for i, given := range lists {
		weight := 1.0
		if len(weights) > 0 {
			weight = weights[i]
		}
		list := room[:0]
		for _, h := range given {
			p, ok := places[h.Label]
			if ok && p.list == i {
				continue
			}
			if !ok {
				p.at = len(fused)
				fused = append(fused, Hit{Label: h.Label})
			}
			places[h.Label] = place{p.at, i}
			list = append(list, finite(h))
		}
		score(list, weight)
		for _, h := range list {
			fused[places[h.Label].at].Score += h.Score
		}
	}
	slices.SortFunc(fused, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Label, b.Label))
	})
	return fused, nil
}

func check(weights []float64, lists int) error {
	if len(weights) > 0 && len(weights) != lists {
		return ErrWeights
	}
	for _, w := range weights {
		if !(w >= 0 && w <= math.MaxFloat32) {
			return ErrWeights
		}
	}
	return nil
}

// finite returns a hit with a score no greater than a float32 can be, so that no
// sum or square leaves float64.
func finite(h Hit) Hit {
	if math.IsNaN(h.Score) {
		h.Score = -math.MaxFloat32
	}
	h.Score = min(max(h.Score, -math.MaxFloat32), math.MaxFloat32)
	return h
}

// normalise moves the mean to 0.5 and three standard deviations to 0.5 beside
// it.
func normalise(list []Hit) {
	mean, squares := 0.0, 0.0
	for i, h := range list { // Welford's: stable in one pass
		off := h.Score - mean
		mean += off / float64(i+1)
		squares += off * (h.Score - mean)
	}
	width := 0.0
	if len(list) > 1 {
		width = 6 * math.Sqrt(squares/float64(len(list)-1))
	}
	for i := range list {
		if width == 0 {
			list[i].Score = 0.5
		} else {
			list[i].Score = 0.5 + (list[i].Score-mean)/width
		}
	}
}
