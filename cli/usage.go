package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

func newUsage() *cobra.Command {
	s := &session{}
	cmd := &cobra.Command{
		Use:   "usage [TENANT_ID]",
		Short: "Show what a tenant has used",
		Long: "Show what a tenant has used: with TENANT_ID and the operator key of any tenant,\n" +
			"without it of the tenant whose key is in $WAGGLE_KEY or --key-file. What is\n" +
			"used is reported every few minutes; what is stored is as of now.",
		Example: "  waggle usage t_2xv7qk4m3ahd --since 30d\n" +
			"  WAGGLE_KEY=hh_live_... waggle usage --collections --json",
		Args: cobra.MaximumNArgs(1),
	}
	s.bind(cmd)
	key := &accessKey{}
	key.bind(cmd.Flags())
	collections := cmd.Flags().Bool("collections", false, "of each collection, since it was made (with the tenant's own key)")
	since := cmd.Flags().String("since", "", "from this day on: a date, or a span back from now such as 30d (default: this month)")
	until := cmd.Flags().String("until", "", "up to this day")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := client.UsageQuery{}
		for _, bound := range []struct {
			flag, text string
			to         *int64
		}{{"since", *since, &q.Since}, {"until", *until, &q.Until}} {
			if bound.text == "" {
				continue
			}
			at, err := parseWhen(bound.text, time.Now(), -1)
			if err != nil {
				return fmt.Errorf("--%s: %w", bound.flag, err)
			}
			*bound.to = at.UnixMilli()
		}
		if len(args) == 1 {
			q.TenantID = args[0]
		}
		switch {
		case q.TenantID != "" && *collections:
			return errors.New("--collections: a tenant's collections are shown to its own keys only")
		case q.TenantID == "" && (s.key != "" || s.file != ""):
			return errors.New("the operator key is of no tenant: name one, as in waggle usage TENANT_ID")
		}
		c, own, err := s.tenantClient(key, q.TenantID != "")
		if err == nil && !own && q.TenantID == "" {
			err = errNoKey
		}
		if err != nil {
			return err
		}
		if *collections {
			return s.showCollectionUsage(cmd, c)
		}
		u, err := c.TenantUsage(cmd.Context(), q)
		if err != nil {
			return advise(err)
		}
		return s.print(cmd, u, func(w io.Writer) error { return usageTable(w, &u) })
	}
	return cmd
}

func (s *session) showCollectionUsage(cmd *cobra.Command, c *client.Client) error {
	list, err := c.CollectionUsages(cmd.Context())
	if err != nil {
		return advise(err)
	}
	object := struct {
		Collections []client.CollectionUsage `json:"collections"`
	}{list}
	return s.print(cmd, object, func(w io.Writer) error {
		rows := make([][]string, 0, len(list))
		for _, u := range list {
			name := firstOf(u.Name, "-")
			if u.Deleted {
				name += " (deleted)"
			}
			rows = append(rows, []string{
				u.ID, name, number(u.Vectors), number(u.Storage), number(u.Usage.VectorsInserted), number(u.Usage.VectorsDeleted),
				number(u.Usage.SearchCount), number(u.Usage.ByteHours),
			})
		}
		return table(w, "ID NAME VECTORS BYTES INSERTED DELETED SEARCHES BYTE_HOURS", rows)
	})
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func usageTable(w io.Writer, u *client.TenantUsage) error {
	day := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }
	err := line(w, "tenant %s, %s to %s, reported up to %s: %d collections, %d vectors, %d bytes",
		u.TenantID, day(u.Start), day(u.End), date(u.ReportedAt), u.Collections, u.Vectors, u.Storage.Used)
	if err != nil {
		return err
	}
	row := func(what string, period, total uint64) []string { return []string{what, number(period), number(total)} }
	p, t := &u.Period, &u.Total
	return table(w, "WHAT PERIOD TOTAL", [][]string{
		row("api_requests", p.APIRequests, t.APIRequests),
		row("search_count", p.SearchCount, t.SearchCount),
		row("vectors_scanned", p.VectorsScanned, t.VectorsScanned),
		row("bytes_read", p.BytesRead, t.BytesRead),
		row("vectors_inserted", p.VectorsInserted, t.VectorsInserted),
		row("vectors_deleted", p.VectorsDeleted, t.VectorsDeleted),
		row("storage_added", p.StorageAdded, t.StorageAdded),
		row("storage_freed", p.StorageFreed, t.StorageFreed),
		row("collections_created", p.CollectionsCreated, t.CollectionsCreated),
		row("collections_deleted", p.CollectionsDeleted, t.CollectionsDeleted),
		row("byte_hours", p.ByteHours, t.ByteHours),
	})
}
