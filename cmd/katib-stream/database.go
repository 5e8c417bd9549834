package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/pflag"

	"github.com/katib-stream/katib-stream/katibdb"
)

// addDatabaseFlag defines --db; standard says in words what is used without it and without Katib's variables.
func addDatabaseFlag(flags *pflag.FlagSet, url *string, standard string) {
	flags.StringVar(url, "db", "", "Katib DB's `URL`: mysql://…, postgres://… or sqlite:PATH (default: Katib's own variables DB_NAME, DB_USER, …"+standard+")")
}

// databaseConfig is the database of --db, else that of Katib's variables.
func (a *app) databaseConfig(url string) (katibdb.Config, error) {
	var cfg katibdb.Config
	var err error
	if url != "" {
		if cfg, err = katibdb.ParseURL(url); err != nil {
			return cfg, usagef("--db: %w", err)
		}
	} else if cfg, err = katibdb.ConfigFromEnv(a.getenv); err != nil {
		return cfg, usagef("choose the database with --db or Katib's variables: %w", err)
	}
	cfg.Logger = a.log
	return cfg, nil
}

// migrateUntilDone migrates, as often as it takes: the database may be away, or its password wrong for now. It logs the
// first reason, and another one when a minute has passed: drivers have many words for the same trouble, with changing
// port numbers in them. It returns an error only when ctx ends.
func migrateUntilDone(ctx context.Context, db *katibdb.DB, log *slog.Logger, failed func(error)) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 15*time.Second
	reason, said := "", time.Time{}
	for {
		err := db.Migrate(ctx)
		if err == nil {
			if reason != "" {
				log.Info("the database is there")
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed(err)
		if err.Error() != reason && time.Since(said) >= time.Minute {
			reason, said = err.Error(), time.Now()
			log.Warn("the database is not ready; trying again until it is", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause.NextBackOff()):
		}
	}
}
