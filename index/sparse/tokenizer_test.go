package sparse

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func wordsOf(t *Tokenizer, text string) []string {
	var all []string
	for word := range t.Words(text) {
		all = append(all, string(word))
	}
	return all
}

func TestWords(t *testing.T) {
	plain := NewTokenizer(TokenizerOptions{})
	for text, want := range map[string][]string{
		"":                       nil,
		" \t\n.,;":               nil,
		"one":                    {"one"},
		"The cat's 2 hats, no3.": {"the", "cat", "s", "2", "hats", "no3"},
		"a-b_c/d":                {"a", "b", "c", "d"},
		"STRASSE Straße STRAẞE":  {"strasse", "straße", "straße"},
		"ΣΊΣΥΦΟΣ σίσυφος":        {"σίσυφοσ", "σίσυφοσ"},
		"İstanbul \u212Aelvin":   {"istanbul", "kelvin"},
		"Привет, МИР":            {"привет", "мир"},
		"cafe\u0301 \u0301x":     {"cafe\u0301", "x"},
		"हिन्दी में":             {"हिन्दी", "में"},
		"日本語をgo言語で":              {"日", "本", "日本", "語", "本語", "を", "語を", "go", "言", "語", "言語", "で", "語で"},
		"カタカナ 한국어":               {"カタ", "タカ", "カナ", "한국", "국어"},
		"コーヒー ア 学校에서":            {"コー", "ーヒ", "ヒー", "ア", "学", "校", "学校", "에서"},
		"สวัสดี":                 {"สวั", "วัส", "สดี"},
		"ＡＢＣ１２":                  {"abc12"},
		"مُحَمَّد محمـد أحمد إلى": {"محمد", "محمد", "احمد", "الي"},
		"שָׁלוֹם":                       {"שלום"},
		"ex\u00adample می\u200cخواهم":   {"example", "ميخواهم"},
		"x²+½ ٣٤":                       {"x²", "½", "٣٤"},
		"ab\xffcd\xc3":                  {"ab", "cd"},
		"👍🏽 ok":                         {"ok"},
		strings.Repeat("x", 40):         {strings.Repeat("x", 40)},
		strings.Repeat("x", 41):         nil,
		strings.Repeat("Ж", 41) + "y b": {"b"},
	} {
		if got := wordsOf(plain, text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWordsLeftOut(t *testing.T) {
	picky := NewTokenizer(TokenizerOptions{StopWords: []string{"The", "ÜBER", ""}, RunesMin: 2, RunesMax: 5})
	got := wordsOf(picky, "the THE über a äb abcde abcdef 字 x")
	if want := []string{"äb", "abcde", "字"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for range picky.Words("one two three") {
		break
	}
	for range picky.Words("字 ab") {
		break
	}
}

func TestDocumentOfText(t *testing.T) {
	d := NewTokenizer(TokenizerOptions{StopWords: []string{"to"}}).Document("To be or not to BE, be!")
	if err := d.Validate(); err != nil || d.Length != 5 || len(d.Terms) != 3 {
		t.Fatalf("%+v, %v", d, err)
	}
	for word, want := range map[string]float32{"be": 3, "or": 1, "not": 1} {
		if i := slices.Index(d.Terms, TermOf([]byte(word))); i < 0 || d.Values[i] != want {
			t.Errorf("%s: %+v", word, d)
		}
	}
	if TermOf(nil) != 14695981039346656037 || TermOf([]byte("a")) != 0xaf63dc4c8601ec8c {
		t.Error("TermOf is not FNV-1a")
	}
}

func TestFold(t *testing.T) {
	const last = 0x1FFFF // no letter past it has cases
	for r := range rune(last + 1) {
		f := fold(r)
		if fold(f) != f {
			t.Errorf("%U folds to %U, that to %U", r, f, fold(f))
		}
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			if fold(next) != f {
				t.Errorf("%U folds to %U, %U to %U", r, f, next, fold(next))
			}
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("The quick brown fox", 1, 40)
	f.Add("日本語 ab\xff́", 2, 3)
	f.Add("コーヒー สวัสดี มข 한국어 مُحَمَّد", 1, 3)
	f.Fuzz(func(t *testing.T, text string, least, most int) {
		tokens := NewTokenizer(TokenizerOptions{StopWords: []string{"the"}, RunesMin: least, RunesMax: most})
		all := wordsOf(tokens, text)
		unspaced := false
		for _, word := range all {
			n := utf8.RuneCountInString(word)
			first, _ := utf8.DecodeRuneInString(word)
			letters := kindOf(first) == whole || kindOf(first) == pair
			if letters { // its letters are words, too
				unspaced = true
				if again := wordsOf(tokens, word); !slices.Contains(again, word) {
					t.Fatalf("%q again is %q", word, again)
				}
				continue
			}
			if !utf8.ValidString(word) || n < tokens.min || n > tokens.max || word == "the" {
				t.Fatalf("word %q of %d runes", word, n)
			}
			if again := wordsOf(tokens, word); !slices.Equal(again, []string{word}) {
				t.Fatalf("%q again is %q", word, again)
			}
		}
		if again := wordsOf(tokens, strings.Join(all, " ")); !unspaced && !slices.Equal(again, all) {
			t.Fatalf("%q again is %q", all, again)
		}
		if other := wordsOf(tokens, text); !slices.Equal(other, all) {
			t.Fatalf("%q, then %q", all, other)
		}
		d := tokens.Document(text)
		if err := d.Validate(); err != nil && len(d.Terms) <= TermsMax || int(d.Length) != len(all) {
			t.Fatalf("%+v: %v", d, err)
		}
	})
}
