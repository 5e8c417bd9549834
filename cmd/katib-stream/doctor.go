package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/doctor"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/schema"
)

type doctorOptions struct {
	doctor.Config
	database                     string
	streamBytes, deadLetterBytes cli.Size
	strict                       bool
	format                       cli.Format
}

func newDoctorCommand(a *app) *cobra.Command {
	o := doctorOptions{Config: doctor.Config{NATS: natsconn.Config{Name: "katib-stream doctor"}}}
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Check a deployment, and say how to mend it",
		Long: `Check what a deployment can get wrong, from NATS to the database, and say beneath each finding how to mend it: servers
and their versions, permissions, the streams and the consumer against what they should be, who runs, dead letters,
migrations, Katib's table, ids that end, durability, clocks. Without a database it checks NATS alone.

A failure loses events or keeps them from being persisted, and ends it with status 1. What cannot be reached, or must not
be asked, is skipped, and the rest is checked. It stores and takes nothing; permissions are tried with messages that
JetStream refuses. With --fix it mends what loses nothing by it: it makes what is missing, migrates, and brings settings
that lose events back. It never deletes, and never lowers a limit.`,
		Example: `  katib-stream doctor --server nats://nats:4222 --db postgres://katib:secret@postgres/katib
  katib-stream doctor --fix --replicas 3            make what is missing, too
  katib-stream doctor --role producer --namespace kubeflow --creds pod.creds
  katib-stream doctor --strict -o json`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return a.doctor(command.Context(), o)
		},
	}
	flags := command.Flags()
	addNATSFlags(flags, &o.NATS)
	addDatabaseFlag(flags, &o.database, ", or none")
	flags.StringVar(&o.Role, "role", "consumer", "whose permissions the user of NATS must have: "+strings.Join(doctor.Roles, ", "))
	flags.StringVar(&o.Namespace, "namespace", "default", "the `namespace` that a producer's permissions are tried in")
	flags.DurationVar(&o.Timeout, "timeout", 10*time.Second, "how long each check may take")
	flags.BoolVar(&o.Fix, "fix", false, "mend what loses nothing by it")
	flags.BoolVar(&o.strict, "strict", false, "end with status 1 on warnings, too")
	o.streamBytes, o.deadLetterBytes = 10<<30, 1<<30
	flags.Var(&o.streamBytes, "stream-max-bytes", "size at which a stream that --fix makes refuses messages")
	flags.Var(&o.deadLetterBytes, "dead-letter-max-bytes", "the same for the dead letters' stream")
	flags.IntVar(&o.Streams.Replicas, "replicas", 1, "copies of the streams that --fix makes, 3 in a cluster")
	o.format.AddFlag(flags)
	return command
}

// check finds what cannot be meant, before anything is asked.
func (o *doctorOptions) check() error {
	if o.Timeout <= 0 {
		return usagef("--timeout is %v, not above 0", o.Timeout)
	}
	if !slices.Contains(doctor.Roles, o.Role) {
		return usagef("--role is %q, none of %s", o.Role, strings.Join(doctor.Roles, ", "))
	}
	if err := schema.ValidateNamespace(o.Namespace); err != nil {
		return usageError{err}
	}
	if o.Streams.Replicas < 1 || o.streamBytes < 1 || o.deadLetterBytes < 1 {
		return usagef("--replicas, --stream-max-bytes and --dead-letter-max-bytes must be above 0")
	}
	o.Streams.MaxBytes, o.Streams.DeadLetterMaxBytes = int64(o.streamBytes), int64(o.deadLetterBytes)
	if _, err := consumer.New(nil, nil, consumer.Config{Streams: o.Streams}); err != nil { // it touches neither
		return usageError{err}
	}
	return nil
}

func (a *app) doctor(ctx context.Context, o doctorOptions) error {
	if o.database != "" || a.getenv("DB_NAME") != "" {
		cfg, err := a.databaseConfig(o.database)
		if err != nil {
			return err
		}
		cfg.Logger = nil // what it would log is in the report
		o.Database = &cfg
	}
	o.Version = version
	report, err := doctor.Run(ctx, o.Config)
	if err != nil {
		return err
	}
	if o.format == cli.JSON {
		err = cli.WriteJSON(a.stdout, report)
	} else {
		err = a.printReport(report)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if report.Count(doctor.Fail) > 0 || report.Unfixed() > 0 || o.strict && report.Count(doctor.Warn) > 0 {
		return exitStatus(statusError)
	}
	return nil
}
