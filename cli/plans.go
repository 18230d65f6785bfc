package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

func newPlans() *cobra.Command {
	s := &session{}
	cmd := newGroup("plans", "List and change the plans: named sets of limits")
	s.bind(cmd)
	cmd.AddCommand(s.listPlans(), s.setPlan(), s.deletePlan())
	return cmd
}

func (s *session) listPlans() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the plans and their limits",
		Example: "  waggle plans list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			plans, err := c.ListPlans(cmd.Context())
			if err != nil {
				return advise(err)
			}
			object := struct {
				Plans []client.Plan `json:"plans"`
			}{append([]client.Plan{}, plans...)}
			return s.print(cmd, object, func(w io.Writer) error { return planTable(w, plans...) })
		},
	}
}

// setPlan changes only the limits that are given, so that raising one leaves
// the others as they are.
func (s *session) setPlan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Make a plan, or change limits of one",
		Long: "Make a plan, or change limits of one: its tenants have them from their next\n" +
			"write on. A limit that is not given stays as it is; a new plan has none.",
		Example: "  waggle plans set team --vectors 2000000 --storage 20GB --collections 20\n" +
			"  waggle plans set team --vectors unlimited",
		Args: cobra.ExactArgs(1),
	}
	limits := []planLimit{
		{"storage", "bytes of stored records, such as 50MB", parseBytes, func(p *client.Plan) *int64 { return &p.StorageBytes }},
		{"vectors", "points", parseCount, func(p *client.Plan) *int64 { return &p.Vectors }},
		{"collections", "collections", parseCount, func(p *client.Plan) *int64 { return &p.Collections }},
		{"per-minute", "requests a minute", parseCount, func(p *client.Plan) *int64 { return &p.PerMinute }},
		{"per-hour", "requests an hour", parseCount, func(p *client.Plan) *int64 { return &p.PerHour }},
		{"per-day", "requests a day", parseCount, func(p *client.Plan) *int64 { return &p.PerDay }},
	}
	for _, l := range limits {
		cmd.Flags().String(l.flag, "", l.what+", or unlimited")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		p, err := c.GetPlan(cmd.Context(), args[0])
		switch {
		case client.StatusOf(err) == 404:
			p = client.Plan{Name: args[0], StorageBytes: -1, Vectors: -1, Collections: -1, Rates: client.Rates{PerMinute: -1, PerHour: -1, PerDay: -1}}
		case err != nil:
			return advise(err)
		}
		for _, l := range limits {
			text, err := cmd.Flags().GetString(l.flag)
			if err != nil {
				return err
			}
			if text == "" {
				continue
			}
			if *l.of(&p), err = l.parse(text); err != nil {
				return fmt.Errorf("--%s: %w", l.flag, err)
			}
		}
		if p, err = c.PutPlan(cmd.Context(), p); err != nil {
			return advise(err)
		}
		return s.print(cmd, p, func(w io.Writer) error { return planTable(w, p) })
	}
	return cmd
}

// planLimit is one limit of a plan and its flag.
type planLimit struct {
	flag, what string
	parse      func(string) (int64, error)
	of         func(*client.Plan) *int64
}

func (s *session) deletePlan() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a plan that no tenant has",
		Example: "  waggle plans delete team --yes",
		Args:    cobra.ExactArgs(1),
	}
	yes := bindYes(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		if err := confirm(cmd, *yes, "delete plan "+args[0]); err != nil {
			return err
		}
		err = c.DeletePlan(cmd.Context(), args[0])
		if client.StatusOf(err) == 412 {
			return fmt.Errorf("%w; `waggle tenants list` shows who has it, `waggle tenants plan` gives another one", err)
		}
		if err != nil {
			return advise(err)
		}
		object := struct {
			Name    string `json:"name"`
			Deleted bool   `json:"deleted"`
		}{args[0], true}
		return s.print(cmd, object, func(w io.Writer) error { return line(w, "plan %s deleted", args[0]) })
	}
	return cmd
}

func planTable(w io.Writer, plans ...client.Plan) error {
	rows := make([][]string, 0, len(plans))
	for _, p := range plans {
		rows = append(rows, []string{p.Name, bytesText(p.StorageBytes), countText(p.Vectors), countText(p.Collections), rateText(p.Rates)})
	}
	return table(w, "PLAN STORAGE VECTORS COLLECTIONS RATES", rows)
}

const unlimited = "unlimited"

// units of bytes, largest first: powers of 1024, as everywhere in Waggle.
var units = []struct {
	name string
	size int64
}{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}}

func parseCount(text string) (int64, error) {
	if text == unlimited {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is neither a number nor %s", text, unlimited)
	}
	return n, nil
}

func parseBytes(text string) (int64, error) {
	for _, u := range units {
		if digits, ok := strings.CutSuffix(text, u.name); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil || n < 0 || n > (1<<62)/u.size {
				return 0, fmt.Errorf("%q is no number of bytes such as 50MB", text)
			}
			return n * u.size, nil
		}
	}
	return parseCount(text)
}

// countText writes a limit.
func countText(n int64) string {
	if n < 0 {
		return unlimited
	}
	return strconv.FormatInt(n, 10)
}

// bytesText writes a limit in the largest unit that keeps it exact.
func bytesText(n int64) string {
	for _, u := range units {
		if n > 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return countText(n)
}

// rateText writes rates, "unlimited" when there are none.
func rateText(r client.Rates) string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{r.PerMinute, "/min"}, {r.PerHour, "/h"}, {r.PerDay, "/day"}} {
		if p.n >= 0 {
			parts = append(parts, strconv.FormatInt(p.n, 10)+p.what)
		}
	}
	if len(parts) == 0 {
		return unlimited
	}
	return strings.Join(parts, " ")
}
