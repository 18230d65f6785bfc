package cli

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hivehub/waggle/client"
)

const (
	// rowBytesMax is the longest row: what a request can be.
	rowBytesMax = 16 << 20
	// dimensionMax is the largest vector that a file is believed to have.
	dimensionMax = 65536
)

// row is what one row of the input says. With a text it is a text, else a vector.
type row struct {
	client.Vector
	text *string
	size int // bytes of the input
}

// jsonRow is a row as NDJSON has it.
type jsonRow struct {
	ID      json.RawMessage           `json:"id"`
	Text    *string                   `json:"text"`
	Values  []float32                 `json:"vector"`
	Named   map[string][]float32      `json:"vectors"`
	Sparse  map[string]*client.Sparse `json:"sparse"`
	Payload map[string]any            `json:"payload"`
}

// readNDJSON reads an object a line; empty lines are passed over.
func readNDJSON(from io.Reader) func() (row, error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 64<<10), rowBytesMax)
	size := 0
	return func() (row, error) {
		for lines.Scan() {
			size += len(lines.Bytes()) + 1
			text := bytes.TrimSpace(lines.Bytes())
			if len(text) == 0 {
				continue
			}
			r, err := parseRow(text)
			r.size, size = size, 0
			return r, err
		}
		if err := lines.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("a line of more than %d bytes", rowBytesMax)
			}
			return row{}, err
		}
		return row{}, io.EOF
	}
}

// parseRow reads one object.
func parseRow(text []byte) (row, error) {
	var j jsonRow
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(&j); err != nil {
		return row{}, err
	}
	if d.More() {
		return row{}, errors.New("more than one object in a line")
	}
	if len(j.Named) > 0 {
		return row{}, errors.New("vectors with names are stored through Qdrant's API alone")
	}
	r := row{text: j.Text, Vector: client.Vector{Values: j.Values, Sparse: j.Sparse, Payload: j.Payload}}
	if len(j.ID) > 0 && j.ID[0] == '"' {
		return r, json.Unmarshal(j.ID, &r.ID)
	}
	if len(j.ID) > 0 && string(j.ID) != "null" {
		n, err := strconv.ParseUint(string(j.ID), 10, 64)
		if err != nil {
			return row{}, fmt.Errorf("the id %s: must be a string or an unsigned integer", j.ID[:min(len(j.ID), 40)])
		}
		r.ID = strconv.FormatUint(n, 10)
	}
	return r, nil
}

// columns says what is where in CSV.
type columns struct {
	id, text, vector string
	numbers          []string
}

// readCSV reads a row a record, after the heading.
func readCSV(from io.Reader, c *columns) (func() (row, error), error) {
	r := csv.NewReader(bufio.NewReaderSize(from, 64<<10))
	r.ReuseRecord = true
	first, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the heading: %w", err)
	}
	heading := slices.Clone(first)
	heading[0] = strings.TrimPrefix(heading[0], "\ufeff")
	for i, name := range heading {
		if name == "" || slices.Contains(heading[:i], name) {
			return nil, fmt.Errorf("the heading: column %d, %q, must have a name of its own", i+1, name)
		}
	}
	for _, name := range c.numbers {
		if !slices.Contains(heading, name) {
			return nil, fmt.Errorf("--number-columns: there is no column %q", name)
		}
	}
	if !slices.Contains(heading, c.text) && !slices.Contains(heading, c.vector) {
		return nil, fmt.Errorf("the heading has neither %q nor %q: give --text-column or --vector-column", c.text, c.vector)
	}
	was := r.InputOffset()
	return func() (row, error) {
		record, err := r.Read()
		if err != nil {
			return row{}, err
		}
		one, err := c.row(heading, record)
		one.size = int(r.InputOffset() - was)
		was = r.InputOffset()
		return one, err
	}, nil
}

// row makes a row of a record. What is empty is not there.
func (c *columns) row(heading, record []string) (row, error) {
	r := row{Vector: client.Vector{Payload: map[string]any{}}}
	for i, value := range record {
		name := heading[i]
		if value == "" {
			continue
		}
		switch {
		case name == c.id:
			r.ID = strings.Clone(value)
		case name == c.text:
			r.text = new(strings.Clone(value))
		case name == c.vector:
			vector, err := vectorIn(value)
			if err != nil {
				return row{}, fmt.Errorf("column %s: %w", name, err)
			}
			r.Values = vector
		case slices.Contains(c.numbers, name):
			if !json.Valid([]byte(value)) || strings.Trim(value, "-+.eE0123456789") != "" {
				return row{}, fmt.Errorf("column %s: %q is no number", name, value)
			}
			r.Payload[name] = json.Number(strings.Clone(value))
		default:
			r.Payload[name] = strings.Clone(value)
		}
	}
	return r, nil
}

