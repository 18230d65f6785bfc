package document

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// show is a document in lines.
func show(d Document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s|", d.Title)
	for _, s := range d.Sections {
		fmt.Fprintf(&b, "%d %s: %q|", s.Start, strings.Join(s.Path, ">"), s.Text)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		kind      Kind
		raw, want string
	}{
		{Text, "\ufeff  # ä word\n", `|2 : "# ä word"|`},
		{Text, " \n", `|`},
		{Markdown, "before\n# A\n\nä one\n## B ##\ntwo\n### C\n\n## D\nthree\n# E\nfour", `A|0 : "before"|7 A: "# A\n\nä one"|18 A>B: "## B ##\ntwo"|30 A>B>C: "### C"|37 A>D: "## D\nthree"|48 E: "# E\nfour"|`},
		{Markdown, "# A\n```sh\n# no heading\n```\n~~~\n# none\n```\n~~~\nend", `A|0 A: "# A\n` + "```sh\\n# no heading\\n```\\n~~~\\n# none\\n```\\n~~~" + `\nend"|`},
		{Markdown, "Title\n=====\ntext\n\nSub\n---\nmore\n\n---\n- a\n---\n", `Title|0 Title: "Title\n=====\ntext"|18 Title>Sub: "Sub\n---\nmore\n\n---\n- a\n---"|`},
		{Markdown, "---\ntitle: \"From the front\"\ntags: x\n---\n# A\r\none\r\n", `From the front|40 A: "# A\r\none"|`},
		{Markdown, "---\nno end\n", `|0 : "---\nno end"|`},
		{Markdown, "#hashtag\n    # code\n####### seven\n#\nx", `|0 : "#hashtag\n    # code\n####### seven"|34 : "#\nx"|`},
		{
			HTML, "<!doctype html><html><head><title>The\n title</title><style>p{}</style><script>let a='<p>no'</script><body><nav>menu</nav><h1>A &amp; B</h1><p>one <b>t</b>wo<br>three<ul><li>x<li>y</ul><h2>C</h2><pre>a\n  b</pre></html>",
			`The title|0 A & B: "A & B\n\none two\nthree\n\nx\ny"|25 A & B>C: "C\n\na\n  b"|`,
		},
		{HTML, "plain ä<h2>deep</h2>x<h1>up</h1>", `deep|0 : "plain ä"|7 deep: "deep\n\nx"|14 up: "up"|`},
		{HTML, "<nav>never ended <p>x", `|`},
		{HTML, "<table><tr><td>a<td>b<tr><td>c</table><svg><title>not</title></svg>d", `|0 : "a b\nc\n\nd"|`},
		{HTML, "<head><meta charset=utf-8><body>x", `|0 : "x"|`},
	} {
		d, err := Read(c.kind, []byte(c.raw))
		if got := show(d); err != nil || got != c.want {
			t.Errorf("%s %q:\n%s, %v, want\n%s", c.kind, c.raw, got, err, c.want)
		}
	}
	for _, raw := range []string{"\xff", "a\x00b", "\xff\xfea\x00", "caf\xe9"} {
		if _, err := Read(HTML, []byte(raw)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%q: %v", raw, err)
		}
	}
	if _, err := Read(HTML, []byte(strings.Repeat("<svg>", depthMax+1))); !errors.Is(err, ErrDeep) {
		t.Errorf("deep: %v", err)
	}
	if _, err := Read("pdf", nil); !errors.Is(err, ErrKind) {
		t.Errorf("pdf: %v", err)
	}
}

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		name, media string
		want        Kind
	}{
		{"a.md", "", Markdown},
		{"A.MARKDOWN", "application/octet-stream", Markdown},
		{"a.md", "text/plain; charset=utf-8", Markdown},
		{"README", "text/markdown", Markdown},
		{"a.htm", "text/html", HTML},
		{"a.txt", "text/plain", Text},
		{"a.txt", "text/html", ""},
		{"a.md", "text/html", ""},
		{"a.pdf", "", ""},
		{"a.pdf", "text/plain", ""},
		{"a.md", "application/pdf", ""},
		{"README", "", ""},
		{"", "", ""},
	} {
		got, err := KindOf(c.name, c.media)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s %s: %q, %v, want %q", c.name, c.media, got, err, c.want)
		}
	}
}

// FuzzRead: whatever is in a document, it is read or refused. What is read is in
// order and UTF-8; of text and Markdown it stands in the document where it says.
func FuzzRead(f *testing.F) {
	for _, raw := range []string{"# a\n\nb\n", "x\n=\n", "---\ntitle: y\n---\n```\n#", "<h1>a</h1><p>b<script>", "<title>a", "<svg><title></svg>", "&amp;&#0;&#xd800;"} {
		for i := range 3 {
			f.Add(uint8(i), []byte(raw))
		}
	}
	kinds := []Kind{Text, Markdown, HTML}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		kind := kinds[int(which)%len(kinds)]
		d, err := Read(kind, raw)
		if err != nil {
			return
		}
		text := []rune(strings.TrimPrefix(string(raw), "\ufeff"))
		last := -1
		for _, s := range d.Sections {
			if s.Text == "" || s.Text != strings.TrimSpace(s.Text) || !utf8.ValidString(s.Text) || s.Start <= last {
				t.Fatalf("a section %+v after %d", s, last)
			}
			last = s.Start
			if words := []rune(s.Text); kind != HTML && string(text[s.Start:s.Start+len(words)]) != s.Text {
				t.Fatalf("%q is not at %d", s.Text, s.Start)
			}
			for _, one := range s.Path {
				if len(one) > headingMax || !utf8.ValidString(one) {
					t.Fatalf("a heading %q", one)
				}
			}
		}
	})
}
