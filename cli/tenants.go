package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
	"github.com/hivehub/waggle/tenant"
)

func newTenants() *cobra.Command {
	s := &session{}
	cmd := newGroup("tenants", "Create, change, list and delete tenants")
	s.bind(cmd)
	cmd.AddCommand(
		s.createTenant(), s.listTenants(), s.showTenant(), s.setTenantPlan(),
		s.changeTenant("suspend", "Stop serving a tenant, and keep all it has",
			"Stop serving a tenant, and keep all it has: its keys answer TENANT_SUSPENDED,\nbut an ADMIN key still reads the usage and exports.", (*client.Client).SuspendTenant),
		s.changeTenant("resume", "Serve a suspended tenant again", "", (*client.Client).ResumeTenant),
		s.deleteTenant(), s.certificate(),
	)
	return cmd
}

func (s *session) createTenant() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a tenant and print its id",
		Example: "  waggle tenants create acme --plan pro",
		Args:    cobra.ExactArgs(1),
	}
	plan := cmd.Flags().String("plan", tenant.PlanFree, "free, pro, enterprise or one of your own (waggle plans list)")
	completeFlag(cmd, "plan", tenant.PlanFree, tenant.PlanPro, tenant.PlanEnterprise)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		t, err := c.CreateTenant(cmd.Context(), args[0], *plan)
		if err != nil {
			return advise(err)
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
		Use:     "list",
		Short:   "List the tenants, oldest first",
		Example: "  waggle tenants list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			tenants, err := c.ListTenants(cmd.Context())
			if err != nil {
				return advise(err)
			}
			object := struct {
				Tenants []client.Tenant `json:"tenants"`
			}{append([]client.Tenant{}, tenants...)}
			return s.print(cmd, object, func(w io.Writer) error { return tenantTable(w, tenants...) })
		},
	}
}

func (s *session) showTenant() *cobra.Command {
	return &cobra.Command{
		Use:     "show TENANT_ID",
		Short:   "Show a tenant",
		Example: "  waggle tenants show t_2xv7qk4m3ahd",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			t, err := c.GetTenant(cmd.Context(), args[0])
			if err != nil {
				return advise(err)
			}
			return s.print(cmd, t, func(w io.Writer) error {
				return table(w, "WHAT VALUE", [][]string{
					{"tenant", t.ID},
					{"name", t.Name},
					{"plan", t.Plan},
					{"status", t.Status},
					{"partition", strconv.FormatUint(uint64(t.Partition), 10)},
					{"created", date(t.CreatedAt)},
				})
			})
		},
	}
}

// changeTenant is a command that does one thing to a tenant.
func (s *session) changeTenant(verb, short, long string, do func(*client.Client, context.Context, string) (client.Tenant, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " TENANT_ID",
		Short:   short,
		Long:    long,
		Example: "  waggle tenants " + verb + " t_2xv7qk4m3ahd",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			t, err := do(c, cmd.Context(), args[0])
			if err != nil {
				return advise(err)
			}
			return s.print(cmd, t, func(w io.Writer) error { return tenantTable(w, t) })
		},
	}
}

func (s *session) setTenantPlan() *cobra.Command {
	return &cobra.Command{
		Use:     "plan TENANT_ID PLAN",
		Short:   "Put a tenant on another plan",
		Long:    "Put a tenant on another plan, from its next write on. Nothing of it is deleted,\neven when it has more than the plan allows: it can write again once it has less.",
		Example: "  waggle tenants plan t_2xv7qk4m3ahd enterprise",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			t, err := c.SetTenantPlan(cmd.Context(), args[0], args[1])
			if err != nil {
				return advise(err)
			}
			return s.print(cmd, t, func(w io.Writer) error { return tenantTable(w, t) })
		},
	}
}

func (s *session) deleteTenant() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete TENANT_ID",
		Short: "Delete a tenant and everything it has",
		Long: "Delete a tenant and everything it has. When the command returns, nobody can\n" +
			"read any of it; the bytes go in the background. There is no way back. It asks\n" +
			"first on a terminal, and elsewhere needs --yes.",
		Example: "  waggle tenants delete t_2xv7qk4m3ahd --yes",
		Args:    cobra.ExactArgs(1),
	}
	yes := bindYes(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		if err := confirm(cmd, *yes, "delete tenant "+args[0]+" and everything it has"); err != nil {
			return err
		}
		if err := c.DeleteTenant(cmd.Context(), args[0]); err != nil {
			return advise(err)
		}
		object := struct {
			ID     string `json:"tenant_id"`
			Status string `json:"status"`
		}{args[0], "deleting"}
		return s.print(cmd, object, func(w io.Writer) error { return line(w, "tenant %s deleted", args[0]) })
	}
	return cmd
}

func (s *session) certificate() *cobra.Command {
	return &cobra.Command{
		Use:   "certificate TENANT_ID",
		Short: "Print the signed certificate of what a deletion erased",
		Long: "Print the signed certificate of what the deletion of a tenant erased: a JSON\n" +
			"document, the same with and without --json. It is there once all is gone.",
		Example: "  waggle tenants certificate t_2xv7qk4m3ahd >erasure.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			certificate, err := c.Erasure(cmd.Context(), args[0])
			if err != nil {
				return advise(err)
			}
			return s.print(cmd, certificate, func(w io.Writer) error {
				var text bytes.Buffer
				if err := json.Indent(&text, certificate, "", "  "); err != nil {
					return err
				}
				return line(w, "%s", text.String())
			})
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
