package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

const ndjson = "application/x-ndjson"

// Imported says what became of the lines of an import.
type Imported struct {
	Lines    int `json:"lines"`    // that were read
	Imported int `json:"imported"` // that are stored
	Points   int `json:"points"`   // as how many points: a long text becomes chunks
	Failed   int `json:"failed"`   // that were wrong and passed over

	Errors []LineFault `json:"errors"` // of the first 100 that were wrong
}

// LineFault says what is wrong with a line.
type LineFault struct {
	Line  int    `json:"line"` // from 1
	Error string `json:"error"`
}

// Import stores what a stream of lines (NDJSON) says: of each an object with the
// members of a Vector, or of a Text. It is sent as it is read, so it may be of any
// length, and never sent again. An error has in its Details "line" and "imported":
// how far it came. With skip, lines that are wrong are passed over.
func (k *Collection) Import(ctx context.Context, lines io.Reader, skip bool) (Imported, error) {
	r := request{method: "POST", path: k.path("import"), media: ndjson}
	if skip {
		r.path += "?on_error=skip"
	}
	var done Imported
	resp, err := k.c.send(ctx, &r, lines)
	if err != nil {
		return done, err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read: nothing can be lost
	if err := json.NewDecoder(io.LimitReader(resp.Body, errorBytesMax)).Decode(&done); err != nil {
		return done, fmt.Errorf("decode answer to %s %s: %w", r.method, r.path, err)
	}
	return done, nil
}

// Export goes through all vectors of the collection, in the order of their ids,
// from one answer that is read as it comes. An error is the last that it yields:
// without one, all were there.
func (k *Collection) Export(ctx context.Context) iter.Seq2[Vector, error] {
	return func(yield func(Vector, error) bool) {
		resp, err := k.c.send(ctx, &request{method: "GET", path: k.path("export"), accept: ndjson}, nil)
		if err != nil {
			yield(Vector{}, err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		d := json.NewDecoder(resp.Body)
		d.UseNumber()
		for {
			var v Vector
			err := d.Decode(&v)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				err = fmt.Errorf("the export broke off: %w", err)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}
