package chunk

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func textsOf(text string, o Options) []string {
	var list []string
	for _, c := range Split(text, o) {
		list = append(list, c.Text)
	}
	return list
}

func TestSplitPrefersBoundaries(t *testing.T) {
	for name, k := range map[string]struct {
		text string
		want []string
	}{
		"nothing":   {"", nil},
		"fits":      {"sixteen letters.", []string{"sixteen letters."}},
		"paragraph": {"One two.\n\nA. B three four", []string{"One two.\n\n", "A. B three four"}},
		"sentence":  {"Now it is. And then more", []string{"Now it is. ", "And then more"}},
		"quote":     {"He said \"no.\" And went", []string{"He said \"no.\" ", "And went"}},
		"line":      {"one two three\nfour five", []string{"one two three\n", "four five"}},
		"word":      {"one two three four five", []string{"one two three ", "four five"}},
		"letter":    {strings.Repeat("x", 20), []string{strings.Repeat("x", 16), "xxxx"}},
		"chinese":   {"我们今天去公园玩了。然后回家吃饭睡觉了", []string{"我们今天去公园玩了。", "然后回家吃饭睡觉了"}},
		"marks":     {strings.Repeat("e\u0301", 7) + "xe\u0301e\u0301", []string{strings.Repeat("e\u0301", 7) + "x", "e\u0301e\u0301"}},
		"one mark":  {"a" + strings.Repeat("\u0301", 20), []string{"a" + strings.Repeat("\u0301", 15), strings.Repeat("\u0301", 5)}},
		"hindi":     {"यह एक घर है। वह भी", []string{"यह एक घर है। ", "वह भी"}},
	} {
		if got := textsOf(k.text, Options{Size: 16}); !slices.Equal(got, k.want) {
			t.Errorf("%s: %q, want %q", name, got, k.want)
		}
	}
}

func TestSplitOverlaps(t *testing.T) {
	got := textsOf("one two three four five six seven", Options{Size: 16, Overlap: 6})
	if want := []string{"one two three ", "three four five ", "five six seven"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	got = textsOf(strings.Repeat("abcdefghij", 3), Options{Size: 16, Overlap: 8})
	if want := []string{"abcdefghijabcdef", "ijabcdefghijabcd", "ghijabcdefghij"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for o, good := range map[Options]bool{
		{SizeDefault, OverlapDefault}: true, {SizeMin, SizeMin / 2}: true, {SizeMax, 0}: true,
		{SizeMin - 1, 0}: false, {SizeMax + 1, 0}: false, {100, 51}: false, {100, -1}: false, {}: false,
	} {
		if err := o.Validate(); (err == nil) != good {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("One two.\n\nThree \"four.\" 五六。七\xff e\u0301", 16, 4)
	f.Add(strings.Repeat("ab cd. ", 60), 40, 20)
	f.Add(strings.Repeat("\n", 50)+"x\u200dy", 16, 8)
	f.Add("\xe2\x82\xe2\x82\xacé", 16, 3)
	f.Add(strings.Repeat("\n", 17)+"\xed"+strings.Repeat("\n", 30), 16, 8) // did not go on
	f.Fuzz(func(t *testing.T, text string, size, overlap int) {
		o := Options{Size: size, Overlap: overlap}
		if o.Validate() != nil {
			return
		}
		list := Split(text, o)
		if one := len(list) <= 1; one != Fits(text, o) {
			t.Fatalf("%d chunks of what fits: %v", len(list), Fits(text, o))
		}
		end := Chunk{}
		for i, c := range list {
			if c.Text != text[c.StartByte:c.EndByte] || c.EndByte <= c.StartByte {
				t.Fatalf("chunk %d: %+v is not that of the text", i, c)
			}
			if c.Start != utf8.RuneCountInString(text[:c.StartByte]) || c.End != utf8.RuneCountInString(text[:c.EndByte]) {
				t.Fatalf("chunk %d: %+v: characters and bytes differ", i, c)
			}
			if c.End-c.Start > size {
				t.Fatalf("chunk %d: %d characters", i, c.End-c.Start)
			}
			if c.Start > end.End || i > 0 && (c.Start <= end.Start || c.End <= end.End) || end.End-c.Start > overlap {
				t.Fatalf("chunk %d: %+v after %+v", i, c, end)
			}
			end = c
		}
		if end.EndByte != len(text) {
			t.Fatalf("the last chunk ends at %d of %d", end.EndByte, len(text))
		}
		if again := Split(text, o); !slices.Equal(again, list) {
			t.Fatal("other chunks the second time")
		}
	})
}
