// Package chunk cuts a long text into pieces that can be indexed and shown by
// themselves. It knows no language: it cuts where a paragraph ends, else where a
// sentence or a line does, else between words, else between letters. It is pure:
// the same text and options give the same chunks.
package chunk

import (
	"fmt"
	"iter"
	"slices"
	"unicode"
	"unicode/utf8"
)

// The options of a text that nobody said more of, in characters.
const (
	SizeDefault    = 2048
	OverlapDefault = 128
	SizeMin        = 16
	SizeMax        = 1 << 16
)

// Options say how a text is cut. Sizes are in characters, which are Unicode code
// points; a byte that is no UTF-8 counts as one.
type Options struct {
	Size    int // at most so many in a chunk
	Overlap int // about so many of the end of a chunk are in the next one, too; at most half of Size
}

// Validate returns what is wrong with the options.
func (o Options) Validate() error {
	if o.Size < SizeMin || o.Size > SizeMax {
		return fmt.Errorf("chunks of %d characters, must be from %d to %d", o.Size, SizeMin, SizeMax)
	}
	if o.Overlap < 0 || o.Overlap > o.Size/2 {
		return fmt.Errorf("an overlap of %d characters, must be from 0 to half of the %d of a chunk", o.Overlap, o.Size)
	}
	return nil
}

// Chunk is a part of a text: its characters from Start to before End, which are
// its bytes from StartByte to before EndByte.
type Chunk struct {
	Text               string
	Start, End         int
	StartByte, EndByte int
}

// Fits reports whether a text is one chunk.
func Fits(text string, o Options) bool {
	return len(text) <= o.Size || utf8.RuneCountInString(text) <= o.Size
}

// Split returns the chunks of a text in their order: what All yields.
func Split(text string, o Options) []Chunk { return slices.Collect(All(text, o)) }

// All yields the chunks of a text in their order, each cut when it is asked
// for. Each has 1 to Size characters and begins after the one before begins and
// not after it ends; the first begins where the text does, and the last ends
// there. A text without characters has no chunks. Options that Validate refuses
// are the caller's fault and panic.
func All(text string, o Options) iter.Seq[Chunk] {
	if err := o.Validate(); err != nil {
		panic("BUG: chunk: " + err.Error())
	}
	return func(yield func(Chunk) bool) {
		for from := (place{}); from.byte < len(text); {
			end := cut(text, from, o)
			c := Chunk{Text: text[from.byte:end.byte], Start: from.char, End: end.char, StartByte: from.byte, EndByte: end.byte}
			if !yield(c) || end.byte == len(text) {
				return
			}
			from = back(text, end, o.Overlap)
		}
	}
}

// place is a place in a text.
type place struct{ char, byte int }

// cut returns where the chunk that begins at from ends: at the last best place
// in its second half. A break is before what comes after spaces, so that these
// belong to the chunk that they end.
func cut(text string, from place, o Options) place {
	least := from.char + max(o.Size-o.Size/2, o.Overlap+1) // or the next chunk begins where this one does
	var paragraph, sentence, word, letter place
	var s scanner
	at := from
	for at.byte < len(text) && at.char < from.char+o.Size {
		r, n := utf8.DecodeRuneInString(text[at.byte:])
		s.note(at, r, least, &paragraph, &sentence, &word, &letter)
		at.char++
		at.byte += n
	}
	if at.byte == len(text) {
		return at
	}
	r, _ := utf8.DecodeRuneInString(text[at.byte:])
	s.note(at, r, least, &paragraph, &sentence, &word, &letter)
	for _, end := range []place{paragraph, sentence, word, letter} {
		if end.byte > 0 {
			return end
		}
	}
	return at
}

// scanner goes over a text and knows what is before the place where it is.
type scanner struct {
	lines  int  // ends of lines since the last character that is no space
	spaces bool // the last character is one
	ended  bool // a sentence has ended, but for closing quotes and spaces
	whole  bool // and it needs no space to have ended
	joined bool // the last character joins the next one to it
}

// note looks at the character at a place, and notes the breaks that may be
// before it, if the place is not before least.
func (s *scanner) note(at place, r rune, least int, paragraph, sentence, word, letter *place) {
	space := unicode.IsSpace(r)
	if !space && at.char >= least {
		switch {
		case s.lines > 1:
			*paragraph = at
		case s.lines == 1 || s.ended && (s.spaces || s.whole) && !closes(r):
			*sentence = at
		case s.spaces:
			*word = at
		}
		if !unicode.IsMark(r) && !s.joined && !joins(r) {
			*letter = at
		}
	}
	s.joined = joins(r)
	switch {
	case space:
		s.spaces = true
		if r == '\n' || r == '\u2029' {
			s.lines++
		}
		return
	case ends(r):
		s.ended, s.whole = true, r > 0x2000
	case !closes(r):
		s.ended = false
	}
	s.spaces, s.lines = false, 0
}

// ends reports whether a character ends a sentence. Those above U+2000 do so
// without a space behind them.
func ends(r rune) bool {
	switch r {
	case '.', '!', '?', '\u061F', '\u06D4', '\u0964', '\u0965', '\u1362',
		'\u3002', '\uFF01', '\uFF1F', '\uFF61':
		return true
	}
	return false
}

// closes reports whether a character may stand between the end of a sentence and
// the space behind it.
func closes(r rune) bool {
	return r == '"' || r == '\'' || unicode.In(r, unicode.Pe, unicode.Pf)
}

// joins reports whether a character joins those beside it to one letter or sign.
func joins(r rune) bool { return r == '\u200D' }

// back returns where the next chunk begins: so many characters before an end, or
// after that where a word begins.
func back(text string, end place, overlap int) place {
	at := end
	for range overlap {
		_, n := utf8.DecodeLastRuneInString(text[:at.byte])
		at.char--
		at.byte -= n
	}
	if overlap == 0 || wordBefore(text, at) {
		return at
	}
	letter, spaces := end, false
	for next := at; next.byte < end.byte; {
		r, n := utf8.DecodeRuneInString(text[next.byte:])
		space := unicode.IsSpace(r)
		if spaces && !space {
			return next
		}
		if letter == end && !unicode.IsMark(r) && !joins(r) {
			letter = next
		}
		spaces = space
		next.char++
		next.byte += n
	}
	return letter
}

// wordBefore reports whether a word begins at a place.
func wordBefore(text string, at place) bool {
	r, _ := utf8.DecodeRuneInString(text[at.byte:])
	before, _ := utf8.DecodeLastRuneInString(text[:at.byte])
	return !unicode.IsSpace(r) && unicode.IsSpace(before)
}
