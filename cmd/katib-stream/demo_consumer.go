package main

import (
	"context"
	"io"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/natsconn"
)

// newDemoConsumerCommand is the demo's consumer process: what `consumer` runs, with two differences. It can kill itself,
// and it ends with its standard input, so that it does not outlive the demo, however that ends.
func newDemoConsumerCommand(a *app) *cobra.Command {
	o := consumerOptions{nats: natsconn.Config{Name: "katib-stream demo consumer"}, listen: "127.0.0.1:0"}
	var killAt int
	command := &cobra.Command{
		Use:     "consumer",
		Short:   "Be the demo's consumer",
		Long:    "Be the demo's consumer, until standard input ends. The demo starts it; it is of no other use.",
		Example: "  katib-stream demo consumer --db sqlite:katib.db --kill-at 4",
		Hidden:  true,
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.check(command.Flags()); err != nil {
				return err
			}
			if killAt > 0 {
				o.consumer.AfterCommit = dieAtCommit(killAt)
			}
			return a.runDemoConsumer(command.Context(), o)
		},
	}
	flags := command.Flags()
	addNATSFlags(flags, &o.nats)
	addDatabaseFlag(flags, &o.database, "")
	o.addFlags(flags)
	flags.IntVar(&killAt, "kill-at", 0, "commit at which this process kills itself, before it acknowledges; 0 for none")
	return command
}

// dieAtCommit is a failpoint: at the commit of that number the process dies, as by kill -9, with nothing acknowledged.
func dieAtCommit(number int) func() {
	var commits atomic.Int64
	return func() {
		if commits.Add(1) < int64(number) {
			return
		}
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			panic(err) // dying otherwise is as good
		}
		select {} // the kill is under way; no acknowledgement may overtake it
	}
}

// consumerReady is what the demo's consumer prints once it works.
type consumerReady struct {
	HTTP string `json:"http"`
}

func (a *app) runDemoConsumer(ctx context.Context, o consumerOptions) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// Nothing interrupts a read of standard input: if ctx ends first, this goroutine ends with the process.
	go func() {
		_, _ = io.Copy(io.Discard, a.stdin)
		stop()
	}()
	db, err := a.openDatabase(ctx, o)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	return a.serve(ctx, db, o, func(at places) {
		if err := cli.WriteJSON(a.stdout, consumerReady{HTTP: at.HTTP}); err != nil {
			a.log.Warn("nobody can be told where HTTP is", "error", err)
		}
	})
}
