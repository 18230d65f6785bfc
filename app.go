// Command waggle is a multi-tenant vector search engine: `waggle serve` runs a
// node, everything else is a client of one.
//
// This file is the table of contents of a node: what it is composed of, in the
// order in which it starts. It is the only one that knows fx.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/cli"
	httpedge "github.com/hivehub/waggle/http"
)

func main() {
	os.Exit(cli.Run(context.Background(), cli.NewRoot(newServeCommand(os.Getenv, serve), newClusterInit(os.Getenv))))
}

// How long starting and stopping may take.
const (
	startTimeout = 10 * time.Minute // recovery of a long log
	stopTimeout  = 10 * time.Second
)

// serve runs a node until a signal ends it.
func serve(ctx context.Context, c Config) error {
	if err := checkBootstrapKeys(os.Getenv); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	tuneRuntime()
	app := fx.New(
		fx.NopLogger,
		fx.StartTimeout(startTimeout), fx.StopTimeout(stopTimeout),
		fx.Supply(c, fx.Annotate(ctx, fx.As(new(context.Context)))),
		fx.Provide(
			newLogger,
			lockDataDir,
			openListeners,       // ports, before anything is written
			takePlace,           // who this node is; an empty one of a cluster joins
			openDataDir,         // the secret
			newKeyDirectory,     // who a key belongs to
			actors.NewHubLimits, // what its tenant may use
			newNetwork,          // the way to the other nodes
			startNode,           // node log, partitions, replica actors
			startHub,            // tenants, plans, keys; born if need be
			startRemoteHub,      // or what a hub elsewhere knows
			joinOthers,          // peers, Consul, placement
			startQuotas,         // limits for every write
			openTally,           // counts what is read
			startGrains,         // collections
			startReporter,       // tells the hub what is used
			startLogs,           // what is asked for
			startTracing,        // where it goes
			startEdge,           // HTTP
		),
		fx.Invoke(func(_ *httpedge.Server) {}, announce),
	)
	if err := app.Err(); err != nil {
		return dig.RootCause(err)
	}
	// Everything runs by now; a signal from here on is a stop like any other.
	if err := app.Start(context.WithoutCancel(ctx)); err != nil {
		return dig.RootCause(err)
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return app.Stop(stop)
}
