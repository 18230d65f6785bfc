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
// letters, numbers and the marks on them. Scripts that do not space words have
// other words: in Han and Hiragana each letter and each two that stand together,
// in Katakana, Hangul, Thai, Lao, Khmer and Burmese each two, or one that stands
// alone; so what is looked for is found inside of what is written. Words are
// folded to one case, rune by rune, so that spellings that differ in case only
// are one word; so are letters of full width, and those of Arabic that are
// written in several ways. Vowel points of Arabic and Hebrew, and what joins
// letters, are left out. Text is not normalised otherwise: a composed letter and
// a decomposed one differ. Bytes that are no UTF-8 separate words. The same text
// gives the same words on every machine with the same version of Go's Unicode
// tables.
//
// A Tokenizer does not change and may be used from any goroutine.
type Tokenizer struct {
	stop     map[string]bool
	min, max int
}

// TokenizerOptions are of a Tokenizer. Words of fewer runes than RunesMin or
// more than RunesMax are left out, but not of letters that are words by
// themselves, and so are StopWords in whatever case. A bound below 1 is the
// default.
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
			if kindOf(r) != nothing {
				folded = utf8.AppendRune(folded, fold(r))
			}
		}
		t.stop[string(folded)] = true
	}
	return t
}

// Words yields the words of a text in order. A word is valid until the next
// one is asked for.
func (t *Tokenizer) Words(text string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		c := cutter{t: t, yield: yield}
		c.word = c.room[:0]
		for _, r := range text {
			if !c.take(r) {
				return
			}
		}
		c.end()
	}
}

// cutter is at a place in a text. Either it is in a word of several letters, or
// among letters that are words by themselves, or between words.
type cutter struct {
	t     *Tokenizer
	yield func([]byte) bool
	room  [4 * RunesMaxDefault]byte
	word  []byte
	runes int // of the word

	class         runeKind // of the letters
	letters       int
	letter        []byte // the last one, with its marks
	before, joint []byte // the one before it, and both
	marks         int
}

// marksMax is how many marks on a letter count.
const marksMax = 8

// take goes past a rune. It reports whether more are wanted.
func (c *cutter) take(r rune) bool {
	switch k := kindOf(r); k {
	case nothing:
	case gap:
		return c.end()
	case part:
		if !c.endLetters() {
			return false
		}
		c.extend(r)
	case mark:
		switch {
		case c.letters > 0:
			if c.marks++; c.marks <= marksMax {
				c.letter = utf8.AppendRune(c.letter, r)
			}
		case c.runes > 0:
			c.extend(r)
		}
	default:
		if !c.endWord() || c.class != k && !c.endLetters() || c.letters > 0 && !c.endLetter() {
			return false
		}
		c.class, c.marks = k, 0
		c.letters++
		c.before, c.letter = c.letter, utf8.AppendRune(c.before[:0], fold(r))
	}
	return true
}

func (c *cutter) extend(r rune) {
	if c.runes++; c.runes <= c.t.max {
		c.word = utf8.AppendRune(c.word, fold(r))
	}
}

func (c *cutter) end() bool { return c.endWord() && c.endLetters() }

func (c *cutter) endWord() bool {
	wanted := c.runes >= c.t.min && c.runes <= c.t.max && c.runes > 0
	more := !wanted || c.emit(c.word)
	c.word, c.runes = c.word[:0], 0
	return more
}

// endLetter ends a letter that is a word by itself, or with the one before it.
func (c *cutter) endLetter() bool {
	if c.class == whole && !c.emit(c.letter) {
		return false
	}
	if c.letters == 1 {
		return true
	}
	c.joint = append(append(c.joint[:0], c.before...), c.letter...)
	return c.emit(c.joint)
}

// endLetters ends the last of several.
func (c *cutter) endLetters() bool {
	if c.letters == 0 {
		return true
	}
	more := c.endLetter()
	if c.class == pair && c.letters == 1 {
		more = c.emit(c.letter)
	}
	c.letters = 0
	return more
}

func (c *cutter) emit(word []byte) bool { return c.t.stop[string(word)] || c.yield(word) }

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
	gap     runeKind = iota // separates words
	part                    // of a word
	mark                    // belongs to the rune before it
	nothing                 // is as if it were not there
	whole                   // a word by itself, and with the one before it
	pair                    // a word with the one before it
)

// firstUnspaced is before all letters of scripts that do not space words.
const firstUnspaced = 0x0E00

// soundMark lengthens a vowel of Katakana.
const soundMark = 0x30FC

func kindOf(r rune) runeKind {
	if r < utf8.RuneSelf {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return part
		}
		return gap
	}
	switch {
	case silent(r):
		return nothing
	case unicode.IsMark(r):
		return mark
	case unicode.IsLetter(r):
		return kindOfLetter(r)
	case unicode.IsNumber(r):
		return part
	}
	return gap
}

func kindOfLetter(r rune) runeKind {
	switch {
	case r < firstUnspaced:
		return part
	case unicode.In(r, unicode.Han, unicode.Hiragana):
		return whole
	case r == soundMark || unicode.In(r, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
		return pair
	}
	return part
}

// silent reports whether a rune is often left out: vowel points and the stroke
// that stretches a word in Arabic, points of Hebrew, and what says how letters
// join or where a word may be broken.
func silent(r rune) bool {
	switch {
	case r == 0x00AD || r == 0x200C || r == 0x200D || r == 0x2060 || r == 0xFEFF:
		return true
	case r < 0x0591 || r > 0x06ED:
		return false
	case r <= 0x05C7:
		return unicode.IsMark(r)
	}
	return r == 0x0640 || r == 0x0670 || 0x0610 <= r && r <= 0x061A || 0x064B <= r && r <= 0x065F ||
		r >= 0x06D6 && unicode.IsMark(r)
}

// arabic is letters that are written for others.
func arabic(r rune) rune {
	switch r {
	case 0x0622, 0x0623, 0x0625, 0x0671: // alef with something on it
		return 0x0627
	case 0x0649, 0x06CC: // yeh without dots, and of Persian
		return 0x064A
	case 0x0629: // the one that ends feminine words
		return 0x0647
	case 0x06A9: // kaf of Persian
		return 0x0643
	}
	return r
}

// fold maps all runes that are one but for case to the same rune, a lower-case
// one where there is one.
func fold(r rune) rune {
	if 0xFF01 <= r && r <= 0xFF5E { // full width
		r -= 0xFF01 - '!'
	}
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	if 0x0600 <= r && r <= 0x06FF {
		return arabic(r)
	}
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return unicode.ToLower(least)
}
