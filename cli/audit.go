package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

func newAudit() *cobra.Command {
	s := &session{}
	cmd := newGroup("audit", "Show who did what")
	s.bind(cmd)
	cmd.AddCommand(s.listAudit(), s.verifyAudit())
	return cmd
}

func (s *session) listAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the latest administrative acts and refused keys, oldest first",
		Example: "  waggle audit list --since 24h\n" +
			"  waggle audit list --tenant t_2xv7qk4m3ahd --action key.create --limit 1000 --json",
		Args: cobra.NoArgs,
	}
	q := client.AuditQuery{}
	cmd.Flags().StringVar(&q.TenantID, "tenant", "", "only what concerns this tenant id")
	cmd.Flags().StringVar(&q.Action, "action", "", "only this action, as the list names it")
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "the latest so many")
	since := cmd.Flags().String("since", "", "only later than this: a time, a date, or a span back from now such as 7d or 12h")
	until := cmd.Flags().String("until", "", "only earlier than this")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := bounds(*since, *until, &q.Since, &q.Until); err != nil {
			return err
		}
		if q.Limit < 1 {
			return fmt.Errorf("--limit: must be 1 or more")
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		entries, err := c.ListAudit(cmd.Context(), q)
		if err != nil {
			return advise(err)
		}
		object := struct {
			Entries []client.AuditEntry `json:"entries"`
		}{append([]client.AuditEntry{}, entries...)}
		return s.print(cmd, object, func(w io.Writer) error {
			rows := make([][]string, 0, len(entries))
			for _, e := range entries {
				rows = append(rows, []string{
					date(e.Time), firstOf(e.TenantID, "-"), firstOf(e.Actor, "-"), firstOf(e.Address, "-"),
					e.Action, firstOf(e.Target, "-"), e.Outcome, firstOf(e.RequestID, "-"), firstOf(strings.TrimSpace(e.Detail), "-"),
				})
			}
			return table(w, "TIME TENANT ACTOR ADDRESS ACTION TARGET OUTCOME REQUEST DETAIL", rows)
		})
	}
	return cmd
}
