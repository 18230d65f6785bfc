package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
	"github.com/hivehub/waggle/tenant"
)

// auditFileMax is more than a file of `waggle audit list --json` has.
const auditFileMax = 256 << 20

func (s *session) verifyAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that no row of the audit log was changed, taken away or added",
		Long: "Check the chains of the audit log. The sums are made here, from the rows, so that the server\n" +
			"need not be trusted for it. It prints where each chain ends: note that, and give it with --head\n" +
			"the next time: rows that were taken off the end of a log can be found in no other way.",
		Example: "  waggle audit verify\n" +
			"  waggle audit verify --tenant t_2xv7qk4m3ahd --head 4f1c...\n" +
			"  waggle audit verify --file audit.json",
		Args: cobra.NoArgs,
	}
	id := cmd.Flags().String("tenant", "", "only the chain of this tenant id")
	file := cmd.Flags().String("file", "", "the rows in this file, as `audit list --json` wrote them, instead of the server's")
	noted := cmd.Flags().StringSlice("head", nil, "ends of chains that were noted before: they must still be there")
	key := &accessKey{}
	key.bind(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		entries, err := s.auditRows(cmd, *file, *id, key)
		if err != nil {
			return err
		}
		rows, err := auditEntries(entries)
		if err != nil {
			return err
		}
		heads, err := tenant.VerifyAudit(rows)
		if err != nil {
			return err
		}
		if err := stillThere(rows, *noted); err != nil {
			return err
		}
		object := struct {
			Rows  int                `json:"rows"`
			Heads []tenant.AuditHead `json:"heads"`
		}{len(rows), append([]tenant.AuditHead{}, heads...)}
		return s.print(cmd, object, func(w io.Writer) error {
			list := make([][]string, 0, len(heads))
			for _, h := range heads {
				from := "its first row"
				if !h.Begun {
					from = "where older rows have gone"
				}
				list = append(list, []string{firstOf(h.Pool, "-"), strconv.Itoa(h.Rows), from, h.ID, h.Chain})
			}
			return table(w, "CHAIN ROWS FROM LAST HEAD", list)
		})
	}
	return cmd
}

// auditRows are the rows to check: of a file, or all that the server has.
func (s *session) auditRows(cmd *cobra.Command, file, id string, key *accessKey) ([]client.AuditEntry, error) {
	if file == "" {
		c, own, err := s.tenantClient(key, id != "")
		if err != nil {
			return nil, err
		}
		entries, err := c.AllAudit(cmd.Context(), id, own)
		return entries, advise(err)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	var list struct{ Entries []client.AuditEntry }
	if err := json.NewDecoder(io.LimitReader(f, auditFileMax)).Decode(&list); err != nil {
		return nil, fmt.Errorf("%s is not what `waggle audit list --json` writes: %w", file, err)
	}
	return list.Entries, nil
}

// auditEntries are rows as they were summed.
func auditEntries(entries []client.AuditEntry) ([]tenant.AuditEntry, error) {
	rows := make([]tenant.AuditEntry, len(entries))
	for i, e := range entries {
		chain, err := hex.DecodeString(e.Chain)
		if err != nil {
			return nil, fmt.Errorf("row %d of the list, %s, has no chain that can be read", i+1, e.ID)
		}
		rows[i] = tenant.AuditEntry{
			Time: e.Time, Tenant: tenant.ID(e.TenantID), Actor: e.Actor, Address: e.Address, RequestID: e.RequestID,
			Action: e.Action, Target: e.Target, Outcome: e.Outcome, Detail: e.Detail, Count: e.Count, First: e.First, Last: e.Last, Chain: chain,
		}
		if err := rows[i].SetID(e.ID); err != nil {
			return nil, fmt.Errorf("row %d of the list: %w", i+1, err)
		}
	}
	return rows, nil
}

// stillThere looks for the ends of chains that were noted before.
func stillThere(rows []tenant.AuditEntry, noted []string) error {
	there := map[string]bool{}
	for i := range rows {
		there[hex.EncodeToString(rows[i].Chain)] = true
	}
	for _, head := range noted {
		if !there[head] {
			return fmt.Errorf("the end %s that was noted before is in no chain any more: rows were taken off its end, or it is so old that it has gone", head)
		}
	}
	return nil
}
