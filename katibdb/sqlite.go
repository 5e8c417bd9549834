package katibdb

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqliteDialect is the embedded default.
type sqliteDialect struct{}

func (sqliteDialect) open(cfg Config) (*sql.DB, error) {
	query := url.Values{"_pragma": {
		"busy_timeout(10000)",
		"synchronous(FULL)", // a commit is on the disk before its messages are acknowledged
	}}
	if !cfg.anyServer { // it would write to a file that is only looked at
		query.Add("_pragma", "journal_mode(WAL)")
	}
	query.Set("_time_format", "sqlite")
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: cfg.path}).EscapedPath(), RawQuery: query.Encode()}
	return sql.Open("sqlite", u.String())
}

func (sqliteDialect) sessionSettings() []string  { return nil }
func (sqliteDialect) begin() string              { return "BEGIN IMMEDIATE" }
func (sqliteDialect) rebind(query string) string { return query }
func (sqliteDialect) lock() string               { return "" } // there is one writer

func (sqliteDialect) insertIgnore(table, columns, values string) string {
	return insertIgnoreConflict(table, columns, values)
}

func (sqliteDialect) upsert(table, columns, values, key string, replaced []string) string {
	return upsertConflict(table, columns, values, key, replaced)
}

func insertIgnoreConflict(table, columns, values string) string {
	return "INSERT INTO " + table + " (" + columns + ") VALUES " + values + " ON CONFLICT DO NOTHING"
}

func upsertConflict(table, columns, values, key string, replaced []string) string {
	sets := make([]string, len(replaced))
	for i, column := range replaced {
		sets[i] = column + " = excluded." + column
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES " + values + " ON CONFLICT (" + key + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

func (sqliteDialect) insertRows(ctx context.Context, s *session, rows *rowIterator) error {
	const maxRows, maxBytes = 256, 1 << 20
	return insertMany(ctx, s, rows, maxRows, maxBytes)
}

func (sqliteDialect) migrations() (goose.Dialect, fs.FS, error) {
	files, err := fs.Sub(migrationFiles, "migrations/sqlite")
	return goose.DialectSQLite3, files, err
}

func (sqliteDialect) locker() (lock.SessionLocker, error) { return nil, nil }

// fileLock lets one process migrate a SQLite file at a time.
func fileLock(ctx context.Context, path string) (unlock func(), err error) {
	file := flock.New(path + ".migrate")
	if _, err := file.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("lock migrations: %w", err)
	}
	return func() { _ = file.Unlock() }, nil // closing the file ends it in any case
}
