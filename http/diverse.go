package httpedge

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/hivehub/waggle/collection"
)

// found is a hit of a search over words, on its way into an answer.
type found struct {
	name   collectionName
	owner  uint64 // the collection's number: a name and an alias of it are one
	hit    collection.Hit
	text   string   // what it says; "" when it says nothing
	score  float64  // the larger the better
	rerank *float64 // by the endpoint
}

// rankConstant is that of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
const rankConstant = 60

// mergeRanks makes one list of those of several collections. Their scores cannot be
// compared, so the ranks are: the best of each list come first, in the order in
// which the collections were named, then the second best, and so on. A score is
// 1/(60 + rank), with ranks from 1.
func mergeRanks(lists [][]found) []found {
	var all []found
	for _, list := range lists {
		for rank := range list {
			list[rank].score = 1 / float64(rankConstant+rank+1)
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(b.score, a.score) })
	return all
}

// unique drops what was found before: the same point, or the same words.
func unique(list []found) []found {
	type point struct {
		owner uint64
		id    collection.PointID
	}
	points, texts := map[point]bool{}, map[string]bool{}
	return slices.DeleteFunc(list, func(f found) bool {
		p, words := point{f.owner, f.hit.ID}, strings.Join(collection.Words(f.text), " ")
		if points[p] || words != "" && texts[words] {
			return true
		}
		points[p], texts[words] = true, true
		return false
	})
}

// diverse chooses n hits by maximal marginal relevance (Carbonell and Goldstein
// 1998): one after the other the one with the largest
//
//	lambda * relevance - (1-lambda) * likeness
//
// where relevance is its score as a share of the best one's, and likeness the
// share of words that it has in common with the hit chosen before that it is
// most like. lambda 1 changes nothing.
//
// Of each text its first comparedWords words are compared. It ends with ctx.
func diverse(ctx context.Context, list []found, n int, lambda float64) ([]found, error) {
	best := math.SmallestNonzeroFloat64
	words := make([][]uint64, len(list))
	for i := range list {
		best = max(best, list[i].score)
		words[i] = someWords(list[i].text)
	}
	likeness := make([]float64, len(list))
	chosen := make([]bool, len(list))
	var out []found
	for len(out) < min(n, len(list)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		next, most := -1, 0.0
		for i := range list {
			worth := lambda*list[i].score/best - (1-lambda)*likeness[i]
			if !chosen[i] && (next < 0 || worth > most) {
				next, most = i, worth
			}
		}
		chosen[next] = true
		out = append(out, list[next])
		for i := range list {
			likeness[i] = max(likeness[i], inCommon(words[i], words[next]))
		}
	}
	return out, nil
}

// comparedWords bounds what is compared of one text.
const comparedWords = 256

// someWords are the different ones among the first words of a text, as hashes, in order.
func someWords(s string) []uint64 {
	if most := comparedWords * 64; len(s) > most { // longer words than these are rare
		s = s[:most]
	}
	var list []uint64
	for _, word := range collection.Words(s) {
		if list = append(list, xxhash.Sum64String(word)); len(list) == comparedWords {
			break
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// inCommon is the share of the words of both that both have (Jaccard).
func inCommon(a, b []uint64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	both := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			i, j, both = i+1, j+1, both+1
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}
