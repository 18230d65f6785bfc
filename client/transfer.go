package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime/multipart"
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

// Uploaded says what became of a file.
type Uploaded struct {
	Filename string   `json:"filename"`
	Chunks   int      `json:"chunks_created"`
	IDs      []string `json:"vector_ids"`
}

// Upload stores a file of text, Markdown or HTML in chunks, in place of what was
// uploaded under its name, which may be a path below a folder. The file is held in
// memory; metadata, nil for none, is in every chunk's payload.
func (k *Collection) Upload(ctx context.Context, name string, file io.Reader, metadata map[string]any) (Uploaded, error) {
	var done Uploaded
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	err := w.WriteField("collection_name", k.name)
	if err == nil && metadata != nil {
		var b []byte
		if b, err = json.Marshal(metadata); err == nil {
			err = w.WriteField("metadata", string(b))
		}
	}
	if err != nil {
		return done, fmt.Errorf("encode request: %w", err)
	}
	part, err := w.CreateFormFile("file", name)
	if err == nil {
		_, err = io.Copy(part, file)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return done, fmt.Errorf("read %s: %w", name, err)
	}
	r := request{method: "POST", path: nativePath("files", "upload"), media: w.FormDataContentType()}
	resp, err := k.c.send(ctx, &r, &form)
	if err != nil {
		return done, err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read: nothing can be lost
	if err := json.NewDecoder(io.LimitReader(resp.Body, errorBytesMax)).Decode(&done); err != nil {
		return done, fmt.Errorf("decode answer to %s %s: %w", r.method, r.path, err)
	}
	return done, nil
}
