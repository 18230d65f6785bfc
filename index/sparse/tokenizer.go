package sparse

import (
	"iter"
	"slices"
	"unicode"
	"unicode/utf8"
)

// The default lengths of a word, in runes.
const (
	RunesMinDefault = 1
	RunesMaxDefault = 40
)

// Tokenizer cuts text into words, whatever its language. A word is a run of
// letters, numbers and the marks on them; in Han and Hiragana, which do not
// space words, each letter is one. Words are folded to one case, rune by rune,
// so that spellings that differ in case only are one word. Text is not
// normalised: a composed letter and a decomposed one differ. Bytes that are no
// UTF-8 separate words. The same text gives the same words on every machine
// with the same version of Go's Unicode tables.
//
// A Tokenizer does not change and may be used from any goroutine.
type Tokenizer struct {
	stop     map[string]bool
	min, max int
}

// TokenizerOptions are of a Tokenizer. Words of fewer runes than RunesMin or
// more than RunesMax are left out, and so are StopWords in whatever case. A
// bound below 1 is the default.
type TokenizerOptions struct {
	StopWords          []string
	RunesMin, RunesMax int
}

// NewTokenizer returns a tokenizer.
func NewTokenizer(o TokenizerOptions) *Tokenizer {
	t := &Tokenizer{stop: make(map[string]bool, len(o.StopWords)), min: o.RunesMin, max: o.RunesMax}
	if t.min < 1 {
		t.min = RunesMinDefault
	}
	if t.max < 1 {
		t.max = RunesMaxDefault
	}
	for _, word := range o.StopWords {
		var folded []byte
		for _, r := range word {
			folded = utf8.AppendRune(folded, fold(r))
		}
		t.stop[string(folded)] = true
	}
	return t
}

// Words yields the words of a text in order. A word is valid until the next
// one is asked for.
func (t *Tokenizer) Words(text string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var room [4 * RunesMaxDefault]byte
		word, runes := room[:0], 0
		end := func() bool {
			wanted := runes >= t.min && runes <= t.max && !t.stop[string(word)]
			more := !wanted || yield(word)
			word, runes = word[:0], 0
			return more
		}
		for _, r := range text {
			k := kindOf(r)
			if (k == gap || k == whole) && runes > 0 && !end() {
				return
			}
			if k == gap || k == mark && runes == 0 {
				continue
			}
			if runes++; runes <= t.max {
				word = utf8.AppendRune(word, fold(r))
			}
			if k == whole && !end() {
				return
			}
		}
		if runes > 0 {
			end()
		}
	}
}

// Document returns the words of a text as terms with their frequencies, and
// their number as its length.
func (t *Tokenizer) Document(text string) Document {
	var all []uint64
	for word := range t.Words(text) {
		all = append(all, TermOf(word))
	}
	slices.Sort(all)
	d := Document{Length: uint32(len(all))}
	for i, term := range all {
		if i == 0 || term != all[i-1] {
			d.Terms = append(d.Terms, term)
			d.Values = append(d.Values, 0)
		}
		d.Values[len(d.Values)-1]++
	}
	return d
}

// TermOf is the term of a word: its FNV-1a hash. Two of a million words share
// one with a probability of 3 in 100 million.
func TermOf(word []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range word {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// runeKind is what a rune does in a text.
type runeKind uint8

const (
	gap   runeKind = iota // separates words
	part                  // of a word
	mark                  // belongs to the rune before it
	whole                 // a word by itself
)

func kindOf(r rune) runeKind {
	switch {
	case r < utf8.RuneSelf:
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return part
		}
		return gap
	case unicode.IsMark(r):
		return mark
	case unicode.In(r, unicode.Han, unicode.Hiragana) && unicode.IsLetter(r):
		return whole
	case unicode.IsLetter(r) || unicode.IsNumber(r):
		return part
	default:
		return gap
	}
}

// fold maps all runes that are one but for case to the same rune, a lower-case
// one where there is one.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return unicode.ToLower(least)
}
