package katibdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestErrors(t *testing.T) {
	my := func(number uint16) error { return &mysql.MySQLError{Number: number} }
	pg := func(code string) error { return &pgconn.PgError{Code: code} }
	for _, c := range []struct {
		name        string
		dialect     dialect
		err         error
		data, retry bool
	}{
		{"MySQL: data too long", mysqlDialect{}, my(1406), true, false},
		{"MySQL: incorrect string value", mysqlDialect{}, my(1366), true, false},
		{"MySQL: incorrect datetime value", mysqlDialect{}, my(1292), true, false},
		{"MySQL: invalid character string", mysqlDialect{}, my(1300), true, false},
		{"MySQL: data truncated", mysqlDialect{}, my(1265), true, false},
		{"MySQL: string cannot be converted", mysqlDialect{}, my(3988), true, false},
		{"MySQL: ids exhausted, duplicate key", mysqlDialect{}, my(1062), false, false},
		{"MySQL: ids exhausted, no auto-increment value", mysqlDialect{}, my(1467), false, false},
		{"MySQL: ids exhausted, out of range", mysqlDialect{}, my(1264), false, false},
		{"MySQL: ids exhausted, BIGINT out of range", mysqlDialect{}, my(1690), false, false},
		{"MySQL: table full", mysqlDialect{}, my(1114), false, false},
		{"MySQL: disk full", mysqlDialect{}, my(1021), false, false},
		{"MySQL: no such table", mysqlDialect{}, my(1146), false, false},
		{"MySQL: unknown column", mysqlDialect{}, my(1054), false, false},
		{"MySQL: read only", mysqlDialect{}, my(1290), false, false},
		{"MySQL: access denied", mysqlDialect{}, my(1045), false, false},
		{"MySQL: packet too large", mysqlDialect{}, my(1153), false, false},
		{"MySQL: mixed collations", mysqlDialect{}, my(1267), false, false},
		{"MySQL: deadlock", mysqlDialect{}, my(1213), false, true},
		{"MySQL: lock wait timeout", mysqlDialect{}, my(1205), false, true},
		{"MySQL: connection lost", mysqlDialect{}, mysql.ErrInvalidConn, false, false},
		{"PostgreSQL: too long", postgresDialect{}, pg("22001"), true, false},
		{"PostgreSQL: invalid text", postgresDialect{}, pg("22021"), true, false},
		{"PostgreSQL: untranslatable", postgresDialect{}, pg("22P05"), true, false},
		{"PostgreSQL: invalid time", postgresDialect{}, pg("22007"), true, false},
		{"PostgreSQL: time out of range", postgresDialect{}, pg("22008"), true, false},
		{"PostgreSQL: ids exhausted", postgresDialect{}, pg("2200H"), false, false},
		{"PostgreSQL: ids exhausted, integer out of range", postgresDialect{}, pg("22003"), false, false},
		{"PostgreSQL: duplicate key", postgresDialect{}, pg("23505"), false, false},
		{"PostgreSQL: disk full", postgresDialect{}, pg("53100"), false, false},
		{"PostgreSQL: read only", postgresDialect{}, pg("25006"), false, false},
		{"PostgreSQL: no such table", postgresDialect{}, pg("42P01"), false, false},
		{"PostgreSQL: shutting down", postgresDialect{}, pg("57P01"), false, false},
		{"PostgreSQL: deadlock", postgresDialect{}, pg("40P01"), false, true},
		{"PostgreSQL: serialization", postgresDialect{}, pg("40001"), false, true},
		{"PostgreSQL: a MySQL error", postgresDialect{}, my(1406), false, false},
		{"SQLite: another error", sqliteDialect{}, errors.New("constraint failed"), false, false},
		{"cancelled", mysqlDialect{}, context.Canceled, false, false},
		{"bad connection", postgresDialect{}, driver.ErrBadConn, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := fmt.Errorf("insert rows: %w", c.err)
			if got := c.dialect.isData(err); got != c.data {
				t.Errorf("data error: %v, want %v", got, c.data)
			}
			if got := c.dialect.isRetry(err); got != c.retry {
				t.Errorf("retried: %v, want %v", got, c.retry)
			}
		})
	}
}
