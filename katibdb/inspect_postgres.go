package katibdb

import (
	"context"
	"database/sql"
	"errors"
)

// postgresSettings are what a commit is worth.
var postgresSettings = []string{"synchronous_commit", "fsync", "full_page_writes"}

func (postgresDialect) inspect(ctx context.Context, i *inspector) {
	if i.read(ctx, "the version", "SHOW server_version", &i.Version) {
		i.Version = "PostgreSQL " + i.Version
	}
	i.clock(ctx, "SELECT clock_timestamp()")
	for _, name := range postgresSettings {
		i.setting(ctx, name, "SHOW "+name)
	}
	i.postgresServer(ctx)
	i.tables(ctx, "SELECT name FROM unnest(ARRAY["+quotedTables()+"]) AS name WHERE to_regclass(name) IS NOT NULL")
	if i.has("observation_logs") {
		i.postgresTable(ctx)
	}
}

// postgresServer reads whether it takes writes, whether it keeps all of Unicode, and how many connections it has left.
func (i *inspector) postgresServer(ctx context.Context) {
	var readOnly, encoding string
	i.read(ctx, "whether it is a replica", "SELECT pg_is_in_recovery()", &i.Replica)
	if i.read(ctx, "whether it is read-only", "SHOW default_transaction_read_only", &readOnly) && readOnly == "on" {
		i.ReadOnly = "default_transaction_read_only is on"
	}
	if i.Replica {
		i.ReadOnly = "it is a standby"
	}
	if i.read(ctx, "the encoding", "SHOW server_encoding", &encoding) && encoding != "UTF8" {
		i.NarrowText = []string{"the database (" + encoding + ")"}
	}
	i.read(ctx, "the connections", `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`, &i.MaxConnections)
	// pg_stat_activity does not tell everybody which of its rows are clients.
	i.read(ctx, "the connections", "SELECT SUM(numbackends) FROM pg_stat_database", &i.Connections)
}

func (i *inspector) postgresTable(ctx context.Context) {
	i.columns(ctx, `SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = 'observation_logs'::regclass AND attnum > 0 AND NOT attisdropped`, map[string][]string{
		"trial_name": {"character varying(255)", "character varying", "text"}, "id": {"integer", "bigint"},
		"time":        {"timestamp(6) without time zone", "timestamp without time zone"},
		"metric_name": {"character varying(255)", "character varying", "text"}, "value": {"text", "character varying"},
	})
	i.read(ctx, "the indexes", `SELECT EXISTS (SELECT 1 FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
		WHERE indrelid = 'observation_logs'::regclass AND attname = 'trial_name' AND indisvalid)`, &i.Indexed)
	// Both the column and its sequence may be the narrower one.
	err := i.conn.QueryRowContext(ctx, `SELECT COALESCE(s.last_value, 0), LEAST(s.max_value,
			(SELECT CASE WHEN atttypid = 'bigint'::regtype THEN 9223372036854775807 ELSE 2147483647 END
				FROM pg_attribute WHERE attrelid = 'observation_logs'::regclass AND attname = 'id'))
		FROM pg_sequences s WHERE format('%I.%I', s.schemaname, s.sequencename)::regclass = pg_get_serial_sequence('observation_logs', 'id')::regclass`).
		Scan(&i.LastID, &i.MaxID)
	switch {
	case err == nil:
		i.rate(ctx)
	case errors.Is(err, sql.ErrNoRows):
		i.WrongColumns = append(i.WrongColumns, "id has no sequence to take numbers from")
	default:
		i.note("the ids", err)
	}
}
