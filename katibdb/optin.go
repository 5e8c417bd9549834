package katibdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Katib's table is changed by nothing but the two opt-ins here. Both are found done by a second call, both rebuild the
// table or pass over all of it, and what the consumer would write meanwhile waits in the stream.

// indexName is the index that AddIndex makes.
const indexName = "observation_logs_trial_time"

// AddIndex makes an index on observation_logs (trial_name, time), which Katib's table lacks: each of Katib's reads passes
// over the whole table without it. Inserts get slower by it.
func (db *DB) AddIndex(ctx context.Context) error {
	done, err := db.indexed(ctx)
	if err == nil && !done {
		_, err = db.pool.ExecContext(ctx, "CREATE INDEX "+indexName+" ON observation_logs (trial_name, time)")
	}
	if err != nil {
		return fmt.Errorf("add the index %s: %w", indexName, err)
	}
	return nil
}

func (db *DB) indexed(ctx context.Context) (bool, error) {
	query := map[kind]string{
		mysqlKind:    "SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'observation_logs' AND index_name = ? LIMIT 1",
		postgresKind: "SELECT 1 FROM pg_index WHERE indrelid = 'observation_logs'::regclass AND indexrelid = to_regclass($1)",
		sqliteKind:   "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?",
	}[db.cfg.kind]
	return exists(db.pool.QueryRowContext(ctx, query, indexName))
}

// WidenID makes the id of observation_logs a 64-bit one. Katib's ends after 2^31-1 rows, and then nothing more can be
// inserted. SQLite's is 64 bits wide anyway.
func (db *DB) WidenID(ctx context.Context) error {
	narrow, err := db.narrow(ctx)
	if err == nil && narrow {
		err = db.widen(ctx)
	}
	if err != nil {
		return fmt.Errorf("widen the id of observation_logs: %w", err)
	}
	return nil
}

func (db *DB) narrow(ctx context.Context) (bool, error) {
	switch db.cfg.kind {
	case mysqlKind:
		return exists(db.pool.QueryRowContext(ctx, `SELECT 1 FROM information_schema.columns
			WHERE table_schema = DATABASE() AND table_name = 'observation_logs' AND column_name = 'id' AND data_type <> 'bigint'`))
	case postgresKind:
		return exists(db.pool.QueryRowContext(ctx, `SELECT 1 FROM pg_attribute
			WHERE attrelid = 'observation_logs'::regclass AND attname = 'id' AND atttypid <> 'bigint'::regtype`))
	default:
		return false, nil
	}
}

func (db *DB) widen(ctx context.Context) error {
	if db.cfg.kind == mysqlKind {
		_, err := db.pool.ExecContext(ctx, "ALTER TABLE observation_logs MODIFY id BIGINT NOT NULL AUTO_INCREMENT")
		return err
	}
	_, err := db.pool.ExecContext(ctx, `DO $$ BEGIN
		ALTER TABLE observation_logs ALTER COLUMN id TYPE bigint;
		EXECUTE 'ALTER SEQUENCE ' || pg_get_serial_sequence('observation_logs', 'id') || ' AS bigint';
	END $$`)
	return err
}

func exists(row *sql.Row) (bool, error) {
	var one int
	err := row.Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
