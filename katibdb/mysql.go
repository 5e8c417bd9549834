package katibdb

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// mysqlDialect is MySQL and MariaDB.
type mysqlDialect struct{}

func (mysqlDialect) open(cfg Config) (*sql.DB, error) {
	dsn := mysql.NewConfig()
	dsn.Net, dsn.Addr = "tcp", cfg.url.Host
	if cfg.url.Port() == "" {
		dsn.Addr += ":3306"
	}
	dsn.User = cfg.url.User.Username()
	dsn.Passwd, _ = cfg.url.User.Password()
	dsn.DBName = strings.Trim(cfg.url.Path, "/")
	if query := cfg.url.RawQuery; query != "" {
		// The driver reads its own parameters, and refuses those it does not know.
		given, err := mysql.ParseDSN("/?" + query)
		if err != nil {
			return nil, fmt.Errorf("parameters of the database URL: %w", err)
		}
		given.Net, given.Addr, given.User, given.Passwd, given.DBName = dsn.Net, dsn.Addr, dsn.User, dsn.Passwd, dsn.DBName
		dsn = given
	}
	dsn.Loc = time.UTC
	dsn.ParseTime = true
	dsn.InterpolateParams = true // small statements need one round trip instead of three
	dsn.Collation = ""
	dsn.Logger = &mysql.NopLogger{} // it repeats what the errors say
	if dsn.Timeout == 0 {
		dsn.Timeout = connectTimeout
	}
	if dsn.Params == nil {
		dsn.Params = map[string]string{}
	}
	dsn.Params["time_zone"] = "'+00:00'"
	dsn.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
	if err := dsn.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// sessionSettings say it in a way that MySQL 8, MySQL 9 and MariaDB all understand. The server would keep the connection of
// a client whose machine is gone, and the locks of its transaction, for 8 hours; ours are not needed when they are idle.
func (mysqlDialect) sessionSettings() []string {
	return []string{"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET SESSION wait_timeout = 120"}
}

func (mysqlDialect) begin() string              { return "START TRANSACTION" }
func (mysqlDialect) rebind(query string) string { return query }
func (mysqlDialect) lock() string               { return " FOR UPDATE" }

func (mysqlDialect) insertIgnore(table, columns, values string) string {
	return "INSERT IGNORE INTO " + table + " (" + columns + ") VALUES " + values
}

func (mysqlDialect) upsert(table, columns, values, _ string, replaced []string) string {
	sets := make([]string, len(replaced))
	for i, column := range replaced {
		sets[i] = column + " = VALUES(" + column + ")" // MariaDB knows no other way
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES " + values + " ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
}

func (mysqlDialect) insertRows(ctx context.Context, s *session, rows *rowIterator) error {
	const maxRows, maxBytes = 1_000, 512 << 10 // well under every max_allowed_packet that a server has by default
	return insertMany(ctx, s, rows, maxRows, maxBytes)
}

func (mysqlDialect) migrations() (goose.Dialect, fs.FS, error) {
	files, err := fs.Sub(migrationFiles, "migrations/mysql")
	return goose.DialectMySQL, files, err
}

func (mysqlDialect) locker() (lock.SessionLocker, error) { return namedLock{}, nil }

// namedLock lets one replica migrate at a time. It belongs to the connection, so it ends with a crash.
type namedLock struct{}

// lockName is hashed, because a lock's name has at most 64 characters and the database's alone may have as many. MySQL 9
// has no MD5.
const lockName = "CONCAT('katib-stream-', LEFT(SHA2(DATABASE(), 256), 40))"

func (namedLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+lockName+", 300)").Scan(&got); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	if got.Int64 != 1 {
		return fmt.Errorf("lock migrations: another migration has been running for 5 minutes")
	}
	return nil
}

func (namedLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "DO RELEASE_LOCK("+lockName+")")
	return err
}
