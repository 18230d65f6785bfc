package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
	"github.com/hivehub/waggle/tenant"
)

func newTenants() *cobra.Command {
	s := &session{}
	cmd := newGroup("tenants", "Create, list and delete tenants")
	s.bind(cmd)
	cmd.AddCommand(s.createTenant(), s.listTenants(), s.deleteTenant())
	return cmd
}

func (s *session) createTenant() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a tenant and print its id",
		Example: "  waggle tenants create acme --plan pro",
		Args:    cobra.ExactArgs(1),
	}
	plan := cmd.Flags().String("plan", tenant.PlanFree, "free, pro or enterprise")
	completeFlag(cmd, "plan", tenant.PlanFree, tenant.PlanPro, tenant.PlanEnterprise)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		t, err := c.CreateTenant(cmd.Context(), args[0], *plan)
		if err != nil {
			return err
		}
		object := struct {
			ID string `json:"tenant_id"`
		}{t.ID}
		return s.print(cmd, object, func(w io.Writer) error { return tenantTable(w, t) })
	}
	return cmd
}

func (s *session) listTenants() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tenants, oldest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			tenants, err := c.ListTenants(cmd.Context())
			if err != nil {
				return err
			}
			object := struct {
				Tenants []client.Tenant `json:"tenants"`
			}{append([]client.Tenant{}, tenants...)}
			return s.print(cmd, object, func(w io.Writer) error { return tenantTable(w, tenants...) })
		},
	}
}

func (s *session) deleteTenant() *cobra.Command {
	return &cobra.Command{
		Use:   "delete TENANT_ID",
		Short: "Delete a tenant and everything it has",
		Long:  "Delete a tenant and everything it has. When the command returns, nobody can\nread any of it; the bytes go in the background. There is no way back.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			if err := c.DeleteTenant(cmd.Context(), args[0]); err != nil {
				return err
			}
			object := struct {
				ID     string `json:"tenant_id"`
				Status string `json:"status"`
			}{args[0], "deleting"}
			return s.print(cmd, object, func(w io.Writer) error { return line(w, "tenant %s deleted", args[0]) })
		},
	}
}

func tenantTable(w io.Writer, tenants ...client.Tenant) error {
	rows := make([][]string, 0, len(tenants))
	for _, t := range tenants {
		rows = append(rows, []string{t.ID, t.Name, t.Plan, t.Status, date(t.CreatedAt)})
	}
	return table(w, "TENANT NAME PLAN STATUS CREATED", rows)
}

// completeFlag makes the shell offer words for a flag.
func completeFlag(cmd *cobra.Command, name string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("BUG: " + err.Error())
	}
}
