package document

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// depthMax is how deep elements may be nested.
const depthMax = 512

// left out are elements whose text is not what a document says.
var leftOut = map[atom.Atom]bool{
	atom.Script: true, atom.Style: true, atom.Nav: true, atom.Noscript: true, atom.Template: true, atom.Iframe: true, atom.Object: true,
	atom.Svg: true, atom.Math: true, atom.Canvas: true, atom.Select: true, atom.Button: true, atom.Head: true, atom.Embed: true,
}

// Elements that have no end.
var voids = map[atom.Atom]bool{
	atom.Area: true, atom.Base: true, atom.Br: true, atom.Col: true, atom.Embed: true, atom.Hr: true, atom.Img: true, atom.Input: true,
	atom.Link: true, atom.Meta: true, atom.Param: true, atom.Source: true, atom.Track: true, atom.Wbr: true,
}

// Elements that words run through.
var inline = map[atom.Atom]bool{
	atom.A: true, atom.Abbr: true, atom.B: true, atom.Bdi: true, atom.Bdo: true, atom.Cite: true, atom.Code: true, atom.Data: true, atom.Del: true,
	atom.Dfn: true, atom.Em: true, atom.Font: true, atom.I: true, atom.Ins: true, atom.Kbd: true, atom.Mark: true, atom.Q: true, atom.S: true,
	atom.Samp: true, atom.Small: true, atom.Span: true, atom.Strong: true, atom.Sub: true, atom.Sup: true, atom.Time: true, atom.U: true, atom.Var: true, atom.Wbr: true,
}

// Elements between which there is an empty line.
var paragraphs = map[atom.Atom]bool{
	atom.P: true, atom.Div: true, atom.Section: true, atom.Article: true, atom.Main: true, atom.Ul: true, atom.Ol: true, atom.Dl: true,
	atom.Table: true, atom.Blockquote: true, atom.Pre: true, atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true,
}

var levels = map[atom.Atom]int{atom.H1: 1, atom.H2: 2, atom.H3: 3, atom.H4: 4, atom.H5: 5, atom.H6: 6}

// reader collects the text of HTML. It reads tokens and makes no tree: what is
// badly nested costs no more than what is not.
type reader struct {
	d    Document
	open headings
	path []string

	text  strings.Builder // of the section
	start int             // where it begins in all texts, in characters
	pause string          // what is between the last word and the next: "", " ", "\n" or "\n\n"

	skip    []atom.Atom // elements that are left out and not ended
	title   *strings.Builder
	heading *strings.Builder // of the heading that is open
	level   int
	pre     int
}

func readHTML(text string) (Document, error) {
	z := html.NewTokenizer(strings.NewReader(text))
	var r reader
	for {
		switch z.Next() {
		case html.ErrorToken: // the end: of memory there is no other error
			r.section()
			if r.d.Title == "" {
				r.d.Title = titleOf(r.d.Sections)
			}
			return r.d, nil
		case html.TextToken:
			r.words(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			if err := r.begin(atom.Lookup(name)); err != nil {
				return Document{}, err
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			r.end(atom.Lookup(name))
		case html.CommentToken, html.DoctypeToken:
		}
	}
}

func (r *reader) begin(a atom.Atom) error {
	switch {
	case a == atom.Title && r.d.Title == "" && (len(r.skip) == 0 || r.skip[len(r.skip)-1] == atom.Head):
		r.title = &strings.Builder{}
		return nil
	case a == atom.Body:
		r.skip = nil // a head need not be ended
		return nil
	case leftOut[a] && !voids[a]:
		if len(r.skip) == depthMax {
			return ErrDeep
		}
		r.skip = append(r.skip, a)
		return nil
	case len(r.skip) > 0:
		return nil
	case levels[a] > 0:
		r.section()
		r.heading, r.level = &strings.Builder{}, levels[a]
	case a == atom.Pre:
		r.pre++
	}
	r.between(a)
	return nil
}

func (r *reader) end(a atom.Atom) {
	if a == atom.Title && r.title != nil {
		r.d.Title, r.title = clip(strings.Join(strings.Fields(r.title.String()), " ")), nil
		return
	}
	if n := len(r.skip); n > 0 {
		for i := n - 1; i >= 0; i-- {
			if r.skip[i] == a {
				r.skip = r.skip[:i]
				return
			}
		}
		return
	}
	switch {
	case levels[a] > 0 && r.heading != nil:
		r.open.open(r.level, strings.Join(strings.Fields(r.heading.String()), " "))
		r.path, r.heading = r.open.texts, nil
	case a == atom.Pre && r.pre > 0:
		r.pre--
	}
	r.between(a)
}

// between notes what an element means for the words around it.
func (r *reader) between(a atom.Atom) {
	switch {
	case inline[a]:
	case paragraphs[a]:
		r.pause = "\n\n"
	case a == atom.Td || a == atom.Th:
		r.wants(" ")
	default:
		r.wants("\n")
	}
}

// wants makes the pause at least that long.
func (r *reader) wants(pause string) {
	if len(pause) > len(r.pause) || r.pause == " " && pause == "\n" {
		r.pause = pause
	}
}

func (r *reader) words(s string) {
	switch {
	case r.title != nil:
		r.title.WriteString(s)
		return
	case len(r.skip) > 0:
		return
	}
	if r.heading != nil {
		r.heading.WriteString(s)
	}
	if r.pre > 0 {
		r.put(s)
		return
	}
	for len(s) > 0 {
		word := strings.TrimLeft(s, " \t\r\n\f")
		if len(word) < len(s) {
			r.wants(" ")
		}
		if word == "" {
			return
		}
		n := strings.IndexAny(word, " \t\r\n\f")
		if n < 0 {
			n = len(word)
		}
		r.put(word[:n])
		s = word[n:]
	}
}

func (r *reader) put(s string) {
	if s == "" {
		return
	}
	if r.text.Len() > 0 {
		r.text.WriteString(r.pause)
	}
	r.pause = ""
	r.text.WriteString(s)
}

// section ends the section.
func (r *reader) section() {
	text := r.text.String()
	had := len(r.d.Sections)
	if r.d.Sections = section(r.d.Sections, r.path, text, 0); len(r.d.Sections) > had {
		s := &r.d.Sections[had]
		s.Start = r.start + utf8.RuneCountInString(text[:s.Start])
	}
	r.start += utf8.RuneCountInString(text)
	r.text.Reset()
	r.pause = ""
}
