package katibdb

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrationFiles embed.FS

// versionTable notes which of our migrations have run.
const versionTable = "stream_migrations"

const lockPoll = 50 * time.Millisecond

// Migrate makes what is missing: Katib's own table in its exact form, where it does not exist, and ours. It may run in
// several replicas at once. With Config.SkipKatibTable it makes only ours, and returns an error when Katib's is missing.
// Text columns of Katib's table that don't take all of Unicode are logged (MySQL) or an error (PostgreSQL).
func (db *DB) Migrate(ctx context.Context) error {
	unlock, err := db.lockMigrations(ctx)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", db.cfg, err)
	}
	defer unlock()
	if err := db.ourTables(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", db.cfg, err)
	}
	if err := db.katibTable(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", db.cfg, err)
	}
	return nil
}

// lockMigrations holds a lock around all that Migrate does. Goose takes one by itself, but looks at its version table, and
// makes it, before: on MySQL another replica then finds that table without its first row.
func (db *DB) lockMigrations(ctx context.Context) (unlock func(), err error) {
	locker, err := db.dialect.locker()
	if err != nil {
		return nil, err
	}
	if locker == nil {
		return fileLock(ctx, db.cfg.path)
	}
	conn, err := db.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := locker.SessionLock(ctx, conn); err != nil {
		discard(conn)
		return nil, err
	}
	return func() {
		if err := locker.SessionUnlock(context.WithoutCancel(ctx), conn); err != nil {
			discard(conn) // the lock ends with the connection
			return
		}
		_ = conn.Close()
	}, nil
}

func (db *DB) ourTables(ctx context.Context) error {
	if err := db.mendVersions(ctx); err != nil {
		return err
	}
	dialect, files, err := db.dialect.migrations()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db.pool, files, goose.WithTableName(versionTable), goose.WithSlog(db.log),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return err
	}
	for _, m := range done {
		db.log.Info("migrated", "database", db.cfg.String(), "migration", m.Source.Path, "took", m.Duration)
	}
	return nil
}

// mendVersions removes a version table without its first row, which stays when goose is killed on MySQL, where a
// transaction does not hold a CREATE TABLE; goose could never migrate again.
func (db *DB) mendVersions(ctx context.Context) error {
	if db.cfg.kind != mysqlKind {
		return nil
	}
	const made = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '" + versionTable + "'"
	if found, err := exists(db.pool.QueryRowContext(ctx, made)); err != nil || !found {
		return err
	}
	if begun, err := exists(db.pool.QueryRowContext(ctx, "SELECT 1 FROM "+versionTable+" LIMIT 1")); err != nil || begun {
		return err
	}
	_, err := db.pool.ExecContext(ctx, "DROP TABLE "+versionTable)
	return err
}

// katibTables is observation_logs as Katib's db-manager makes it.
var katibTables = map[kind]string{
	mysqlKind: `CREATE TABLE IF NOT EXISTS observation_logs
		(trial_name VARCHAR(255) NOT NULL,
		id INT AUTO_INCREMENT PRIMARY KEY,
		time DATETIME(6),
		metric_name VARCHAR(255) NOT NULL,
		value TEXT NOT NULL) DEFAULT CHARACTER SET utf8mb4`,
	postgresKind: `CREATE TABLE IF NOT EXISTS observation_logs
		(trial_name VARCHAR(255) NOT NULL,
		id serial PRIMARY KEY,
		time TIMESTAMP(6),
		metric_name VARCHAR(255) NOT NULL,
		value TEXT NOT NULL)`,
	sqliteKind: `CREATE TABLE IF NOT EXISTS observation_logs
		(trial_name VARCHAR(255) NOT NULL,
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		time DATETIME,
		metric_name VARCHAR(255) NOT NULL,
		value TEXT NOT NULL)`,
}

// katibTable finds or makes Katib's own table, and changes nothing of one that it finds.
func (db *DB) katibTable(ctx context.Context) error {
	_, err := db.pool.ExecContext(ctx, "SELECT 1 FROM observation_logs WHERE trial_name = '' AND id = 0")
	if err != nil {
		if pingErr := db.pool.PingContext(ctx); pingErr != nil {
			return pingErr
		}
		if db.cfg.SkipKatibTable {
			return fmt.Errorf("table observation_logs cannot be read, and SKIP_DB_INITIALIZATION leaves it to Katib: leave that out, or start Katib's own db-manager first: %w", err)
		}
		if err := db.makeKatibTable(ctx); err != nil {
			return fmt.Errorf("make table observation_logs: %w", err)
		}
	}
	return db.checkCharacters(ctx)
}

// makeKatibTable tries twice: Katib's db-manager, which knows nothing of our lock, may make the table at the same moment,
// and PostgreSQL takes that for an error.
func (db *DB) makeKatibTable(ctx context.Context) error {
	if _, err := db.pool.ExecContext(ctx, katibTables[db.cfg.kind]); err == nil {
		return nil
	}
	_, err := db.pool.ExecContext(ctx, katibTables[db.cfg.kind])
	return err
}

// checkCharacters makes sure that the text columns take all of Unicode; a value that they don't take would become a dead
// letter.
func (db *DB) checkCharacters(ctx context.Context) error {
	switch db.cfg.kind {
	case mysqlKind:
		return db.checkColumns(ctx)
	case postgresKind:
		var encoding string
		if err := db.pool.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
			return fmt.Errorf("look up the encoding: %w", err)
		}
		if encoding != "UTF8" {
			return fmt.Errorf("the database's encoding is %s; katib-stream needs UTF8", encoding)
		}
	}
	return nil
}

func (db *DB) checkColumns(ctx context.Context) error {
	narrow, err := texts(ctx, db.pool, narrowColumns)
	if err != nil {
		return fmt.Errorf("look up character sets: %w", err)
	}
	if len(narrow) > 0 {
		db.log.Warn("columns of observation_logs don't take all of Unicode; what they don't take becomes a dead letter",
			"columns", strings.Join(narrow, ", "), "mend", "ALTER TABLE observation_logs CONVERT TO CHARACTER SET utf8mb4")
	}
	return nil
}

// narrowColumns are those of Katib's table, in MySQL, that lack characters, with their character sets.
const narrowColumns = `SELECT CONCAT(column_name, ' (', character_set_name, ')') FROM information_schema.columns
	WHERE table_schema = DATABASE() AND table_name = 'observation_logs' AND character_set_name <> 'utf8mb4' ORDER BY ordinal_position`
