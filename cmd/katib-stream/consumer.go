package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/katibdb"
)

// consumerOptions is what `consumer` is told, and `up` of its own consumer.
type consumerOptions struct {
	nats     natsconn.Config
	database string
	consumer consumer.Config
	listen   string
	migrate  bool
	katib    *dbManagerOptions // nil without Katib's gRPC interface

	batchBytes, streamBytes, deadLetterBytes cli.Size
}

func newConsumerCommand(a *app) *cobra.Command {
	o := consumerOptions{nats: natsconn.Config{Name: "katib-stream consumer"}}
	command := &cobra.Command{
		Use:   "consumer",
		Short: "Take messages from the stream to Katib DB",
		Long: `Take messages from the stream to Katib DB, each event exactly once, until SIGTERM or SIGINT.

Any number of replicas share the work. When NATS or the database is away, at the start or later, it says so and keeps
trying; nothing is lost meanwhile. It makes the streams where they do not exist.`,
		Example: `  katib-stream consumer --server nats://nats:4222 --db postgres://katib:secret@postgres/katib
  DB_NAME=mysql DB_PASSWORD=secret KATIB_MYSQL_DB_HOST=katib-mysql katib-stream consumer --context prod
  katib-stream consumer --db sqlite:katib.db --workers 1 --log-format json`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.check(command.Flags()); err != nil {
				return err
			}
			if a.limitMemory != nil && a.getenv("GOMEMLIMIT") == "" {
				a.limitMemory(o.config().Memory())
			}
			return a.runConsumer(command.Context(), o)
		},
	}
	flags := command.Flags()
	addNATSFlags(flags, &o.nats)
	addDatabaseFlag(flags, &o.database, "")
	o.addFlags(flags)
	flags.StringVar(&o.listen, "listen", ":8080", "`address` of /metrics, /healthz and /readyz; empty for none")
	return command
}

// addFlags defines what can be said of a consumer wherever it runs.
func (o *consumerOptions) addFlags(flags *pflag.FlagSet) {
	c := &o.consumer
	flags.IntVar(&c.Workers, "workers", 4, "batches committed at the same time, 1 to 256")
	flags.IntVar(&c.BatchMessages, "batch-messages", 4_000, "messages of a transaction, at most")
	o.batchBytes = 2 << 20
	flags.Var(&o.batchBytes, "batch-bytes", "size of the messages of a transaction, at most")
	flags.IntVar(&c.BatchRows, "batch-rows", 20_000, "rows of a transaction, at most")
	flags.DurationVar(&c.BatchWait, "batch-wait", 5*time.Millisecond, "how long a batch that is not full waits for more")
	flags.DurationVar(&c.AckWait, "ack-wait", 30*time.Second, "pause before the messages of a crashed consumer are delivered again")
	flags.DurationVar(&c.CommitTimeout, "commit-timeout", 30*time.Second, "how long an attempt to commit may take before it counts as failed, at first")
	flags.DurationVar(&c.StopTimeout, "stop-timeout", 20*time.Second, "how long batches under way may take to end on SIGTERM")
	flags.DurationVar(&c.History, "history", 7*24*time.Hour, "how long persisted messages stay in the stream")
	flags.DurationVar(&c.JanitorEvery, "janitor-every", time.Minute, "pause between two looks at what can be trimmed from the stream")
	o.streamBytes, o.deadLetterBytes = 10<<30, 1<<30
	flags.Var(&o.streamBytes, "stream-max-bytes", "size at which the stream refuses messages; counts when it is made")
	flags.Var(&o.deadLetterBytes, "dead-letter-max-bytes", "the same for the dead letters' stream")
	flags.IntVar(&c.Streams.Replicas, "replicas", 1, "copies of the streams, 3 in a cluster; counts when they are made")
	flags.DurationVar(&c.Streams.DuplicateWindow, "duplicate-window", 2*time.Minute, "for how long the server itself recognises repeated messages; counts when the stream is made")
	flags.BoolVar(&o.migrate, "migrate", true, "make the database's missing tables at the start")
}

// config is the consumer's configuration, but for what a service adds.
func (o consumerOptions) config() consumer.Config {
	c := o.consumer
	c.BatchBytes = int(o.batchBytes)
	c.Streams.MaxBytes = int64(o.streamBytes)
	c.Streams.DeadLetterMaxBytes = int64(o.deadLetterBytes)
	return c
}

// check finds what cannot be meant, before anything is begun.
func (o consumerOptions) check(flags *pflag.FlagSet) error {
	// Consumer.Config takes 0 for its default; nobody who writes 0 means that.
	for _, name := range []string{
		"workers", "batch-messages", "batch-bytes", "batch-rows", "batch-wait", "ack-wait", "commit-timeout", "stop-timeout", "history",
		"janitor-every", "stream-max-bytes", "dead-letter-max-bytes", "replicas", "duplicate-window",
	} {
		if value := flags.Lookup(name).Value.String(); value == "0" || value == "0s" {
			return usagef("--%s is %s; it must be above 0", name, value)
		}
	}
	if _, err := consumer.New(nil, nil, o.config()); err != nil { // it touches neither
		return usageError{err}
	}
	return nil
}

// runConsumer consumes until ctx ends.
func (a *app) runConsumer(ctx context.Context, o consumerOptions) error {
	db, err := a.openDatabase(ctx, o)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	return a.serve(ctx, db, o, nil)
}

// serve connects and consumes until ctx ends. It tells ready where everything is, once it works.
func (a *app) serve(ctx context.Context, db *katibdb.DB, o consumerOptions, ready func(places)) error {
	listener, err := listen(o.listen)
	if err != nil {
		return err
	}
	if listener != nil {
		defer listener.Close()
	}
	var katibListener net.Listener
	if o.katib != nil {
		if katibListener, err = o.katib.listenGRPC(); err != nil {
			return err
		}
		defer katibListener.Close()
	}
	nc, err := natsconn.Connect(ctx, o.nats, a.log)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	s, err := a.newService(js, db, listener, o)
	if err != nil {
		return err
	}
	s.katibListener = katibListener
	if ready != nil {
		s.ready = func() { ready(s.places()) }
	}
	return s.run(ctx)
}

func (a *app) openDatabase(ctx context.Context, o consumerOptions) (*katibdb.DB, error) {
	cfg, err := a.databaseConfig(o.database)
	if err != nil {
		return nil, err
	}
	const others = 5 // the janitor's, the barrier's, and that for suspects
	cfg.MaxConns = max(1, o.consumer.Workers) + others
	return katibdb.Open(ctx, cfg)
}

func (a *app) closeDatabase(db *katibdb.DB) {
	if err := db.Close(); err != nil {
		a.log.Warn("the database was not closed cleanly; what is committed stays", "error", err)
	}
}
