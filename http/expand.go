package httpedge

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hivehub/waggle/collection"
)

// A query is expanded into variants of itself by what its words and the
// collection's texts say, by no list of synonyms and no model: see variants.

// The bounds of an expansion.
const (
	rareWords       = 3  // of the query
	probedWords     = 16 // of the query, whose rarity is looked up
	feedbackHits    = 5  // that further words are taken from
	feedbackWords   = 5
	feedbackLetters = 3 // of such a word, at least
)

// The kinds of variants, as they are shown.
const (
	variantQuery    = "query"    // as it was given
	variantContent  = "content"  // without the commonest words of English
	variantRare     = "rare"     // its rarest words alone
	variantFeedback = "feedback" // and words that its best hits share
)

// variant is one form of a query.
type variant struct {
	Text   string  `json:"text"`
	Kind   string  `json:"kind" enum:"query,content,rare,feedback"`
	Weight float64 `json:"weight" doc:"Of its hits where all lists are fused."`
}

// commonWords say little of what a text is about. They are of English; a query
// in another language is not shortened.
var commonWords = func() map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(`a about an and any are as at be been but by can could did do does for from had has have
		how i if in into is it its me my no not of on or our should so some than that the their them then there these they this
		to was we were what when where which who why will with would you your`) {
		set[word] = true
	}
	return set
}()

// distinct returns the different words of a text, in order.
func distinct(text string) []string {
	var words []string
	seen := map[string]bool{}
	for _, word := range collection.Words(text) {
		if !seen[word] {
			seen[word] = true
			words = append(words, word)
		}
	}
	return words
}

// withoutCommon returns the words of a query that are not common; all of them
// when nothing else would be left.
func withoutCommon(words []string) []string {
	rest := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return commonWords[w] })
	if len(rest) == 0 {
		return words
	}
	return rest
}

// rarest returns the words that say most, in the order of the query: those
// whose best hit alone scores highest, for BM25 scores a word the higher the
// fewer texts have it. A word without a score is in no text.
func rarest(words []string, scores []float32) []string {
	var at []int
	for i := range words {
		if scores[i] > 0 {
			at = append(at, i)
		}
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	at = at[:min(len(at), rareWords)]
	slices.Sort(at)
	var out []string
	for _, i := range at {
		out = append(out, words[i])
	}
	return out
}

// feedback returns the words that most of a query's best hits share and that it
// lacks itself (pseudo-relevance feedback): at least two of them must.
func feedback(query, texts []string) []string {
	type count struct {
		word        string
		texts, uses int
	}
	counts := map[string]*count{}
	for _, text := range texts {
		seen := map[string]bool{}
		for _, word := range collection.Words(text) {
			if commonWords[word] || len([]rune(word)) < feedbackLetters || slices.Contains(query, word) {
				continue
			}
			c := counts[word]
			if c == nil {
				c = &count{word: word}
				counts[word] = c
			}
			if c.uses++; !seen[word] {
				seen[word] = true
				c.texts++
			}
		}
	}
	var list []*count
	for _, c := range counts {
		if c.texts > 1 {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *count) int {
		return cmp.Or(cmp.Compare(b.texts, a.texts), cmp.Compare(b.uses, a.uses), cmp.Compare(a.word, b.word))
	})
	var out []string
	for _, c := range list[:min(len(list), feedbackWords)] {
		out = append(out, c.word)
	}
	return out
}

// variants returns the forms of a query, the query itself first: each set of
// words once.
func variants(query string, rare, more []string) []variant {
	words := distinct(query)
	content := withoutCommon(words)
	all := []variant{{Text: query, Kind: variantQuery, Weight: 1}}
	seen := map[string]bool{wordSet(words): true}
	for _, v := range []struct {
		kind   string
		weight float64
		words  []string
	}{{variantContent, 0.7, content}, {variantRare, 0.5, rare}, {variantFeedback, 0.5, joined(content, more)}} {
		if set := wordSet(v.words); len(v.words) > 0 && !seen[set] {
			seen[set] = true
			all = append(all, variant{Text: strings.Join(v.words, " "), Kind: v.kind, Weight: v.weight})
		}
	}
	return all
}

// joined is nothing without more words.
func joined(words, more []string) []string {
	if len(more) == 0 {
		return nil
	}
	return slices.Concat(words, more)
}

func wordSet(words []string) string {
	return strings.Join(slices.Sorted(slices.Values(words)), " ")
}
