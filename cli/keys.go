package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
	"github.com/hivehub/waggle/tenant"
)

func newKeys() *cobra.Command {
	s := &session{}
	cmd := newGroup("keys", "Create, list, rotate and revoke access keys")
	s.bind(cmd)
	cmd.AddCommand(s.createKey(), s.listKeys(), s.showKey(), s.rotateKey(), s.revokeKey())
	return cmd
}

// keyFlags are what a key is to be good for, as it is typed.
type keyFlags struct {
	key     client.NewKey
	expires string
	rates   client.Rates
}

func (f *keyFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.key.TenantID, "tenant", "", "tenant id (required, except for a service key)")
	flags.StringVar(&f.key.Permission, "permission", string(tenant.ReadWrite), "ADMIN, READ_WRITE, READ_ONLY or MCP")
	flags.StringVar(&f.key.Kind, "kind", "tenant", "tenant, mcp (good at /mcp only) or service (for the hub's API)")
	flags.StringVar(&f.key.Name, "name", "", "a name, to tell keys apart; that of the service for a service key")
	flags.StringSliceVar(&f.key.Collections, "collections", nil, "only collections whose names match one of these patterns, such as docs,logs-*")
	flags.StringSliceVar(&f.key.AllowedIPs, "ips", nil, "only from these addresses and prefixes, such as 10.0.0.0/8,2001:db8::1")
	flags.StringVar(&f.expires, "expires", "", "end of the key: a time such as 2030-12-31T23:59:59Z, a date, or a span such as 90d or 12h (default never)")
	flags.Int64Var(&f.rates.PerMinute, "per-minute", -1, "requests a minute; -1 is those of the plan")
	flags.Int64Var(&f.rates.PerHour, "per-hour", -1, "requests an hour; -1 is those of the plan")
	flags.Int64Var(&f.rates.PerDay, "per-day", -1, "requests a day; -1 is those of the plan")
	flags.BoolVar(&f.key.Test, "test", false, "make a hh_test_ key, which differs in its first letters alone")
	completeFlag(cmd, "permission", string(tenant.Admin), string(tenant.ReadWrite), string(tenant.ReadOnly), string(tenant.MCP))
	completeFlag(cmd, "kind", "tenant", "mcp", "service")
}

// newKey returns what was typed, checked as far as it can be here.
func (f *keyFlags) newKey(cmd *cobra.Command, now time.Time) (client.NewKey, error) {
	k := f.key
	switch k.Kind {
	case "service":
		if k.Name == "" {
			return k, fmt.Errorf("a service key needs --name, the name that the service gives in X-Service-Name")
		}
		if k.TenantID != "" {
			return k, fmt.Errorf("a service key belongs to no tenant: leave out --tenant")
		}
		if !cmd.Flags().Changed("permission") {
			k.Permission = ""
		}
	case "mcp":
		if !cmd.Flags().Changed("permission") {
			k.Permission = string(tenant.MCP)
		}
		fallthrough
	default:
		if k.TenantID == "" {
			return k, fmt.Errorf("whose key? give --tenant (waggle tenants list shows the ids)")
		}
	}
	if k.Kind == "tenant" {
		k.Kind = ""
	}
	if f.rates != (client.Rates{PerMinute: -1, PerHour: -1, PerDay: -1}) {
		k.Rates = &f.rates
	}
	if f.expires != "" {
		at, err := parseWhen(f.expires, now, 1)
		if err != nil {
			return k, fmt.Errorf("--expires: %w", err)
		}
		if !at.After(now) {
			return k, fmt.Errorf("--expires: %s is not in the future", at.UTC().Format(time.RFC3339))
		}
		k.ExpiresAt = at.UnixMilli()
	}
	return k, nil
}

// parseWhen reads a time, a date, or a span from now: forward when sign is 1,
// back when it is -1.
func parseWhen(text string, now time.Time, sign time.Duration) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	span, err := parseSpan(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time such as 2030-12-31T23:59:59Z, no date such as 2030-12-31 and no span such as 90d or 12h", text)
	}
	return now.Add(sign * span), nil
}

// parseSpan reads a duration that may be in whole days.
func parseSpan(text string) (time.Duration, error) {
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	return time.Duration(n) * 24 * time.Hour, err
}

func (s *session) createKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create an access key and print it, this once",
		Example: "  waggle keys create --tenant t_2xv7qk4m3ahd --permission READ_WRITE\n" +
			"  waggle keys create --tenant t_2xv7qk4m3ahd --permission READ_ONLY --collections 'docs,logs-*' --ips 10.0.0.0/8 --expires 90d\n" +
			"  waggle keys create --kind service --name gateway",
		Args: cobra.NoArgs,
	}
	flags := &keyFlags{}
	flags.bind(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		n, err := flags.newKey(cmd, time.Now())
		if err != nil {
			return err
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		k, err := c.CreateKey(cmd.Context(), n)
		if err != nil {
			return advise(err)
		}
		object := struct {
			ID  string `json:"key_id"`
			Key string `json:"key"`
		}{k.ID, k.Key}
		return s.print(cmd, object, func(w io.Writer) error {
			cmd.PrintErrln("Keep the key: it cannot be shown again.")
			return table(w, "ID PERMISSION KEY", [][]string{{k.ID, permissionOf(k), k.Key}})
		})
	}
	return cmd
}

