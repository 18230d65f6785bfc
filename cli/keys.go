package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
	"github.com/hivehub/waggle/tenant"
)

func newKeys() *cobra.Command {
	s := &session{}
	cmd := newGroup("keys", "Create, list and revoke access keys")
	s.bind(cmd)
	cmd.AddCommand(s.createKey(), s.listKeys(), s.revokeKey())
	return cmd
}

func (s *session) createKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Create an access key of a tenant and print it, this once",
		Example: "  waggle keys create --tenant t_2xv7qk4m3ahd --permission READ_WRITE",
		Args:    cobra.NoArgs,
	}
	id := cmd.Flags().String("tenant", "", "tenant id (required)")
	permission := cmd.Flags().String("permission", string(tenant.ReadWrite), "ADMIN, READ_WRITE, READ_ONLY or MCP")
	completeFlag(cmd, "permission", string(tenant.Admin), string(tenant.ReadWrite), string(tenant.ReadOnly), string(tenant.MCP))
	if err := cmd.MarkFlagRequired("tenant"); err != nil {
		panic("BUG: " + err.Error())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		k, err := c.CreateKey(cmd.Context(), *id, *permission)
		if err != nil {
			return err
		}
		object := struct {
			ID  string `json:"key_id"`
			Key string `json:"key"`
		}{k.ID, k.Key}
		return s.print(cmd, object, func(w io.Writer) error {
			cmd.PrintErrln("Keep the key: it cannot be shown again.")
			return table(w, "ID PERMISSION KEY", [][]string{{k.ID, k.Permission, k.Key}})
		})
	}
	return cmd
}

func (s *session) listKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys of a tenant, or all keys, oldest first",
		Args:  cobra.NoArgs,
	}
	id := cmd.Flags().String("tenant", "", "only the keys of this tenant id")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		keys, err := c.ListKeys(cmd.Context(), *id)
		if err != nil {
			return err
		}
		object := struct {
			Keys []client.Key `json:"keys"`
		}{append([]client.Key{}, keys...)}
		return s.print(cmd, object, func(w io.Writer) error { return keyTable(w, keys) })
	}
	return cmd
}

func (s *session) revokeKey() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke KEY_ID",
		Short: "End an access key, at once and for good",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			if err := c.RevokeKey(cmd.Context(), args[0]); err != nil {
				return err
			}
			object := struct {
				ID      string `json:"key_id"`
				Revoked bool   `json:"revoked"`
			}{args[0], true}
			return s.print(cmd, object, func(w io.Writer) error { return line(w, "key %s revoked", args[0]) })
		},
	}
}

func keyTable(w io.Writer, keys []client.Key) error {
	rows := make([][]string, 0, len(keys))
	for _, k := range keys {
		owner, permission := k.TenantID, k.Permission
		if k.Operator {
			owner, permission = "-", "OPERATOR"
		}
		rows = append(rows, []string{k.ID, owner, permission, k.Prefix + "...", date(k.CreatedAt), date(k.RevokedAt)})
	}
	return table(w, "ID TENANT PERMISSION KEY CREATED REVOKED", rows)
}
