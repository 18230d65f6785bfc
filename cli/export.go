package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

// exportPageBytes is about how many bytes of vectors a page of an export has.
const exportPageBytes = 8 << 20

func newExport() *cobra.Command {
	o := &own{}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write what is in a collection as NDJSON: a line each",
		Long: "Write what is in a collection as NDJSON, a line each, in the order of ids, as\n" +
			"waggle import reads it. What is written to the collection meanwhile may be in it.",
		Example: "  waggle export --collection notes -o notes.ndjson\n" +
			"  waggle export --collection notes | waggle import - --collection copy",
		Args: cobra.NoArgs,
	}
	o.bind(cmd)
	name := bindCollection(cmd)
	file := cmd.Flags().StringP("output", "o", "", "write to this file, which appears when all is in it (default standard output)")
	bare := cmd.Flags().Bool("without-vectors", false, "ids and payloads alone")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		k, err := o.collection(*name)
		if err != nil {
			return err
		}
		n := 0
		if *file == "" {
			_, err = exportTo(cmd, k, cmd.OutOrStdout(), *bare)
			return err
		}
		if n, err = exportFile(cmd, k, *file, *bare); err != nil {
			return err
		}
		object := struct {
			File string `json:"file"`
			Rows int    `json:"rows"`
		}{*file, n}
		return o.print(cmd, object, func(w io.Writer) error { return line(w, "%d rows in %s", n, *file) })
	}
	return cmd
}

// exportFile writes to a file beside the one that is wanted, which takes its place
// when it is whole.
func exportFile(cmd *cobra.Command, k *client.Collection, path string, bare bool) (n int, err error) {
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = exportTo(cmd, k, f, bare)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return n, errors.Join(err, os.Remove(path+".part"))
	}
	return n, os.Rename(path+".part", path)
}

// exportTo writes a line for each vector and says how many these are.
func exportTo(cmd *cobra.Command, k *client.Collection, to io.Writer, bare bool) (n int, err error) {
	info, err := k.Info(cmd.Context())
	if err != nil {
		return 0, err
	}
	bar := startBar(cmd.ErrOrStderr(), "exporting", int(info.VectorCount))
	defer bar.stop()
	w := bufio.NewWriter(to)
	lines := json.NewEncoder(w)
	page := min(max(exportPageBytes/(12*info.Dimension+4096), 10), 1000)
	for v, err := range k.All(cmd.Context(), client.List{Limit: page, Bare: bare}) {
		if err != nil {
			return n, fmt.Errorf("after %d rows: %w", n, err)
		}
		if err := lines.Encode(&v); err != nil {
			return n, err
		}
		bar.add(1)
		n++
	}
	return n, w.Flush()
}
