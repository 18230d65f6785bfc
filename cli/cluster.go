package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hivehub/waggle/client"
)

// newCluster is `waggle cluster`; local are the commands below it that work on
// this machine's data directory and not through a node.
func newCluster(local ...*cobra.Command) *cobra.Command {
	s := &session{}
	cmd := newGroup("cluster", "Look at the cluster, and let nodes in")
	s.bind(cmd)
	cmd.AddCommand(s.clusterStatus(), s.clusterNodes(), s.clusterPartitions(), s.clusterToken(), s.clusterRemove())
	cmd.AddCommand(local...)
	return cmd
}

func (s *session) clusterStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether all is well, and what is not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			h, err := c.ClusterHealth(cmd.Context())
			if err != nil {
				return err
			}
			return s.print(cmd, h, func(w io.Writer) error { return healthTable(w, h) })
		},
	}
}

func healthTable(w io.Writer, h client.ClusterHealth) error {
	away := "none"
	if len(h.NodesAway) > 0 {
		away = strings.Join(h.NodesAway, ", ")
	}
	rows := [][]string{
		{"status", h.Status},
		{"cluster", strings.TrimSpace(h.Cluster + " " + h.ClusterID)},
		{"asked", h.Node},
		{"hub leader", h.Leader},
		{"nodes", fmt.Sprintf("%d, away: %s", h.Nodes, away)},
		{"groups", fmt.Sprintf("%d, without a leader: %d, with missing copies: %d", h.Partitions, h.WithoutLeader, h.WithMissingCopies)},
		{"consul", h.Consul},
	}
	if h.Nodes == 2 {
		rows = append(rows, []string{"note", "two nodes are one copy that decides and one that follows: a third node makes the data survive the loss of one"})
	}
	return table(w, "WHAT STATE", rows)
}

func (s *session) clusterNodes() *cobra.Command {
	return &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			nodes, err := c.ClusterNodes(cmd.Context())
			if err != nil {
				return err
			}
			object := struct {
				Nodes []client.ClusterNode `json:"nodes"`
			}{append([]client.ClusterNode{}, nodes...)}
			return s.print(cmd, object, func(w io.Writer) error {
				var rows [][]string
				for _, n := range nodes {
					alive := "no"
					if n.Alive {
						alive = "yes"
					}
					rows = append(rows, []string{n.ID, strconv.FormatUint(uint64(n.Number), 10), n.Address, n.HTTP, n.State, alive, strconv.Itoa(n.Leads)})
				}
				return table(w, "ID NUMBER ADDRESS HTTP STATE ALIVE LEADS", rows)
			})
		},
	}
}

func (s *session) clusterPartitions() *cobra.Command {
	return &cobra.Command{
		Use:   "partitions",
		Short: "List the partitions and the system group, with who leads and who votes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			partitions, err := c.ClusterPartitions(cmd.Context())
			if err != nil {
				return err
			}
			object := struct {
				Partitions []client.ClusterPartition `json:"partitions"`
			}{append([]client.ClusterPartition{}, partitions...)}
			return s.print(cmd, object, func(w io.Writer) error {
				var rows [][]string
				for _, p := range partitions {
					rows = append(rows, []string{
						fmt.Sprint(p.ID), p.Leader, strings.Join(p.Voters, ","), strings.Join(p.Learners, ","), strconv.FormatUint(p.AppliedIndex, 10), p.Error,
					})
				}
				return table(w, "ID LEADER VOTERS LEARNERS APPLIED ERROR", rows)
			})
		},
	}
}

func (s *session) clusterRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Let a node go, and wait until nothing needs it",
		Long: "Let a node go: its replicas move to the other nodes, and it is no member any\n" +
			"more. Then its process can be stopped and its directory deleted. A node that is\n" +
			"dead can be removed, too.",
		Args: cobra.ExactArgs(1),
	}
	wait := cmd.Flags().Duration("wait", 10*time.Minute, "how long to wait until it is gone; 0 does not wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		if err := c.RemoveNode(cmd.Context(), args[0]); err != nil {
			return err
		}
		state := "leaving"
		if *wait > 0 {
			ctx, cancel := context.WithTimeout(cmd.Context(), *wait)
			defer cancel()
			if err := awaitGone(ctx, c, args[0]); err != nil {
				return err
			}
			state = "gone"
		}
		object := struct {
			ID    string `json:"id"`
			State string `json:"state"`
		}{args[0], state}
		return s.print(cmd, object, func(w io.Writer) error { return line(w, "node %s is %s", args[0], state) })
	}
	return cmd
}

// awaitGone asks until the node is not listed any more.
func awaitGone(ctx context.Context, c *client.Client, id string) error {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		nodes, err := c.ClusterNodes(ctx)
		if err == nil && !slices.ContainsFunc(nodes, func(n client.ClusterNode) bool { return n.ID == id }) {
			return nil
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return fmt.Errorf("node %s is leaving and still has replicas; waggle cluster partitions shows which", id)
		}
	}
}

func (s *session) clusterToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token with which one node can join, and print it, this once",
		Args:  cobra.NoArgs,
	}
	ttl := cmd.Flags().Duration("ttl", time.Hour, "how long it is good")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		token, err := c.CreateJoinToken(cmd.Context(), *ttl)
		if err != nil {
			return err
		}
		object := struct {
			Token string `json:"token"`
		}{token}
		return s.print(cmd, object, func(w io.Writer) error { return line(w, "%s", token) })
	}
	return cmd
}
