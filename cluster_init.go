package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/hubsvc"
)

// newClusterInit is `waggle cluster init`: the birth of a cluster, without
// serving it.
func newClusterInit(env func(string) string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new cluster in an empty data directory",
		Long: "Make a new cluster in an empty data directory and write down its first keys.\n" +
			"The first `waggle serve` on an empty directory does the same for a node that is\n" +
			"alone; this is for one that is started with cluster flags from the beginning.",
		Args: cobra.NoArgs,
	}
	path := cmd.Flags().String("config", "", "configuration file (HCL)")
	data := cmd.Flags().String("data", DefaultConfig().DataDir, "data directory")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		overrides := map[string]string{}
		if cmd.Flags().Changed("data") {
			overrides["data_dir"] = *data
		}
		c, err := LoadConfig(*path, env, overrides)
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			return err
		}
		return initCluster(cmd.Context(), c)
	}
	return cmd
}

// initCluster brings a node up as far as its hub, and down again.
func initCluster(ctx context.Context, c Config) error {
	if err := checkBootstrapKeys(os.Getenv); err != nil {
		return err
	}
	app := fx.New(
		fx.NopLogger,
		fx.StartTimeout(startTimeout), fx.StopTimeout(stopTimeout),
		fx.Supply(c, fx.Annotate(ctx, fx.As(new(context.Context)))),
		fx.Provide(newLogger, lockDataDir, emptyPlace, openDataDir, newKeyDirectory, actors.NewHubLimits, newNetwork, startNode, startHub),
		fx.Invoke(func(hub *hubsvc.Embedded, k *firstKeys, log *slog.Logger) {
			k.tell(log)
			cluster, _ := hub.Cluster()
			fmt.Printf("cluster %s in %s\n", cluster.ID, c.DataDir)
		}),
	)
	if err := app.Err(); err != nil {
		return dig.RootCause(err)
	}
	if err := app.Start(ctx); err != nil {
		return dig.RootCause(err)
	}
	return app.Stop(ctx)
}

// emptyPlace refuses a directory that has a cluster already.
func emptyPlace(dir *lockedDir) (*standing, error) {
	if dir.born {
		return nil, fmt.Errorf("%s has a cluster already; choose an empty --data", dir.path)
	}
	return &standing{}, nil
}
