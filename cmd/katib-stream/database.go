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
	read := func() (katibdb.Config, error) { return katibdb.ConfigFromEnv(a.getenv) }
	if url != "" {
		read = func() (katibdb.Config, error) { return katibdb.ParseURL(url) }
	}
	cfg, err := read()
	if err != nil {
		return cfg, usagef("choose the database: %w", err)
	}
	cfg.Logger = a.log
	return cfg, nil
}

// migrateUntilDone migrates, as often as it takes: the database may be away, or its password wrong for now. It logs when
// the reason changes, and returns an error only when ctx ends.
func migrateUntilDone(ctx context.Context, db *katibdb.DB, log *slog.Logger, failed func(error)) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 15*time.Second
	reason := ""
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
		if err.Error() != reason {
			reason = err.Error()
			log.Warn("the database is not ready; trying again until it is", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause.NextBackOff()):
		}
	}
}
