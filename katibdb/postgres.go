package katibdb

import (
	"context"
	"database/sql"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

type postgresDialect struct{}

func (postgresDialect) open(cfg Config) (*sql.DB, error) {
	config, err := pgx.ParseConfig(cfg.url.String())
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["timezone"] = "UTC"
	config.RuntimeParams["application_name"] = "katib-stream"
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.ValidateConnect == nil && !cfg.anyServer {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite // leave an old primary
	}
	return stdlib.OpenDB(*config), nil
}

// sessionSettings end the transaction of a client whose machine is gone, which would keep its locks for two hours.
func (postgresDialect) sessionSettings() []string {
	return []string{"SET idle_in_transaction_session_timeout = '2min'"}
}

func (postgresDialect) begin() string              { return "BEGIN ISOLATION LEVEL READ COMMITTED" }
func (postgresDialect) rebind(query string) string { return numbered(query) }
func (postgresDialect) lock() string               { return " FOR UPDATE" }

func (postgresDialect) insertIgnore(table, columns, values string) string {
	return insertIgnoreConflict(table, columns, values)
}

func (postgresDialect) upsert(table, columns, values, key string, replaced []string) string {
	return upsertConflict(table, columns, values, key, replaced)
}

// insertRows uses COPY, which is several times faster than statements.
func (postgresDialect) insertRows(ctx context.Context, s *session, rows *rowIterator) error {
	return s.conn.Raw(func(driverConn any) error {
		conn := driverConn.(*stdlib.Conn).Conn()
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"observation_logs"},
			[]string{"trial_name", "time", "metric_name", "value"}, &copySource{rows: rows})
		return err
	})
}

// copySource gives rows to COPY.
type copySource struct {
	rows *rowIterator
	row  [4]any
}

func (c *copySource) Next() bool { return c.rows.next() }
func (c *copySource) Err() error { return nil }

func (c *copySource) Values() ([]any, error) {
	trial, at, metric, value := c.rows.row()
	c.row = [4]any{trial, at, metric, value}
	return c.row[:], nil
}

func (postgresDialect) migrations() (goose.Dialect, fs.FS, error) {
	files, err := fs.Sub(migrationFiles, "migrations/postgres")
	return goose.DialectPostgres, files, err
}

// locker tries every second, for 5 minutes.
func (postgresDialect) locker() (lock.SessionLocker, error) {
	return lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 10))
}
