package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/dbmanager"
	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/katibdb"
)

// dbManagerOptions is what is said of a db-manager wherever it runs.
type dbManagerOptions struct {
	address  string
	report   string
	read     string
	readWait time.Duration
	readMax  cli.Size
	tls      dbmanager.TLSFiles
}

// dbManagerCommand is what `db-manager` is told.
type dbManagerCommand struct {
	dbManagerOptions
	nats           natsconn.Config
	database       string
	migrate        bool
	connectTimeout time.Duration
	listen         string
}

func newDBManagerCommand(a *app) *cobra.Command {
	o := dbManagerCommand{nats: natsconn.Config{Name: "katib-stream db-manager"}}
	command := &cobra.Command{
		Use:   "db-manager",
		Short: "Stand in for Katib's db-manager, on top of the stream",
		Long: `Stand in for Katib's db-manager, on top of the stream, until SIGTERM or SIGINT: Katib's controller, UI, sidecars and SDK
use it without a change. What they report is published, and answered when a consumer has persisted it. What they read is
complete, or an error: a read waits for what is on its way to the database.

It needs a consumer that runs somewhere. NATS may be away at the start and later; the database must answer within
--connect-timeout, as for Katib's own. Settings of the database are Katib's variables, or --db. Called by the name
katib-db-manager, the program is this command, and takes flags with one dash, too.

Katib's own clients speak plain text. With --grpc-tls-cert kubelet's gRPC probes do not work either; --listen has /healthz.`,
		Example: `  katib-stream db-manager --server nats://nats:4222 --db postgres://katib:secret@postgres/katib
  DB_NAME=mysql DB_PASSWORD=secret KATIB_STREAM_SERVERS=nats://nats:4222 katib-stream db-manager
  katib-stream db-manager --report accepted --read database --read-wait 30s`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.check(command.Flags()); err != nil {
				return err
			}
			return a.runDBManager(command.Context(), o)
		},
	}
	flags := command.Flags()
	addNATSFlags(flags, &o.nats)
	addDatabaseFlag(flags, &o.database, "")
	o.addFlags(flags, "0.0.0.0:6789")
	flags.DurationVar(&o.connectTimeout, "connect-timeout", time.Minute, "how long to wait for the database at the start")
	flags.BoolVar(&o.migrate, "migrate", true, "make the database's missing tables at the start")
	flags.StringVar(&o.listen, "listen", ":8081", "`address` of /metrics, /healthz and /readyz; empty for none")
	return command
}

// addFlags defines what can be said of a db-manager wherever it runs.
func (o *dbManagerOptions) addFlags(flags *pflag.FlagSet, address string) {
	flags.StringVar(&o.address, "listen-address", address, "`address` of Katib's gRPC interface")
	flags.StringVar(&o.report, "report", "persisted", "when a report is answered: persisted (in the database) or accepted (stored in the stream)")
	flags.StringVar(&o.read, "read", "complete", "what a read gives while NATS is away: complete (an error) or database (what is there, with a warning)")
	flags.DurationVar(&o.readWait, "read-wait", 10*time.Second, "how long a read waits for what is on its way to the database")
	o.readMax = 7 << 19
	flags.Var(&o.readMax, "read-max", "size of a reply, at most; of a longer log a part of the points is given. gRPC's clients take 4MiB")
	flags.StringVar(&o.tls.Cert, "grpc-tls-cert", "", "`file` with the certificate of the gRPC interface; without it, it speaks plain text")
	flags.StringVar(&o.tls.Key, "grpc-tls-key", "", "`file` with the key of that certificate")
	flags.StringVar(&o.tls.ClientCA, "grpc-tls-client-ca", "", "`file` with the certificate authority of the clients that are let in (mutual TLS)")
}

// check finds what cannot be meant, before anything is begun.
func (o *dbManagerCommand) check(flags *pflag.FlagSet) error {
	if o.connectTimeout <= 0 {
		return usagef("--connect-timeout is %v, not above 0", o.connectTimeout)
	}
	return o.dbManagerOptions.check(flags)
}

func (o *dbManagerOptions) check(flags *pflag.FlagSet) error {
	// dbmanager.Config takes 0 for its default; nobody who writes 0 means that.
	for _, name := range []string{"read-wait", "read-max"} {
		if value := flags.Lookup(name).Value.String(); value == "0" || value == "0s" {
			return usagef("--%s is %s; it must be above 0", name, value)
		}
	}
	switch {
	case o.report != "persisted" && o.report != "accepted":
		return usagef("--report is %q, neither persisted nor accepted", o.report)
	case o.read != "complete" && o.read != "database":
		return usagef("--read is %q, neither complete nor database", o.read)
	case (o.tls.Cert == "") != (o.tls.Key == ""):
		return usagef("--grpc-tls-cert and --grpc-tls-key need each other")
	case o.tls.ClientCA != "" && o.tls.Cert == "":
		return usagef("--grpc-tls-client-ca needs --grpc-tls-cert and --grpc-tls-key")
	}
	if _, err := dbmanager.New(nil, nil, nil, o.config()); err != nil { // it touches none of them
		return usageError{err}
	}
	return nil
}

// config is the db-manager's configuration, but for what a service adds.
func (o *dbManagerOptions) config() dbmanager.Config {
	return dbmanager.Config{
		ReportAccepted: o.report == "accepted", ReadDatabase: o.read == "database", ReadWait: o.readWait, ReadMax: int(o.readMax),
	}
}

// newDBManager makes a db-manager that does not run yet; it needs neither NATS nor the database.
func (a *app) newDBManager(js jetstream.JetStream, db *katibdb.DB, b *barrier.Barrier, r prometheus.Registerer, o dbManagerOptions) (*dbmanager.Server, error) {
	cfg := o.config()
	cfg.Logger, cfg.Registerer = a.log, r
	var err error
	if cfg.TLS, err = o.tls.Config(); err != nil {
		return nil, err
	}
	return dbmanager.New(js, db, b, cfg)
}

// listenGRPC takes the port of Katib's gRPC interface.
func (o *dbManagerOptions) listenGRPC() (net.Listener, error) {
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		return nil, fmt.Errorf("listen for Katib's gRPC interface: %w; give another address with --listen-address", err)
	}
	return listener, nil
}

// runDBManager serves until ctx ends.
func (a *app) runDBManager(ctx context.Context, o dbManagerCommand) error {
	cfg, err := a.databaseConfig(o.database)
	if err != nil {
		return err
	}
	db, err := katibdb.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	nc, err := natsconn.Connect(ctx, o.nats, a.log)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	s := &dbManagerService{app: a, options: o, js: js, db: db}
	return s.run(ctx)
}

// serveDBManager answers until ctx ends. The barrier goes on until the last report has its answer.
func serveDBManager(ctx context.Context, s *dbmanager.Server, b *barrier.Barrier, listener net.Listener) error {
	waiting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Run(waiting) })
	group.Go(func() error {
		defer stop()
		return s.Run(ctx, listener)
	})
	return group.Wait()
}
