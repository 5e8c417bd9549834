package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

type statusOptions struct {
	client
	trial    string
	database string
}

func newStatusCommand(a *app) *cobra.Command {
	var o statusOptions
	command := &cobra.Command{
		Use:   "status TRIAL",
		Short: "Show how much of a trial is stored and persisted",
		Long: `Show, for each producer of a trial, how many messages the stream holds, how many are persisted in Katib DB, how many are
on their way, and up to which number nothing is left out (the watermark); how many numbers are missing, because they
never reached the stream; how many messages are dead letters; and whether the producer said that its run ended.

The stream may hold fewer messages than are persisted, for it is trimmed, or more, for what is sent twice can be stored
twice. Without a database it only shows what the stream holds. It waits for nothing: that is ` + "`katib-stream flush`.",
		Example: `  katib-stream status my-trial --db postgres://katib:secret@postgres/katib
  katib-stream status my-trial --db sqlite:katib.db -o json
  katib-stream status my-trial                      only what the stream holds`,
		Args: onlyATrial,
		RunE: func(command *cobra.Command, args []string) error {
			o.trial = args[0]
			if err := schema.ValidateTrial(o.trial); err != nil {
				return usageError{err}
			}
			return a.status(command.Context(), o)
		},
	}
	flags := command.Flags()
	o.addFlags(flags, "status")
	addDatabaseFlag(flags, &o.database, ", or none")
	return command
}

func (a *app) status(ctx context.Context, o statusOptions) error {
	var db *katibdb.DB
	if o.database != "" || a.getenv("DB_NAME") != "" {
		cfg, err := a.databaseConfig(o.database)
		if err != nil {
			return err
		}
		if err := cfg.Missing(); err != nil {
			return fmt.Errorf("%w; check --db", err)
		}
		if db, err = katibdb.Open(ctx, cfg); err != nil {
			return err
		}
		defer a.closeDatabase(db)
	}
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	reading := statusReading{statusOptions: o, db: db, producers: map[schema.Subject]*producerStatus{}}
	found, err := reading.read(ctx, nc)
	if err != nil {
		return err
	}
	if db == nil {
		fmt.Fprintln(a.stderr, "katib-stream: status: no database is given with --db or Katib's variables, so this is only what the stream holds")
	}
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, found)
	}
	return a.printStatus(found)
}

// unknownTrial is the error when neither the stream nor the database, if it was asked, knows the trial.
func (o statusOptions) unknownTrial(asked bool) error {
	if !asked {
		return fmt.Errorf("the stream holds nothing of trial %s, and no database is given; `katib-stream trials` lists what the stream holds", o.trial)
	}
	return fmt.Errorf("neither the stream nor the database knows trial %s; `katib-stream trials` lists what the stream holds", o.trial)
}

// trialStatus is what status prints.
type trialStatus struct {
	Trial string `json:"trial"`
	// Persisted says that everything that the stream holds is in the database; null without a database.
	Persisted *bool `json:"persisted"`
	// Stored is how many messages the stream holds, and Pending how many of them are on their way to the database.
	Stored  uint64 `json:"stored"`
	Pending uint64 `json:"pending"`
	// DeletedAt is when a trial of this name was last deleted.
	DeletedAt *time.Time        `json:"deleted_at,omitempty"`
	Producers []*producerStatus `json:"producers"`

	strays uint64 // messages on subjects that are no producer's
}

// producerStatus is one writer of the trial.
type producerStatus struct {
	Namespace string `json:"namespace"`
	Producer  string `json:"producer"`
	Stored    uint64 `json:"stored"`
	Ended     bool   `json:"ended"`
	*databaseStatus

	highest uint64              // number that the stream holds
	pending map[uint64]struct{} // numbers on their way
}

// databaseStatus is what only the database knows of a producer.
type databaseStatus struct {
	Persisted   uint64 `json:"persisted"`
	Pending     uint64 `json:"pending"`
	Watermark   uint64 `json:"watermark"`
	Missing     uint64 `json:"missing"`
	DeadLetters uint64 `json:"dead_letters"`
	Events      uint64 `json:"events"`
	Deleted     bool   `json:"deleted"`
}
