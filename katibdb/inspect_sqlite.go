package katibdb

import (
	"context"

	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteSynchronous are the names of the numbers that SQLite answers.
var sqliteSynchronous = map[string]string{"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}

// inspect looks at a file on this machine: it has our clock, no other clients to count, and ids that do not end.
func (sqliteDialect) inspect(ctx context.Context, i *inspector) {
	if i.read(ctx, "the version", "SELECT sqlite_version()", &i.Version) {
		i.Version = "SQLite " + i.Version
	}
	i.setting(ctx, "journal_mode", "PRAGMA journal_mode")
	i.setting(ctx, "synchronous", "PRAGMA synchronous")
	i.Settings["synchronous"] = sqliteSynchronous[i.Settings["synchronous"]]
	i.sqliteWrites(ctx)
	i.tables(ctx, "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ("+quotedTables()+")")
	if !i.has("observation_logs") {
		return
	}
	i.columns(ctx, "SELECT name || ' ' || type FROM pragma_table_info('observation_logs')", map[string][]string{
		"trial_name": {"VARCHAR(255)"}, "id": {"INTEGER"}, "time": {"DATETIME"}, "metric_name": {"VARCHAR(255)"}, "value": {"TEXT"},
	})
	i.Indexed = len(i.list(ctx, "the indexes", `SELECT l.name FROM pragma_index_list('observation_logs') l
		JOIN pragma_index_info(l.name) c ON c.seqno = 0 WHERE c.name = 'trial_name'`)) > 0
}

// sqliteWrites writes in a transaction that it gives up: SQLite opens a file that it may not write, begins to write it, and
// only then says so. Somebody else's lock means that writing works.
func (i *inspector) sqliteWrites(ctx context.Context) {
	_, err := i.conn.ExecContext(ctx, "PRAGMA busy_timeout = 1000")
	if err == nil {
		_, err = i.conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	}
	if err == nil {
		_, err = i.conn.ExecContext(ctx, "CREATE TABLE katib_stream_inspection (id INTEGER)")
		_, back := i.conn.ExecContext(ctx, "ROLLBACK")
		i.note("whether it is read-only", back)
	}
	switch {
	case isSQLite(err, sqlite3.SQLITE_READONLY):
		i.ReadOnly = "the file, or its folder, must not be written"
	case err != nil && !isSQLite(err, sqlite3.SQLITE_BUSY):
		i.note("whether it is read-only", err)
	}
}
