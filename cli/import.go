package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// The forms of what is imported.
const (
	formNDJSON = "ndjson"
	formCSV    = "csv"
	formFbin   = "fbin"
	formFvecs  = "fvecs"
	formFolder = "folder"
)

// formsBySuffix says what a file is.
var formsBySuffix = map[string]string{
	".ndjson": formNDJSON, ".jsonl": formNDJSON, ".csv": formCSV, ".fbin": formFbin, ".fvecs": formFvecs,
	".md": formFolder, ".markdown": formFolder, ".txt": formFolder,
}

// importing is what waggle import was told.
type importing struct {
	own
	collection, form string
	columns          columns
	batch, parallel  int
	skip, limit      int
}

func newImport() *cobra.Command {
	m := &importing{}
	cmd := &cobra.Command{
		Use:   "import FILE|FOLDER|-",
		Short: "Store what is in a file or a folder",
		Long: "Store rows in a collection:\n" +
			"  ndjson  a JSON object a line: id, vector, sparse and payload, or id, text and payload\n" +
			"  csv     with a heading; columns id, text and vector are these, others go into the payload\n" +
			"  fbin    vectors: two 32-bit integers, their number and size, then floats; ids count from 0\n" +
			"  fvecs   vectors: of each its size, then floats; ids count from 0\n" +
			"  folder  its .md and .txt files, each a text under its path; a long one becomes chunks\n" +
			"A row with an id that is there replaces it. Rows without an id get a new one. Rows are\n" +
			"sent in batches, several at a time, and again while the node is busy or away: what\n" +
			"remains unsent or refused ends the import, which says how to go on (--skip).",
		Example: "  waggle import notes/ --collection notes\n" +
			"  waggle import images.fbin --collection images --parallel 8\n" +
			"  zcat rows.ndjson.gz | waggle import - --collection notes",
		Args: cobra.ExactArgs(1),
		RunE: m.run,
	}
	m.bind(cmd)
	f := cmd.Flags()
	f.StringVarP(&m.collection, "collection", "c", "", "the collection")
	f.StringVar(&m.form, "format", "", "ndjson, csv, fbin, fvecs (default by the file's name; of standard input ndjson)")
	f.IntVar(&m.batch, "batch", 1000, "rows of a request, at most")
	f.IntVar(&m.parallel, "parallel", 4, "requests at a time")
	f.IntVar(&m.skip, "skip", 0, "pass over so many rows")
	f.IntVar(&m.limit, "limit", 0, "import so many rows (default all)")
	f.StringVar(&m.columns.id, "id-column", "id", "of csv: the ids")
	f.StringVar(&m.columns.text, "text-column", "text", "of csv: the texts")
	f.StringVar(&m.columns.vector, "vector-column", "vector", "of csv: the vectors, numbers between commas or blanks")
	f.StringSliceVar(&m.columns.numbers, "number-columns", nil, "of csv: columns that are numbers in payloads, where others are strings")
	return cmd
}

// rowsOfBatchMax is how many points a request may have.
const rowsOfBatchMax = 10_000

func (m *importing) run(cmd *cobra.Command, args []string) error {
	if m.batch < 1 || m.batch > rowsOfBatchMax {
		return fmt.Errorf("--batch: must be from 1 to %d", rowsOfBatchMax)
	}
	if m.parallel < 1 || m.parallel > 64 {
		return errors.New("--parallel: must be from 1 to 64")
	}
	if m.skip < 0 || m.limit < 0 {
		return errors.New("--skip, --limit: must be 0 or more")
	}
	k, err := m.own.collection(m.collection)
	if err != nil {
		return err
	}
	src, err := m.open(cmd, args[0])
	if err != nil {
		return err
	}
	defer src.close()
	s := sender{collection: k, batch: m.batch, parallel: m.parallel, skip: m.skip, limit: m.limit}
	s.bar = startBar(cmd.ErrOrStderr(), "importing", src.total)
	s.byBytes = src.total > 0
	err = s.send(cmd.Context(), src)
	s.bar.stop()
	if err != nil {
		if s.through == 0 {
			return err
		}
		return fmt.Errorf("%w; rows up to %d are stored: go on with --skip %d", err, s.through, s.through)
	}
	object := struct {
		Collection string `json:"collection"`
		Rows       int    `json:"rows"`
		Points     int    `json:"points"`
	}{m.collection, s.rows, s.points}
	return m.print(cmd, object, func(w io.Writer) error {
		if s.points != s.rows {
			return line(w, "%d rows stored in %s, as %d points", s.rows, m.collection, s.points)
		}
		return line(w, "%d rows stored in %s", s.rows, m.collection)
	})
}

// source is where rows come from.
type source struct {
	next  func() (row, error) // io.EOF at the end
	total int                 // bytes; 0: nobody knows
	file  *os.File            // nil for standard input and folders
}

func (s *source) close() {
	if s.file != nil {
		_ = s.file.Close() // it is only read
	}
}

// open opens what is imported.
func (m *importing) open(cmd *cobra.Command, path string) (*source, error) {
	form := m.form
	if path == "-" {
		next, err := m.reader(firstOf(form, formNDJSON), cmd.InOrStdin())
		return &source{next: next}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if form == "" {
		if form = formsBySuffix[strings.ToLower(filepath.Ext(path))]; info.IsDir() {
			form = formFolder
		}
	}
	if form == formFolder {
		return openFolder(path)
	}
	if form == "" {
		return nil, fmt.Errorf("%s: what is in it? give --format", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	next, err := m.reader(form, f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return &source{next: next, total: int(info.Size()), file: f}, nil
}

// reader returns what reads rows of a form.
func (m *importing) reader(form string, from io.Reader) (func() (row, error), error) {
	switch form {
	case formNDJSON:
		return readNDJSON(from), nil
	case formCSV:
		return readCSV(from, &m.columns)
	case formFbin:
		return readFbin(from)
	case formFvecs:
		return readFvecs(from), nil
	}
	all := []string{formNDJSON, formCSV, formFbin, formFvecs}
	slices.Sort(all)
	return nil, fmt.Errorf("--format: %q is not one of %s", form, strings.Join(all, ", "))
}
