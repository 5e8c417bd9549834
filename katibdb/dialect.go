package katibdb

import (
	"context"
	"database/sql"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// dialect is where the databases differ. Everything else is written once, with ? for arguments.
type dialect interface {
	open(Config) (*sql.DB, error)
	// sessionSettings are run once on each connection that transactions use.
	sessionSettings() []string
	begin() string
	rebind(query string) string
	// lock is what a SELECT ends with to lock its rows.
	lock() string
	// ignore completes an INSERT so that rows which exist are left alone.
	insertIgnore(table, columns, values string) string
	// upsert is an INSERT that replaces the given columns of rows which exist.
	upsert(table, columns, values, key string, replaced []string) string
	// insertRows inserts observation_logs rows in order.
	insertRows(ctx context.Context, s *session, rows *rowIterator) error
	migrations() (goose.Dialect, fs.FS, error)
	// locker lets one replica migrate at a time; nil where the file is locked instead.
	locker() (lock.SessionLocker, error)
	// isData and isRetry classify errors of the driver.
	isData(error) bool
	isRetry(error) bool
	// inspect reads what only this kind of database has to tell.
	inspect(context.Context, *inspector)
}

// values gives n groups of placeholders: (?,?),(?,?) for n = 2 and width = 2.
func values(n, width int) string {
	group := "(" + strings.Repeat("?,", width-1) + "?)"
	return strings.Repeat(group+",", n-1) + group
}

// list gives (?,?,?) for n = 3.
func list(n int) string { return values(1, n) }

// any of n times the same condition.
func anyOf(condition string, n int) string {
	return strings.Repeat("("+condition+") OR ", n-1) + "(" + condition + ")"
}

// numbered rewrites ? as $1, $2, …; none of our statements has a ? of another meaning.
func numbered(query string) string {
	var out strings.Builder
	out.Grow(len(query) + 64)
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		out.WriteByte('$')
		out.WriteString(strconv.Itoa(n))
		query = after
	}
}

// chunks calls f with parts of at most size items.
func chunks[T any](items []T, size int, f func([]T) error) error {
	for len(items) > 0 {
		n := min(size, len(items))
		if err := f(items[:n]); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}
