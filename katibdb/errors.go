package katibdb

import (
	"errors"
	"slices"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrData says that a batch holds something that the database will never take, whenever it is tried.
var ErrData = errors.New("the database does not take this value")

// ErrNoStream says that the stream could not be asked; DeleteTrial then does without it.
var ErrNoStream = errors.New("the stream is away")

// The data errors are explicit lists, not classes: among their neighbours are errors that pass. An exhausted
// AUTO_INCREMENT or sequence, a full disk or a lost table must never make dead letters of good messages.

var mysqlData = []uint16{
	1265, // ER_WARN_DATA_TRUNCATED: a value that the column's type does not hold
	1292, // ER_TRUNCATED_WRONG_VALUE: a time out of the column's range
	1300, // ER_INVALID_CHARACTER_STRING
	1366, // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD: characters that the column's set lacks
	1406, // ER_DATA_TOO_LONG
	3988, // ER_IMPOSSIBLE_STRING_CONVERSION: the same, as MySQL 8 says it for parameters
}

// mysqlRetry are errors of a transaction that lost against another one.
var mysqlRetry = []uint16{
	1020, // ER_CHECKREAD: MariaDB's snapshot isolation
	1205, // ER_LOCK_WAIT_TIMEOUT
	1213, // ER_LOCK_DEADLOCK
}

var postgresData = []string{
	"22001", // string_data_right_truncation
	"22007", // invalid_datetime_format
	"22008", // datetime_field_overflow
	"22021", // character_not_in_repertoire
	"22P05", // untranslatable_character
}

var postgresRetry = []string{
	"40001", // serialization_failure
	"40P01", // deadlock_detected
	"55P03", // lock_not_available
}

func (mysqlDialect) isData(err error) bool  { return isMySQL(err, mysqlData) }
func (mysqlDialect) isRetry(err error) bool { return isMySQL(err, mysqlRetry) }

func isMySQL(err error, numbers []uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && slices.Contains(numbers, e.Number)
}

func (postgresDialect) isData(err error) bool  { return isPostgres(err, postgresData) }
func (postgresDialect) isRetry(err error) bool { return isPostgres(err, postgresRetry) }

func isPostgres(err error, codes []string) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

func (sqliteDialect) isData(err error) bool {
	return isSQLite(err, sqlite3.SQLITE_TOOBIG)
}

// isRetry knows no error that passes at once: the driver has waited for the lock of another process already.
func (sqliteDialect) isRetry(error) bool { return false }

func isSQLite(err error, codes ...int) bool {
	const primary = 0xff // the rest of an extended code says more of the same
	var e *sqlite.Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code()&primary)
}
