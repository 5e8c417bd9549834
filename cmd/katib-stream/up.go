package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/embedded"
	"github.com/katib-stream/katib-stream/internal/natsconn"
)

type upOptions struct {
	consumerOptions
	data        string
	host        string
	port        int
	monitorPort int
	katib       dbManagerOptions
	output      cli.Format
	// sized says that the user chose the streams' sizes.
	sized bool
}

func newUpCommand(a *app) *cobra.Command {
	o := upOptions{consumerOptions: consumerOptions{nats: natsconn.Config{Name: "katib-stream up"}}}
	command := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine: NATS, a database, the consumer and the db-manager",
		Long: `Run everything in this process, in the foreground, until Ctrl-C or SIGTERM: an embedded NATS server with JetStream, an
embedded SQLite database, the consumer, and the db-manager that Katib and its SDK speak to. What is stored stays in the
data folder, also through a kill -9.

A NATS server of your own (--server or --context) or a database of your own (--db, or Katib's DB_NAME variables) takes the
place of the embedded one.`,
		Example: `  katib-stream up
  katib-stream up --data /var/lib/katib-stream --host 0.0.0.0
  katib-stream up --db postgres://katib:secret@localhost/katib
  katib-stream up --server nats://nats:4222`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.check(command.Flags()); err != nil {
				return err
			}
			o.sized = changed(command.Flags(), "stream-max-bytes") || changed(command.Flags(), "dead-letter-max-bytes")
			return a.up(command.Context(), o)
		},
	}
	o.addUpFlags(command.Flags())
	return command
}

func (o *upOptions) addUpFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.data, "data", "katib-stream-data", "`folder` of everything that is kept")
	flags.StringVar(&o.host, "host", "127.0.0.1", "`address` where the embedded NATS server listens")
	flags.IntVar(&o.port, "port", 4222, "port of the embedded NATS server; 0 for any free one")
	flags.IntVar(&o.monitorPort, "monitor-port", 0, "port of the embedded NATS server's own monitoring; 0 for none")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` of /metrics, /healthz and /readyz; empty for none")
	o.nats.AddFlags(flags)
	flags.Lookup("server").Usage = "`URLs` of NATS servers, separated by commas, to be used in place of the embedded one"
	flags.Lookup("context").Usage = "`name` of a context saved by the nats CLI, to be used in place of the embedded NATS server"
	// A shell in which the variables of the other commands point here must not make `up` look for itself.
	cli.EnvNames(flags, "server", "KATIB_STREAM_UP_SERVERS")
	cli.EnvNames(flags, "context", "KATIB_STREAM_UP_CONTEXT")
	// Kubernetes sets KATIB_STREAM_PORT, to something else, beside a Service of the name katib-stream.
	cli.EnvNames(flags, "port", "KATIB_STREAM_UP_PORT")
	cli.OneOf(flags, "server", "context")
	addDatabaseFlag(flags, &o.database, ", or else a SQLite file in the data folder")
	o.addFlags(flags)
	o.katib.addFlags(flags, "127.0.0.1:6789")
	flags.Lookup("listen-address").Usage += "; empty for none"
	o.output.AddFlag(flags)
}

// check finds what cannot be meant, before anything is begun.
func (o *upOptions) check(flags *pflag.FlagSet) error {
	for _, name := range []string{"port", "monitor-port"} {
		if port, _ := flags.GetInt(name); port < 0 || port > 65535 {
			return usagef("--%s is %d, not 0 to 65535", name, port)
		}
	}
	var misplaced string
	if o.embedded() {
		// In the environment they may be meant for other commands.
		flags.Visit(func(flag *pflag.Flag) {
			if slices.Contains([]string{"creds", "user", "password", "token", "tls-ca", "tls-cert", "tls-key", "inbox-prefix"}, flag.Name) {
				misplaced = flag.Name
			}
		})
	}
	if misplaced != "" {
		return usagef("--%s is for a NATS server of your own, which --server or --context names; the embedded one asks nobody who they are", misplaced)
	}
	if err := o.katib.check(flags); err != nil {
		return err
	}
	return o.consumerOptions.check(flags)
}

// embedded says that no other NATS server is given.
func (o *upOptions) embedded() bool {
	return o.nats.InProcess != nil || o.nats.Servers == "" && o.nats.Context == ""
}

// up starts the parts in the order of an event's way backwards, and stops them in the opposite order: the consumer first.
func (a *app) up(ctx context.Context, o upOptions) error {
	unlock, err := lockFolder(o.data)
	if err != nil {
		return err
	}
	defer unlock()
	if o.database == "" && a.getenv("DB_NAME") == "" {
		o.database = "sqlite:" + filepath.Join(absolute(o.data), "katib.db")
	}
	db, err := a.openDatabase(ctx, o.consumerOptions)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	monitoring := ""
	if o.embedded() {
		server, err := a.startNATS(o)
		if err != nil {
			return err
		}
		defer server.Shutdown()
		o.nats = natsconn.Config{Name: o.nats.Name, Servers: server.URL(), InProcess: server}
		o.fit(a, server.Room())
		monitoring = server.MonitorURL()
	}
	if o.katib.address != "" {
		o.consumerOptions.katib = &o.katib
	}
	return a.serve(ctx, db, o.consumerOptions, func(places places) {
		places.Monitoring = monitoring
		if err := a.printPlaces(o, places); err != nil {
			a.log.Warn("nobody can be told where everything is", "error", err)
		}
	})
}

func (a *app) startNATS(o upOptions) (*embedded.Server, error) {
	server, err := embedded.Start(embedded.Config{
		Dir: filepath.Join(o.data, "nats"), Host: o.host, Port: o.port, MonitorPort: o.monitorPort, Logger: a.log,
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w; give another with --port or --monitor-port, or use that NATS server with --server", err)
	}
	return server, err
}

// fit makes streams whose size nobody chose small enough for the disk; NATS refuses larger ones.
func (o *upOptions) fit(a *app, room int64) {
	stream, deadLetters := cli.Size(room/10*8), cli.Size(room/10)
	if o.sized || stream >= o.streamBytes && deadLetters >= o.deadLetterBytes {
		return
	}
	o.streamBytes, o.deadLetterBytes = min(stream, o.streamBytes), min(deadLetters, o.deadLetterBytes)
	a.log.Info("the disk is small; new streams will be, too", "stream_max_bytes", int64(o.streamBytes), "dead_letter_max_bytes", int64(o.deadLetterBytes))
}
