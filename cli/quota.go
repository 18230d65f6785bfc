package cli

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

func newQuota() *cobra.Command {
	s := &session{}
	cmd := newGroup("quota", "Show what tenants may use, and use")
	s.bind(cmd)
	cmd.AddCommand(s.showQuota())
	return cmd
}

func (s *session) showQuota() *cobra.Command {
	return &cobra.Command{
		Use:     "show TENANT_ID",
		Short:   "Show what a tenant may use, and uses",
		Example: "  waggle quota show t_2xv7qk4m3ahd",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			q, err := c.TenantQuota(cmd.Context(), args[0])
			if err != nil {
				return advise(err)
			}
			return s.print(cmd, q, func(w io.Writer) error { return quotaTable(w, q) })
		},
	}
}

func quotaTable(w io.Writer, q client.Quota) error {
	row := func(what string, used uint64, limit int64, text string) []string {
		left, share := unlimited, "-"
		if limit >= 0 {
			left = strconv.FormatUint(uint64(limit)-min(used, uint64(limit)), 10)
		}
		if limit > 0 {
			share = fmt.Sprintf("%.1f%%", 100*float64(used)/float64(limit))
		}
		return []string{what, strconv.FormatUint(used, 10), text, left, share}
	}
	rows := [][]string{
		row("storage_bytes", q.Usage.StorageBytes, q.StorageBytes, bytesText(q.StorageBytes)),
		row("vector_count", q.Usage.Vectors, q.Vectors, countText(q.Vectors)),
		row("collection_count", q.Usage.Collections, q.Collections, countText(q.Collections)),
	}
	if err := line(w, "tenant %s, plan %s, rates %s", q.TenantID, q.Plan, rateText(q.Rates)); err != nil {
		return err
	}
	return table(w, "WHAT USED LIMIT LEFT SHARE", rows)
}
