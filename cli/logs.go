package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
	"github.com/hivehub/waggle/tenant"
)

// followEvery is the time between two looks for new rows; followBack is how far
// each looks back, since nodes' clocks differ.
const (
	followEvery = 2 * time.Second
	followBack  = 10 * time.Second
)

func newLogs() *cobra.Command {
	s := &session{}
	q := client.OperationQuery{}
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show which operations were asked for, and how they went",
		Long: "Show the operation log: of a tenant (--tenant, with the operator key), of the own tenant\n" +
			"(with an ADMIN key in --key or $WAGGLE_KEY), or without either what the operator did.",
		Example: "  waggle logs --tenant t_2xv7qk4m3ahd --since 1h --type search\n" +
			"  WAGGLE_KEY=hh_live_... waggle logs --follow --json",
		Args: cobra.NoArgs,
	}
	s.bind(cmd)
	key := &accessKey{}
	key.bind(cmd.Flags())
	cmd.Flags().StringVar(&q.TenantID, "tenant", "", "the tenant's id, for the operator")
	cmd.Flags().StringVar(&q.Type, "type", "", "only this type, such as search, insert or clusteroperation")
	limit := cmd.Flags().Int("limit", 1000, "the oldest so many")
	follow := cmd.Flags().Bool("follow", false, "go on with what comes, until interrupted")
	since := cmd.Flags().String("since", "1h", "only later than this: a time, a date, or a span back from now such as 7d or 12h")
	until := cmd.Flags().String("until", "", "only earlier than this")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := bounds(*since, *until, &q.Since, &q.Until); err != nil {
			return err
		}
		if _, ok := tenant.ParseOperationType(q.Type); q.Type != "" && !ok {
			return fmt.Errorf("--type: %q is no type of operation", q.Type)
		}
		if *limit < 1 {
			return errors.New("--limit: must be 1 or more")
		}
		c, own, err := s.tenantClient(key, q.TenantID != "")
		if err != nil {
			return err
		}
		q.Own = own
		if *follow {
			ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer cancel()
			cmd.SetContext(ctx)
			return s.followLogs(cmd, c, q)
		}
		return s.showLogs(cmd, c, q, *limit)
	}
	return cmd
}

// bounds reads --since and --until.
func bounds(since, until string, from, to *int64) error {
	for _, bound := range []struct {
		flag, text string
		to         *int64
	}{{"since", since, from}, {"until", until, to}} {
		if bound.text == "" {
			continue
		}
		at, err := parseWhen(bound.text, time.Now(), -1)
		if err != nil {
			return fmt.Errorf("--%s: %w", bound.flag, err)
		}
		*bound.to = at.UnixMilli()
	}
	return nil
}

func (s *session) showLogs(cmd *cobra.Command, c *client.Client, q client.OperationQuery, limit int) error {
	all, away := []client.Operation{}, []string{}
	for {
		q.Limit = min(limit-len(all), tenant.LogPageMax)
		p, err := c.ListOperations(cmd.Context(), q)
		if err != nil {
			return advise(err)
		}
		all, away = append(all, p.Operations...), append(away, p.Incomplete...)
		if q.Cursor = p.Next; q.Cursor == "" || len(all) >= limit {
			break
		}
	}
	slices.Sort(away)
	away = slices.Compact(away) // a node may be away at every page
	object := struct {
		Logs       []client.Operation `json:"logs"`
		Incomplete []string           `json:"incomplete,omitempty"`
	}{all, away}
	return s.print(cmd, object, func(w io.Writer) error {
		rows := make([][]string, 0, len(all))
		for i := range all {
			rows = append(rows, operationRow(&all[i]))
		}
		if err := table(w, operationHeading, rows); err != nil || len(away) == 0 {
			return err
		}
		return line(w, "incomplete: no answer from %s", strings.Join(away, ", "))
	})
}

const operationHeading = "TIME TYPE OPERATION COLLECTION STATUS ERROR MS REQUEST"

func operationRow(o *client.Operation) []string {
	return []string{
		date(o.Timestamp), o.Type, o.Operation, firstOf(o.Collection, "-"), firstOf(o.Metadata["status"], "-"), firstOf(o.Error, "-"),
		fmt.Sprintf("%.1f", o.DurationMS), firstOf(o.Metadata["request_id"], "-"),
	}
}

// followLogs shows rows as they come, each once, a line or an object each.
func (s *session) followLogs(cmd *cobra.Command, c *client.Client, q client.OperationQuery) error {
	seen := map[string]int64{} // the time of each row that may come again
	for {
		p, err := c.ListOperations(cmd.Context(), q)
		if err != nil && cmd.Context().Err() == nil {
			return advise(err)
		}
		for i := range p.Operations {
			o := &p.Operations[i]
			if _, known := seen[o.ID]; known {
				continue
			}
			seen[o.ID] = o.Timestamp
			q.Since = max(q.Since, o.Timestamp-followBack.Milliseconds())
			if err := s.print(cmd, o, func(w io.Writer) error { return line(w, "%s", strings.Join(operationRow(o), "  ")) }); err != nil {
				return err
			}
		}
		if q.Cursor = p.Next; q.Cursor != "" {
			continue
		}
		for id, at := range seen {
			if at < q.Since {
				delete(seen, id)
			}
		}
		select {
		case <-time.After(followEvery):
		case <-cmd.Context().Done():
			return nil
		}
	}
}
