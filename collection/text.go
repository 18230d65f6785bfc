package collection

import (
	"fmt"
	"unicode/utf8"

	"github.com/hivehub/waggle/index/sparse"
)

// What a text is where nobody says otherwise.
const (
	TextNameDefault  = "text"
	TextFieldDefault = "text"
	K1Default        = 1.2
	BDefault         = 0.75
)

const (
	// StopWordsMax is how many stop words a text may have.
	StopWordsMax = 1000
	// K1Max is the largest K1.
	K1Max = 1000
	// RunesMax is the largest bound of a word's length that can be set.
	RunesMax = 255
)

// DefaultText returns the parameters of a text that nobody said more of.
func DefaultText() TextParams {
	return TextParams{Name: TextNameDefault, Field: TextFieldDefault, K1: K1Default, B: BDefault}
}

func (p *TextParams) badScoring() bool {
	return !(p.K1 >= 0 && p.K1 <= K1Max && p.B >= 0 && p.B <= 1)
}

func (p *TextParams) check(faults []string) []string {
	at := "text." + clip(p.Name)
	if p.Field == "" || len(p.Field) > VectorNameMax || !utf8.ValidString(p.Field) {
		faults = append(faults, fmt.Sprintf("%s.field: must be 1 to %d bytes of valid UTF-8", at, VectorNameMax))
	}
	if p.badScoring() {
		faults = append(faults, fmt.Sprintf("%s: k1 %v must be from 0 to %d and b %v from 0 to 1", at, p.K1, K1Max, p.B))
	}
	if len(p.StopWords) > StopWordsMax {
		faults = append(faults, fmt.Sprintf("%s.stop_words: %d words, must be at most %d", at, len(p.StopWords), StopWordsMax))
	}
	for _, word := range p.StopWords {
		if !utf8.ValidString(word) {
			faults = append(faults, at+".stop_words: a word that is not valid UTF-8")
			break
		}
	}
	if p.RunesMin < 0 || p.RunesMin > RunesMax || p.RunesMax < 0 || p.RunesMax > RunesMax ||
		p.RunesMin > 0 && p.RunesMax > 0 && p.RunesMin > p.RunesMax {
		faults = append(faults, fmt.Sprintf("%s: words of %d to %d characters, must be from 0 to %d, and 0 is the default", at, p.RunesMin, p.RunesMax, RunesMax))
	}
	return faults
}

// textReader makes texts of payloads, on the node that proposes: what it makes is in
// the record, so that no other node has to agree with it about words.
type textReader struct {
	config *Config
	tokens []*sparse.Tokenizer // by number, made when they are needed
}

func (r *textReader) tokenizer(number int) *sparse.Tokenizer {
	if r.tokens == nil {
		r.tokens = make([]*sparse.Tokenizer, len(r.config.Text))
	}
	if r.tokens[number] == nil {
		r.tokens[number] = r.config.Text[number].tokenizer()
	}
	return r.tokens[number]
}

func (p *TextParams) tokenizer() *sparse.Tokenizer {
	return sparse.NewTokenizer(sparse.TokenizerOptions{StopWords: p.StopWords, RunesMin: p.RunesMin, RunesMax: p.RunesMax})
}

// terms returns the words of a text, at most so many different ones.
func terms(t *sparse.Tokenizer, text string, most int) (*TextTerms, error) {
	d := t.Document(text)
	if len(d.Terms) > most {
		return nil, invalid("text: %d different words, must be at most %d", len(d.Terms), most)
	}
	out := &TextTerms{Terms: d.Terms, Counts: make([]uint32, len(d.Terms)), Length: d.Length}
	for i, n := range d.Values {
		out.Counts[i] = uint32(n)
	}
	return out, nil
}

// texts appends the texts of a payload to the vectors of a point.
func (r *textReader) texts(values []vectorValue, payload Payload) ([]vectorValue, error) {
	for i := range r.config.Text {
		text, ok := payload[r.config.Text[i].Field].(string)
		if !ok {
			continue
		}
		t, err := terms(r.tokenizer(i), text, SparseMax)
		if err != nil {
			return nil, err
		}
		values = append(values, vectorValue{ref: VectorRef{Kind: TextKind, Number: uint16(i)}, text: t})
	}
	return values, nil
}

// change is what a payload in place of another, or merged into it, makes of the
// i-th text.
func (r *textReader) change(i int, payload Payload) (TextChange, error) {
	c := TextChange{Number: uint16(i)}
	text, ok := payload[r.config.Text[i].Field].(string)
	if !ok {
		return c, nil
	}
	t, err := terms(r.tokenizer(i), text, SparseMax)
	if err == nil {
		c.Part = appendText(nil, t)
	}
	return c, err
}

// withTextChanges returns op, a change of payloads, with what it makes of the
// points' texts. touched says which members it may change, and payload what
// stands there afterwards.
func withTextChanges(c *Config, op Op, payload Payload, touched func(field string) bool) (Op, error) {
	r := textReader{config: c}
	var texts []TextChange
	for i := range c.Text {
		if !touched(c.Text[i].Field) {
			continue
		}
		change, err := r.change(i, payload)
		if err != nil {
			return nil, err
		}
		texts = append(texts, change)
	}
	if texts == nil {
		return op, nil
	}
	return ChangeTexts{Op: op, Texts: texts}, nil
}

// all is touched by a change of whole payloads.
func all(string) bool { return true }

// rootOf reports whether a path begins with a member at the root, and whether
// it leads further.
func rootOf(path Path, field string) (is, further bool) {
	is = len(path) > 0 && path[0].kind == stepKey && path[0].key == field
	return is, len(path) > 1
}

// preparedText returns the words to search for. A text is compared with words,
// and with nothing else.
func (c *Config) preparedText(ref VectorRef, in Input) (Input, error) {
	if ref.Kind != TextKind || in.Text == nil && in.Terms == nil {
		return in, Errorf(InvalidArgument, "Conversion between text and vectors failed")
	}
	if in.Terms != nil {
		if n := len(in.Terms.Terms); n > SparseQueryMax {
			return in, invalid("text: %d different words, must be at most %d", n, SparseQueryMax)
		}
		return in, nil
	}
	t, err := terms(c.Text[ref.Number].tokenizer(), *in.Text, SparseQueryMax)
	return Input{Terms: t}, err
}
