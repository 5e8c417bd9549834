package katibdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// session is a connection of its own for one transaction after the other, with the statements prepared on it: going
// through sql.Tx would prepare them again for each transaction.
type session struct {
	conn       *sql.Conn
	dialect    dialect
	statements map[string]*sql.Stmt
	used       time.Time // when it was last given back
}

// idleLimit is how long a session may have waited before it is tried first: the server may have been restarted since.
const idleLimit = time.Second

// connectTimeout is how long a server may take to accept a connection, so that one that is gone does not use up the time
// that the next could answer in.
const connectTimeout = 10 * time.Second

// acquire waits for a place and returns its session, connected.
func (db *DB) acquire(ctx context.Context) (*session, error) {
	var s *session
	select {
	case <-db.closed:
		return nil, errClosed
	case s = <-db.sessions:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a connection: %w", ctx.Err())
	}
	if s != nil {
		if time.Since(s.used) < idleLimit || s.conn.PingContext(ctx) == nil {
			return s, nil
		}
		s.close()
	}
	s, err := db.connect(ctx)
	if err != nil {
		db.sessions <- nil
		return nil, fmt.Errorf("connect to %s: %w", db.cfg, err)
	}
	return s, nil
}

func (db *DB) connect(ctx context.Context) (*session, error) {
	conn, err := db.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, dialect: db.dialect, statements: map[string]*sql.Stmt{}}
	for _, statement := range db.dialect.sessionSettings() {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// release gives the place back; a session that may be in an unknown state is closed.
func (db *DB) release(s *session, healthy bool) {
	s.used = time.Now()
	if !healthy {
		s.close()
		s = nil
	}
	db.sessions <- s
}

// close ends the connection. Its statements go first: SQLite would keep its file open for them, and what was committed in
// the log beside it. The drivers that have any here wait for no answer to that.
func (s *session) close() {
	for _, statement := range s.statements {
		_ = statement.Close() // the connection may be dead
	}
	discard(s.conn)
}

// discard closes a connection instead of giving it back to the pool, which an error of this kind does.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}

// retry calls f again, at once and a bounded number of times, while it loses against another transaction.
func (db *DB) retry(ctx context.Context, f func() error) error {
	const tries = 20
	for try := 1; ; try++ {
		err := f()
		lost := errors.Is(err, errUnknown) || db.dialect.isRetry(err)
		if err == nil || !lost || try == tries || ctx.Err() != nil {
			return err
		}
	}
}

// transaction runs f between the dialect's BEGIN and a COMMIT, or a ROLLBACK when f fails. After an error nothing is
// committed, unless it is the answer to the COMMIT that got lost.
func (db *DB) transaction(ctx context.Context, f func(ctx context.Context, s *session) error) (err error) {
	s, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	healthy := false
	defer func() { db.release(s, healthy) }()
	if _, err := s.conn.ExecContext(ctx, db.dialect.begin()); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(ctx, s); err != nil {
		// After an error that says nothing about the connection it is kept. Any other may mean that this server is no longer
		// the one to write to; a new connection finds out.
		expected := db.dialect.isData(err) || db.dialect.isRetry(err) || errors.Is(err, errUnknown)
		healthy = s.rollback(ctx) && expected
		return err
	}
	if _, err := s.conn.ExecContext(ctx, "COMMIT"); err != nil {
		s.rollback(ctx)
		return fmt.Errorf("commit: %w", err)
	}
	healthy = true
	return nil
}

// read runs f on a connection that no transaction waits for. Each statement sees what is committed when it begins.
func (db *DB) read(ctx context.Context, f func(s *session) error) error {
	conn, err := db.pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", db.cfg, err)
	}
	defer conn.Close()
	return f(&session{conn: conn, dialect: db.dialect})
}

// rollback reports whether the session is good for another transaction.
func (s *session) rollback(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, err := s.conn.ExecContext(ctx, "ROLLBACK")
	return err == nil
}

// exec runs a statement written with ? for its arguments.
func (s *session) exec(ctx context.Context, what, query string, args ...any) error {
	if _, err := s.conn.ExecContext(ctx, s.dialect.rebind(query), args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// prepared runs a statement that is prepared once on this connection.
func (s *session) prepared(ctx context.Context, what, query string, args []any) error {
	statement := s.statements[query]
	if statement == nil {
		var err error
		if statement, err = s.conn.PrepareContext(ctx, s.dialect.rebind(query)); err != nil {
			return fmt.Errorf("%s: prepare: %w", what, err)
		}
		s.statements[query] = statement
	}
	if _, err := statement.ExecContext(ctx, args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// query runs a query written with ? and calls scan for each row.
func (s *session) query(ctx context.Context, what, query string, args []any, scan func(*sql.Rows) error) (err error) {
	rows, err := s.conn.QueryContext(ctx, s.dialect.rebind(query), args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
