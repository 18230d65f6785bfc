package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

// searching is what waggle search was told.
type searching struct {
	own
	collection, vector, filter, algorithm string
	hybrid, meaning, vectors              bool
	limit                                 int
	alpha                                 float64
}

func newSearch() *cobra.Command {
	s := &searching{}
	cmd := &cobra.Command{
		Use:   "search [TEXT]",
		Short: "Find what is in a collection by words, by meaning or by a vector",
		Long: "Find texts by their words (BM25); with --hybrid by words and by a vector, in one\n" +
			"list; with --semantic by the vector that the configured endpoint makes of TEXT; with\n" +
			"--vector and no TEXT what is nearest to a vector.",
		Example: "  waggle search 'what is written to the disk' --collection notes --limit 3\n" +
			"  waggle search 'what is written to the disk' --collection notes --hybrid\n" +
			"  waggle search --vector 0.1,0.9,0.3 --collection cities --filter '{\"must\":[{\"key\":\"coast\",\"match\":{\"value\":true}}]}'",
		Args: cobra.MaximumNArgs(1),
		RunE: s.run,
	}
	s.bind(cmd)
	f := cmd.Flags()
	f.StringVarP(&s.collection, "collection", "c", "", "the collection")
	f.StringVar(&s.vector, "vector", "", "numbers, separated by commas")
	f.BoolVar(&s.hybrid, "hybrid", false, "by words and by a vector: the one given, or the endpoint's")
	f.BoolVar(&s.meaning, "semantic", false, "by the vector that the configured endpoint makes of the text")
	f.IntVar(&s.limit, "limit", 10, "how many")
	f.StringVar(&s.filter, "filter", "", "a filter on payloads, as JSON")
	f.StringVar(&s.algorithm, "algorithm", "", "how --hybrid makes one list of two: rrf, weighted or alpha (default rrf)")
	f.Float64Var(&s.alpha, "alpha", 0.7, "how much the vector counts, with weighted and alpha")
	f.BoolVar(&s.vectors, "with-vectors", false, "show vectors, too (with --json)")
	cmd.MarkFlagsMutuallyExclusive("hybrid", "semantic")
	return cmd
}

func (s *searching) run(cmd *cobra.Command, args []string) error {
	text := ""
	if len(args) == 1 {
		text = args[0]
	}
	vector, err := vectorIn(s.vector)
	if err != nil {
		return fmt.Errorf("--vector: %w", err)
	}
	var filter *client.Filter
	if s.filter != "" {
		d := json.NewDecoder(strings.NewReader(s.filter))
		d.DisallowUnknownFields()
		d.UseNumber()
		if err := d.Decode(&filter); err != nil {
			return fmt.Errorf("--filter: %w", err)
		}
	}
	switch {
	case text == "" && (vector == nil || s.hybrid || s.meaning):
		return errors.New("search for what? give a text, or --vector without --hybrid and --semantic")
	case text != "" && vector != nil && !s.hybrid:
		return errors.New("a text and --vector: give one, or --hybrid")
	}
	k, err := s.own.collection(s.collection)
	if err != nil {
		return err
	}
	hits, sources, err := s.search(cmd, k, text, vector, filter)
	if err != nil {
		return err
	}
	if s.hybrid && !slices.Contains(sources, "dense") {
		cmd.PrintErrln("waggle: nobody makes vectors for this collection: it was searched by words alone")
	}
	object := struct {
		Results []client.Hit `json:"results"`
		Sources []string     `json:"sources,omitempty"`
	}{append([]client.Hit{}, hits...), sources}
	return s.print(cmd, object, func(w io.Writer) error {
		rows := make([][]string, 0, len(hits))
		for i := range hits {
			rows = append(rows, []string{strconv.FormatFloat(float64(hits[i].Score), 'f', 4, 32), hits[i].ID, shortOf(hits[i].Payload)})
		}
		return table(w, "SCORE ID TEXT", rows)
	})
}

func (s *searching) search(cmd *cobra.Command, k *client.Collection, text string, vector []float32, filter *client.Filter) (hits []client.Hit, sources []string, err error) {
	ctx, shown := cmd.Context(), client.Shown{Vector: s.vectors}
	switch {
	case s.hybrid:
		q := client.HybridSearch{Query: text, Values: vector, Limit: s.limit, Filter: filter, Algorithm: s.algorithm, Shown: shown}
		if cmd.Flags().Changed("alpha") {
			q.Alpha = &s.alpha
		}
		// What each list brings along must be enough for what is wanted of both.
		q.DenseK, q.SparseK = max(20, s.limit), max(20, s.limit)
		answer, err := k.SearchHybrid(ctx, q)
		return answer.Hits, answer.Sources, err
	case s.meaning:
		found, err := k.SearchSemantic(ctx, client.SemanticSearch{Query: text, Limit: s.limit, Filter: filter})
		for _, f := range found {
			hits = append(hits, client.Hit{Vector: client.Vector{ID: f.ID, Payload: f.Payload}, Score: float32(f.Score)})
		}
		return hits, nil, err
	case text != "":
		hits, err = k.SearchText(ctx, client.TextSearch{Query: text, Limit: s.limit, Filter: filter, Shown: shown})
	default:
		hits, err = k.Search(ctx, client.VectorSearch{Values: vector, Limit: s.limit, Filter: filter, Shown: shown})
	}
	return hits, nil, err
}

// vectorIn reads numbers between commas or blanks, with or without brackets; nil
// for nothing.
func vectorIn(text string) ([]float32, error) {
	text = strings.Trim(strings.TrimSpace(text), "[]")
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == ';' || r == '\t' })
	if len(words) == 0 {
		return nil, nil
	}
	vector := make([]float32, len(words))
	for i, w := range words {
		v, err := strconv.ParseFloat(w, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no number that fits in 32 bits", w)
		}
		vector[i] = float32(v)
	}
	return vector, nil
}

// shortOf is what a line has of a payload: the beginning of its text, else of all.
func shortOf(payload map[string]any) string {
	const most = 80
	text, ok := payload["text"].(string)
	if !ok {
		all, err := json.Marshal(payload)
		if err != nil || len(payload) == 0 {
			return "-"
		}
		text = string(all)
	}
	short := []rune(strings.Join(strings.Fields(text), " "))
	if len(short) > most {
		short = append(short[:most-3], []rune("...")...)
	}
	return strings.Map(printable, string(short))
}

// printable drops what would move a terminal's cursor: payloads are anybody's.
func printable(r rune) rune {
	if strconv.IsPrint(r) {
		return r
	}
	return -1
}