// readFbin reads the vectors of a file that begins with their number and size.
// A file that ends before the last one, or has more, is refused there.
func readFbin(from io.Reader) (func() (row, error), error) {
	in := bufio.NewReaderSize(from, 1<<20)
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, fmt.Errorf("the head of the file: %w", err)
	}
	n, size := binary.LittleEndian.Uint32(head[:4]), binary.LittleEndian.Uint32(head[4:])
	if size == 0 || size > dimensionMax {
		return nil, fmt.Errorf("it has vectors of %d values, must be from 1 to %d: is it fbin?", size, dimensionMax)
	}
	raw := make([]byte, 4*size)
	i := uint32(0)
	return func() (row, error) {
		if i == n {
			if _, err := in.ReadByte(); err == nil {
				return row{}, fmt.Errorf("there is more in the file than the %d vectors that it is said to have", n)
			}
			return row{}, io.EOF
		}
		if _, err := io.ReadFull(in, raw); err != nil {
			return row{}, fmt.Errorf("the file ends before the last of %d vectors: %w", n, errors.Join(io.ErrUnexpectedEOF, err))
		}
		i++
		return vectorRow(int(i)-1, raw), nil
	}, nil
}

// readFvecs reads vectors that each begin with their size.
func readFvecs(from io.Reader) func() (row, error) {
	in := bufio.NewReaderSize(from, 1<<20)
	var raw []byte
	i := 0
	return func() (row, error) {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return row{}, err // io.EOF between two vectors is the end
		}
		size := binary.LittleEndian.Uint32(head[:])
		if size == 0 || size > dimensionMax {
			return row{}, fmt.Errorf("a vector of %d values, must be from 1 to %d: is it fvecs?", size, dimensionMax)
		}
		if len(raw) != int(4*size) {
			raw = make([]byte, 4*size)
		}
		if _, err := io.ReadFull(in, raw); err != nil {
			return row{}, fmt.Errorf("the file ends within a vector: %w", io.ErrUnexpectedEOF)
		}
		i++
		r := vectorRow(i-1, raw)
		r.size += len(head)
		return r, nil
	}
}

func vectorRow(id int, raw []byte) row {
	values := make([]float32, len(raw)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return row{Vector: client.Vector{ID: strconv.Itoa(id), Values: values}, size: len(raw)}
}

// openFolder finds the texts below a folder, or is about one file. What begins
// with a point is passed over, and links are not followed.
func openFolder(path string) (*source, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	base, src := filepath.Dir(whole), &source{}
	var files []string
	err = filepath.WalkDir(whole, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if at != whole && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || formsBySuffix[strings.ToLower(filepath.Ext(at))] != formFolder {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		src.total += int(info.Size())
		files = append(files, at)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no .md and no .txt file", path)
	}
	src.next = func() (row, error) {
		for len(files) > 0 {
			at := files[0]
			files = files[1:]
			r, err := readText(at)
			if err != nil || strings.TrimSpace(*r.text) != "" {
				r.ID, _ = filepath.Rel(base, at)
				r.ID = filepath.ToSlash(r.ID)
				r.Payload = map[string]any{"source": r.ID}
				return r, err
			}
		}
		return row{}, io.EOF
	}
	return src, nil
}

// readText reads a file as one text.
func readText(path string) (row, error) {
	f, err := os.Open(path)
	if err != nil {
		return row{}, err
	}
	defer func() { _ = f.Close() }() // it is only read
	text, err := io.ReadAll(io.LimitReader(f, rowBytesMax+1))
	if err != nil {
		return row{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(text) > rowBytesMax {
		return row{}, fmt.Errorf("%s: is longer than %d bytes", path, rowBytesMax)
	}
	if !utf8.Valid(text) {
		return row{}, fmt.Errorf("%s: is not UTF-8", path)
	}
	return row{text: new(string(text)), size: len(text)}, nil
}