func (s *session) listKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the keys of a tenant, or all keys, oldest first",
		Example: "  waggle keys list --tenant t_2xv7qk4m3ahd",
		Args:    cobra.NoArgs,
	}
	id := cmd.Flags().String("tenant", "", "only the keys of this tenant id")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		keys, err := c.ListKeys(cmd.Context(), *id)
		if err != nil {
			return advise(err)
		}
		object := struct {
			Keys []client.Key `json:"keys"`
		}{append([]client.Key{}, keys...)}
		return s.print(cmd, object, func(w io.Writer) error { return keyTable(w, keys) })
	}
	return cmd
}

func (s *session) showKey() *cobra.Command {
	return &cobra.Command{
		Use:     "show KEY_ID",
		Short:   "Show what a key is good for",
		Long:    "Show what a key is good for. The key itself cannot be shown again.",
		Example: "  waggle keys show k_fz3ka6wq7hx2m5tb",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			k, err := c.GetKey(cmd.Context(), args[0])
			if err != nil {
				return advise(err)
			}
			return s.print(cmd, k, func(w io.Writer) error { return keyDetails(w, k) })
		},
	}
}

func keyDetails(w io.Writer, k client.Key) error {
	every := func(list []string, none string) string {
		if len(list) == 0 {
			return none
		}
		return strings.Join(list, ", ")
	}
	rates := "those of the plan"
	if k.Rates != nil {
		rates = rateText(*k.Rates)
	}
	return table(w, "WHAT VALUE", [][]string{
		{"key", k.ID},
		{"begins with", k.Prefix + "..."},
		{"name", firstOf(k.Name, "-")},
		{"tenant", firstOf(k.TenantID, "-")},
		{"kind", k.Kind},
		{"permission", permissionOf(k)},
		{"collections", every(k.Collections, "all")},
		{"from", every(k.AllowedIPs, "anywhere")},
		{"rates", rates},
		{"created", date(k.CreatedAt)},
		{"rotated", date(k.RotatedAt)},
		{"expires", date(k.ExpiresAt)},
		{"revoked", date(k.RevokedAt)},
	})
}

func (s *session) rotateKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate KEY_ID",
		Short: "Make a key with the rights of another and print it, this once",
		Long: "Make a key with the rights of another and print it, this once. The other one\n" +
			"works on for the grace time, so that its users can change over; what answers\n" +
			"them says so in the headers X-API-Key-Deprecated and X-API-Key-Expires.",
		Example: "  waggle keys rotate k_fz3ka6wq7hx2m5tb --grace 24h\n" +
			"  waggle keys rotate k_fz3ka6wq7hx2m5tb --grace 0s",
		Args: cobra.ExactArgs(1),
	}
	grace := cmd.Flags().String("grace", "7d", "how long the old key works on: 0s to 90d")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		span, err := parseSpan(*grace)
		if err != nil || span < 0 {
			return fmt.Errorf("--grace: %q is no span such as 7d, 12h or 0s", *grace)
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		k, old, err := c.RotateKey(cmd.Context(), args[0], span)
		if err != nil {
			return advise(err)
		}
		object := struct {
			ID      string `json:"key_id"`
			Key     string `json:"key"`
			OldID   string `json:"old_key_id"`
			OldEnds int64  `json:"old_expires_at"`
		}{k.ID, k.Key, old.ID, ends(old)}
		return s.print(cmd, object, func(w io.Writer) error {
			cmd.PrintErrln("Keep the key: it cannot be shown again.")
			return table(w, "ID KEY OLD OLD_ENDS", [][]string{{k.ID, k.Key, old.ID, date(ends(old))}})
		})
	}
	return cmd
}

// ends is when a key ends, or has: 0 is never.
func ends(k client.Key) int64 {
	if k.RevokedAt != 0 {
		return k.RevokedAt
	}
	return k.ExpiresAt
}

func (s *session) revokeKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revoke KEY_ID",
		Short:   "End an access key, at once and for good",
		Example: "  waggle keys revoke k_fz3ka6wq7hx2m5tb",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			if err := c.RevokeKey(cmd.Context(), args[0]); err != nil {
				return advise(err)
			}
			object := struct {
				ID      string `json:"key_id"`
				Revoked bool   `json:"revoked"`
			}{args[0], true}
			return s.print(cmd, object, func(w io.Writer) error { return line(w, "key %s revoked", args[0]) })
		},
	}
	return cmd
}

// permissionOf is what a key may do, in one word.
func permissionOf(k client.Key) string {
	switch {
	case k.Operator:
		return "OPERATOR"
	case k.Kind == "service":
		return "SERVICE"
	}
	return k.Permission
}

func keyTable(w io.Writer, keys []client.Key) error {
	rows := make([][]string, 0, len(keys))
	for _, k := range keys {
		rows = append(rows, []string{
			k.ID, firstOf(k.TenantID, "-"), permissionOf(k), k.Prefix + "...",
			date(k.CreatedAt), date(k.ExpiresAt), date(k.RevokedAt),
		})
	}
	return table(w, "ID TENANT PERMISSION KEY CREATED EXPIRES REVOKED", rows)
}
