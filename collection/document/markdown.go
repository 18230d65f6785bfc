package document

import "strings"

// readMarkdown cuts Markdown at its headings: lines that begin with up to six #,
// and lines that are underlined with = or -. In code between fences there are
// none. The text stays as it is written, its headings with it: they are words
// that it can be found by. What stands between two lines --- at the beginning is
// data about the document (front matter) and left out, but for its title.
func readMarkdown(text string) Document {
	var d Document
	var open headings
	var path []string
	from, title := frontMatter(text)
	fence, last, lastAt := "", "", from
	begin := from
	for at := from; at < len(text); {
		line, next := lineAt(text, at)
		trimmed := strings.TrimSpace(line)
		switch level, heading := heading(line); {
		case fence != "":
			if closes(trimmed, fence) {
				fence = ""
			}
		case fenceOf(trimmed) != "":
			fence = fenceOf(trimmed)
		case level > 0:
			d.Sections = section(d.Sections, path, text[begin:at], begin)
			open.open(level, heading)
			path, begin = open.texts, at
		case underline(trimmed) > 0 && last != "":
			level := underline(trimmed)
			if level == 2 && lastAt < begin { // a list or a rule behind a heading
				break
			}
			d.Sections = section(d.Sections, path, text[begin:lastAt], begin)
			open.open(level, last)
			path, begin = open.texts, lastAt
		}
		last, lastAt = trimmed, at
		if fence != "" || paragraphless(line) {
			last = ""
		}
		at = next
	}
	d.Sections = section(d.Sections, path, text[begin:], begin)
	if d.Title = title; d.Title == "" {
		d.Title = titleOf(d.Sections)
	}
	return d
}

// lineAt returns the line at a place, without its end, and where the next begins.
func lineAt(text string, at int) (line string, next int) {
	end := strings.IndexByte(text[at:], '\n')
	if end < 0 {
		return text[at:], len(text)
	}
	return strings.TrimSuffix(text[at:at+end], "\r"), at + end + 1
}

// paragraphless reports whether a line cannot be underlined to be a heading: it is
// empty, code, a quotation, an item of a list, a row of a table or a heading.
func paragraphless(line string) bool {
	trimmed := strings.TrimSpace(line)
	return trimmed == "" || strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t") || strings.ContainsAny(trimmed[:1], "#>|*+-=`~")
}

// heading is the level of a line of # and text, and the text; 0 for any other.
func heading(line string) (level int, text string) {
	rest := strings.TrimLeft(line, " ")
	if len(line)-len(rest) > 3 {
		return 0, ""
	}
	text = strings.TrimLeft(rest, "#")
	level = len(rest) - len(text)
	if level == 0 || level > 6 || text != "" && text[0] != ' ' && text[0] != '\t' {
		return 0, ""
	}
	text = strings.TrimSpace(text)
	if cut := strings.TrimRight(text, "#"); cut == "" || strings.HasSuffix(cut, " ") {
		text = strings.TrimSpace(cut)
	}
	return level, text
}

// underline is the level of the heading that a line underlines; 0 for none.
func underline(trimmed string) int {
	switch {
	case trimmed == "":
	case strings.Trim(trimmed, "=") == "":
		return 1
	case strings.Trim(trimmed, "-") == "" && len(trimmed) > 1:
		return 2
	}
	return 0
}

// fenceOf is the fence that a line opens code with; "" for none.
func fenceOf(trimmed string) string {
	for _, mark := range []string{"`", "~"} {
		rest := strings.TrimLeft(trimmed, mark)
		if n := len(trimmed) - len(rest); n >= 3 && (mark != "`" || !strings.Contains(rest, "`")) {
			return trimmed[:n]
		}
	}
	return ""
}

func closes(trimmed, fence string) bool {
	return len(trimmed) >= len(fence) && strings.Trim(trimmed, fence[:1]) == ""
}

// frontMatter returns where the text begins behind it, and the title in it.
func frontMatter(text string) (end int, title string) {
	line, at := lineAt(text, 0)
	if line != "---" {
		return 0, ""
	}
	for at < len(text) {
		line, next := lineAt(text, at)
		if line == "---" || line == "..." {
			return next, title
		}
		if value, ok := strings.CutPrefix(line, "title:"); ok {
			title = clip(strings.Trim(strings.TrimSpace(value), `"'`))
		}
		at = next
	}
	return 0, "" // a rule, and no front matter
}
