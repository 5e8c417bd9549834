package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/katibdb"
)

func newMigrateCommand(a *app) *cobra.Command {
	var url string
	var output cli.Format
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Make what the database lacks",
		Long: `Make what the database lacks: Katib's own table observation_logs in its exact form, where it does not exist, and the
tables that katib-stream keeps beside it. What exists already stays as it is. Several may run at once.

The consumer does the same when it starts, unless it is told --migrate=false.`,
		Example: `  katib-stream migrate --db mysql://root:secret@katib-mysql:3306/katib
  DB_NAME=postgres DB_PASSWORD=secret katib-stream migrate`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			cfg, err := a.databaseConfig(url)
			if err != nil {
				return err
			}
			if err := migrate(command.Context(), cfg); err != nil {
				return err
			}
			if output == cli.JSON {
				return cli.WriteJSON(a.stdout, map[string]string{"database": cfg.String(), "status": "up to date"})
			}
			_, err = fmt.Fprintf(a.stdout, "%s is up to date\n", cfg)
			return err
		},
	}
	addDatabaseFlag(command.Flags(), &url, "")
	output.AddFlag(command.Flags())
	return command
}

func migrate(ctx context.Context, cfg katibdb.Config) error {
	db, err := katibdb.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if err := db.Migrate(ctx); err != nil {
		db.Close()
		return fmt.Errorf("%w; check --db, or Katib's variables DB_NAME, DB_USER, DB_PASSWORD and the like", err)
	}
	return db.Close()
}
