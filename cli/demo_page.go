package cli

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	stdimage "image"
	"image/png"
	"os"
	"path/filepath"
)

// pageRows is how many queries the page shows.
const pageRows = 24

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Waggle: Fashion-MNIST neighbours</title>
<style>
 body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fafaf7 }
 h1 { font-size: 1.3rem } table { border-collapse: collapse }
 td, th { padding: 3px 5px; text-align: center; font-size: 11px; font-weight: normal }
 th { color: #666 } td:first-child { border-right: 2px solid #d9a400; padding-right: 12px }
 img { width: 56px; height: 56px; image-rendering: pixelated; display: block; margin: auto; background: #000 }
 .other { color: #b00020 }
</style>
<h1>Test images and their ten nearest training images</h1>
<p>Left of the line the query. Right of it what Waggle found, nearest first; a name in red is of another class than the query's.</p>
<table><tr><th>query</th>{{range .Ranks}}<th>{{.}}</th>{{end}}</tr>
{{range .Rows}}<tr>{{range .}}<td><img src="{{.Src}}" alt="{{.Name}}"><span{{if .Other}} class="other"{{end}}>{{.Name}}</span></td>{{end}}</tr>
{{end}}</table></html>
`))

type pageCell struct {
	Src   template.URL
	Name  string
	Other bool
}

// writePage shows some of the queries, spread over all, beside what was found.
func writePage(path string, base, query imageSet, found [][]int) error {
	var page struct {
		Ranks []int
		Rows  [][]pageCell
	}
	for i := range demoTopK {
		page.Ranks = append(page.Ranks, i+1)
	}
	for row := range min(pageRows, len(found)) {
		q := row * (len(found) / min(pageRows, len(found)))
		cells := []pageCell{cell(&query.images[q], query.labels[q], query.labels[q])}
		for _, id := range found[q] {
			if id < 0 || id >= len(base.images) {
				return fmt.Errorf("query %d found the unknown point %d", q, id)
			}
			cells = append(cells, cell(&base.images[id], base.labels[id], query.labels[q]))
		}
		page.Rows = append(page.Rows, cells)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, page); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

func cell(im *image, label, of uint8) pageCell {
	var buf bytes.Buffer
	gray := &stdimage.Gray{Pix: im[:], Stride: side, Rect: stdimage.Rect(0, 0, side, side)}
	_ = png.Encode(&buf, gray) // into memory: it cannot fail
	src := "data:image/png;base64," + base64.StdEncoding.EncodeToString(buf.Bytes())
	return pageCell{Src: template.URL(src), Name: classNames[label], Other: label != of}
}
