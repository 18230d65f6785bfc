// Package document makes plain text of documents, in sections under their
// headings: of plain text, Markdown and HTML. It is pure: the same document gives
// the same sections. It interprets no more than it needs: what looks like a
// heading is one, scripts, styles and navigation are left out, and nothing is
// fetched, run or resolved.
package document

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind is a kind of document.
type Kind string

// The kinds that there are.
const (
	Text     Kind = "text"
	Markdown Kind = "markdown"
	HTML     Kind = "html"
)

// Section is the text under one heading, up to the next. Texts have no spaces at
// their ends and are not empty.
type Section struct {
	Path  []string // of headings, the outermost first; nil before the first
	Text  string
	Start int // where its text begins, in characters: of the document, of HTML in the text of it
}

// Document is what a document says.
type Document struct {
	Title    string // "" when it has none
	Sections []Section
}

var (
	// ErrKind is the answer for a document of another kind.
	ErrKind = errors.New("a document of an unknown kind: text (.txt), Markdown (.md) and HTML (.html) are known")
	// ErrEncoding is the answer for a document that is no UTF-8, or has zeros.
	ErrEncoding = errors.New("a document that is not text in UTF-8")
	// ErrDeep is the answer for HTML that is nested too deep.
	ErrDeep = errors.New("HTML that is nested too deep")
)

var extensions = map[string]Kind{
	".txt": Text, ".text": Text, ".log": Text, ".md": Markdown, ".markdown": Markdown, ".html": HTML, ".htm": HTML, ".xhtml": HTML,
}

// Extensions are those of names that tell the kind, in their order.
func Extensions() []string { return slices.Sorted(maps.Keys(extensions)) }

var types = map[string]Kind{"text/plain": Text, "text/markdown": Markdown, "text/x-markdown": Markdown, "text/html": HTML, "application/xhtml+xml": HTML}

// KindOf tells the kind of a document by the extension of its name, or, if that
// says nothing, by its media type. A type that is of no known kind is refused,
// unless it says nothing; so are a name and a type that contradict each other,
// except that anything that is text may be sent as plain text.
func KindOf(name, mediaType string) (Kind, error) {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	byType, typed := types[mediaType]
	if mediaType == "" || mediaType == "application/octet-stream" {
		byType = ""
	} else if !typed {
		return "", ErrKind
	}
	byName, named := extensions[strings.ToLower(path.Ext(name))]
	switch {
	case !named && (byType == "" || path.Ext(name) != ""):
		return "", ErrKind
	case !named:
		return byType, nil
	case byType != "" && byType != Text && byType != byName:
		return "", ErrKind
	}
	return byName, nil
}

// Read returns what a document says.
func Read(kind Kind, raw []byte) (Document, error) {
	text := strings.TrimPrefix(string(raw), "\ufeff")
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return Document{}, ErrEncoding
	}
	switch kind {
	case Text:
		return Document{Sections: inCharacters(text, section(nil, nil, text, 0))}, nil
	case Markdown:
		d := readMarkdown(text)
		d.Sections = inCharacters(text, d.Sections)
		return d, nil
	case HTML:
		return readHTML(text)
	}
	return Document{}, ErrKind
}

// section appends a section, unless there is nothing in it. start is the byte at
// which text begins.
func section(list []Section, path []string, text string, start int) []Section {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return list
	}
	return append(list, Section{Path: path, Text: trimmed, Start: start + strings.Index(text, trimmed)})
}

// inCharacters are sections whose texts begin at bytes of a text.
func inCharacters(text string, list []Section) []Section {
	at, char := 0, 0
	for i := range list {
		char += utf8.RuneCountInString(text[at:list[i].Start])
		at, list[i].Start = list[i].Start, char
	}
	return list
}

// titleOf is the first heading of all.
func titleOf(list []Section) string {
	for _, s := range list {
		if len(s.Path) > 0 {
			return s.Path[0]
		}
	}
	return ""
}

// headingMax is how many bytes of a heading are kept.
const headingMax = 200

// headings are those that are open at a place in a document.
type headings struct {
	levels []int
	texts  []string
}

// open notes a heading: it closes those of its level and below. One without
// words does that alone.
func (h *headings) open(level int, text string) {
	n := len(h.levels)
	for n > 0 && h.levels[n-1] >= level {
		n--
	}
	if text == "" {
		h.levels, h.texts = h.levels[:n:n], h.texts[:n:n]
		return
	}
	h.levels, h.texts = append(h.levels[:n:n], level), append(h.texts[:n:n], clip(text))
}

func clip(text string) string {
	if len(text) <= headingMax {
		return text
	}
	end := headingMax
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
