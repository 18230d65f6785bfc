// Package cli is the client half of the waggle command: what an operator types
// to manage tenants and keys, and what a tenant types to store and find things.
// It calls a running Waggle through package
// client and prints tables, or with --json one JSON object on one line for
// scripts. An error is one line on standard error.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

const defaultURL = "http://127.0.0.1:15002"

// NewRoot returns the whole waggle command. serve is the command that runs a
// node, cluster are further commands below `waggle cluster`.
func NewRoot(serve *cobra.Command, cluster ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:           "waggle",
		Short:         "Waggle is a multi-tenant vector search engine",
		SilenceErrors: true,
		SilenceUsage:  true,
		// Cobra's are several lines; an error is one.
		DisableSuggestions: true,
	}
	root.AddCommand(serve, newTenants(), newPlans(), newKeys(), newQuota(), newCollections(), newImport(), newExport(), newSearch(), newUsage(), newAudit(), newLogs(), newCluster(cluster...), newMCP(), newDemo(), newDemoCluster(), newVersion())
	return root
}

// newGroup returns a command that only has others below it. It can be run, so
// that cobra refuses a misspelt one below it instead of showing help and
// reporting success.
func newGroup(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// Run executes the command line and returns the process's exit code.
func Run(ctx context.Context, root *cobra.Command) int {
	if err := root.ExecuteContext(ctx); err != nil {
		root.PrintErrf("waggle: %v\n", err)
		return 1
	}
	return 0
}

// session is what the client commands share: where to ask, and how to print.
type session struct {
	url  string
	key  string
	file string // holds the key
	json bool
}

// bind gives cmd and what is below it the flags of a session.
func (s *session) bind(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&s.url, "url", "", "Waggle's address (default $WAGGLE_URL, or "+defaultURL+")")
	f.StringVar(&s.key, "operator-key", "", "operator key (default $WAGGLE_OPERATOR_KEY)")
	f.StringVar(&s.file, "operator-key-file", "", "file with the operator key (default $WAGGLE_OPERATOR_KEY_FILE)")
	f.BoolVar(&s.json, "json", false, "print JSON")
}

// client opens the session. A key on the command line can be read by every
// user of the machine, so the environment or a file is the usual way.
func (s *session) client() (*client.Client, error) {
	url := firstOf(s.url, os.Getenv("WAGGLE_URL"), defaultURL)
	key, err := s.operatorKey()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{URL: url, Key: key})
}

// keyFileMax is more than a file with a key is long.
const keyFileMax = 4096

// operatorKey returns the key: flags are stronger than the environment.
func (s *session) operatorKey() (string, error) {
	if s.key != "" {
		return s.key, nil
	}
	env := os.Getenv("WAGGLE_OPERATOR_KEY")
	if s.file == "" && env != "" {
		return env, nil
	}
	path := firstOf(s.file, os.Getenv("WAGGLE_OPERATOR_KEY_FILE"))
	if path == "" {
		return "", errors.New("no operator key: set WAGGLE_OPERATOR_KEY or give --operator-key-file")
	}
	return keyIn(path, "operator key", "operator")
}

// keyIn reads the key of a kind from a file: the key alone, or a line of the file
// first-keys.
func keyIn(path, what, kind string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = f.Close() }() // it is only read
	text, err := io.ReadAll(io.LimitReader(f, keyFileMax))
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 1 || len(words) == 2 && words[0] == kind {
			return words[len(words)-1], nil
		}
	}
	return "", fmt.Errorf("%s: %s holds none: neither a key alone nor a line \"%s KEY\"", what, path, kind)
}

// print writes object as JSON, or what text writes.
func (s *session) print(cmd *cobra.Command, object any, text func(w io.Writer) error) error {
	if !s.json {
		return text(cmd.OutOrStdout())
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(object)
}

// table writes rows under a heading in aligned columns.
func table(w io.Writer, heading string, rows [][]string) error {
	var text strings.Builder
	text.WriteString(strings.ReplaceAll(heading, " ", "\t") + "\n")
	for _, row := range rows {
		text.WriteString(strings.Join(row, "\t") + "\n")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(t, text.String()); err != nil {
		return err
	}
	return t.Flush()
}

// line writes one line of text.
func line(w io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(w, format+"\n", args...)
	return err
}

// date writes a time of the API, and "-" for none.
func date(unixMs int64) string {
	if unixMs == 0 {
		return "-"
	}
	return time.UnixMilli(unixMs).UTC().Format(time.RFC3339)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
