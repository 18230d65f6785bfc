package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

func newCollections() *cobra.Command {
	o := &own{}
	cmd := newGroup("collections", "List, create and delete the collections of a tenant")
	o.bind(cmd)
	cmd.AddCommand(o.listCollections(), o.createCollection(), o.showCollection(), o.deleteCollection())
	return cmd
}

func (o *own) listCollections() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the collections that the key is for",
		Example: "  WAGGLE_KEY=hh_live_... waggle collections list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			list, err := c.Collections(cmd.Context())
			if err != nil {
				return err
			}
			object := struct {
				Collections []client.CollectionDetails `json:"collections"`
			}{append([]client.CollectionDetails{}, list...)}
			return o.print(cmd, object, func(w io.Writer) error {
				rows := make([][]string, 0, len(list))
				for i := range list {
					d := &list[i]
					rows = append(rows, []string{
						d.Name, number(d.VectorCount), number(d.StorageBytes), dimensionOf(d), firstOf(string(d.Metric), "-"), textsOf(d), d.Status,
					})
				}
				return table(w, "NAME VECTORS BYTES DIMENSION METRIC TEXTS STATUS", rows)
			})
		},
	}
}

func dimensionOf(d *client.CollectionDetails) string {
	if d.Dimension == 0 {
		return "-"
	}
	return strconv.Itoa(d.Dimension)
}

// textsOf says how texts are found: by their words, and by the vectors of a model.
func textsOf(d *client.CollectionDetails) string {
	words := "-"
	if d.Text != nil {
		words = "words"
	}
	if d.Embedding != nil {
		return words + "+" + d.Embedding.Model
	}
	return words
}

func (o *own) createCollection() *cobra.Command {
	n := client.NewCollection{}
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a collection",
		Long: "Create a collection. It has texts, found by their words; with --embedding also by\n" +
			"the vectors that the configured endpoint makes of them; with --dimension it has\n" +
			"vectors that its users bring along.",
		Example: "  waggle collections create notes\n  waggle collections create images --dimension 128 --metric euclidean --texts=false",
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.IntVar(&n.Dimension, "dimension", 0, "values of each vector")
	metric := f.String("metric", "", "how vectors are compared: cosine, euclidean, dot or manhattan (default cosine)")
	texts := f.Bool("texts", true, "whether texts are indexed by their words")
	stop := f.StringSlice("stop-words", nil, "words that are not indexed")
	embedding := f.Bool("embedding", false, "make vectors of texts by the configured endpoint")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n.Name, n.Metric = args[0], client.Metric(*metric)
		if !*texts || len(*stop) > 0 {
			n.Text = &client.TextParams{Enabled: texts, StopWords: *stop}
		}
		if *embedding {
			n.Embedding = &client.EmbeddingParams{}
		}
		c, err := o.client()
		if err != nil {
			return err
		}
		k, err := c.Create(cmd.Context(), n)
		if err != nil {
			return err
		}
		return o.describe(cmd, k)
	}
	return cmd
}

func (o *own) showCollection() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show what a collection is and has",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := o.collection(args[0])
			if err != nil {
				return err
			}
			return o.describe(cmd, k)
		},
	}
}

func (o *own) describe(cmd *cobra.Command, k *client.Collection) error {
	d, err := k.Info(cmd.Context())
	if err != nil {
		return err
	}
	return o.print(cmd, d, func(w io.Writer) error {
		return table(w, "WHAT VALUE", [][]string{
			{"collection", d.Name},
			{"vectors", number(d.VectorCount)},
			{"bytes", number(d.StorageBytes)},
			{"in a graph", number(d.IndexedCount)},
			{"status", d.Status},
			{"dimension", dimensionOf(&d)},
			{"metric", firstOf(string(d.Metric), "-")},
			{"texts", textsOf(&d)},
			{"created", d.CreatedAt.UTC().Format(time.RFC3339)},
		})
	})
}

func (o *own) deleteCollection() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a collection with all that is in it",
		Example: "  waggle collections delete notes --yes",
		Args:    cobra.ExactArgs(1),
	}
	yes := bindYes(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k, err := o.collection(args[0])
		if err != nil {
			return err
		}
		d, err := k.Info(cmd.Context())
		if err != nil {
			return err
		}
		if err := confirm(cmd, *yes, fmt.Sprintf("delete collection %s with its %d vectors", d.Name, d.VectorCount)); err != nil {
			return err
		}
		if err := k.Drop(cmd.Context()); err != nil {
			return err
		}
		object := struct {
			Collection string `json:"collection"`
			Deleted    bool   `json:"deleted"`
		}{d.Name, true}
		return o.print(cmd, object, func(w io.Writer) error { return line(w, "collection %s deleted", d.Name) })
	}
	return cmd
}
