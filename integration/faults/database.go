// Package faults brings about what befalls a database server: it makes one for a test, with a user who is no superuser, and
// takes from it what it needs.
package faults

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// Database is a database server of one test. The consumer connects to it as worker, who owns the tables and is no
// Superuser: to one of those much of what is forbidden is not.
type Database struct {
	*testserver.DatabaseServer
	Postgres bool
	Worker   string // URL
}

const (
	workerUser = "worker"
	// WorkerPassword is the password of the user that is no superuser.
	WorkerPassword = "secret"
)

// Room is how much a database server has.
type Room struct {
	// DiskMiB is the size of the one file in which InnoDB keeps all tables, which stands in for a disk.
	DiskMiB int
	// Connections is how many clients PostgreSQL lets in. MySQL has more, until OutOfConnections.
	Connections int
}

// Small is room for a fault or two.
var Small = Room{DiskMiB: 48, Connections: 20}

// StartDatabase starts a database server of a kind, other than SQLite, that lives as long as the test.
func StartDatabase(t testing.TB, name string, room Room) *Database {
	t.Helper()
	s := &Database{Postgres: name == "postgres"}
	arguments := []string{"--innodb-file-per-table=0", fmt.Sprintf("--innodb-data-file-path=ibdata1:12M:autoextend:max:%dM", room.DiskMiB)}
	if s.Postgres {
		arguments = []string{"-c", fmt.Sprintf("max_connections=%d", room.Connections)}
	}
	s.DatabaseServer = testserver.Dedicated(t, name, arguments...)
	if s.Postgres {
		s.Exec(t, "CREATE ROLE worker LOGIN PASSWORD 'secret'", "GRANT ALL ON SCHEMA public TO worker", "GRANT CREATE ON DATABASE katib TO worker")
	} else {
		s.Exec(t, "CREATE USER worker IDENTIFIED BY 'secret'", "GRANT ALL ON katib.* TO worker")
	}
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(workerUser, WorkerPassword)
	s.Worker = u.String()
	if err := open(t, s.Worker).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Superuser opens the database as its administrator.
func (s *Database) Superuser(t testing.TB) *katibdb.DB {
	t.Helper()
	return open(t, s.URL())
}

func open(t testing.TB, url string) *katibdb.DB {
	t.Helper()
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := katibdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Exec runs statements as the administrator, over a connection of their own.
func (s *Database) Exec(t testing.TB, statements ...string) {
	t.Helper()
	admin := s.Superuser(t)
	defer admin.Close()
	for _, statement := range statements {
		if _, err := admin.SQL().ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%.100s: %v", statement, err)
		}
	}
}

// Either gives the statement of this kind of server.
func (s *Database) Either(mysql, postgres string) string {
	if s.Postgres {
		return postgres
	}
	return mysql
}

// Disconnect ends every connection of the consumer.
func (s *Database) Disconnect(t testing.TB) {
	t.Helper()
	admin := s.Superuser(t)
	defer admin.Close()
	query := s.Either("SELECT id FROM information_schema.processlist WHERE user = 'worker'", "SELECT pid FROM pg_stat_activity WHERE usename = 'worker'")
	kill := s.Either("KILL %d", "SELECT pg_terminate_backend(%d)")
	rows, err := admin.SQL().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.SQL().ExecContext(t.Context(), fmt.Sprintf(kill, id)); err != nil && !strings.Contains(err.Error(), "Unknown thread") {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// ReadOnly lets nobody but administrators write.
func (s *Database) ReadOnly(t testing.TB) (end func()) {
	t.Helper()
	s.Exec(t, s.Either("SET GLOBAL read_only = 1", "ALTER ROLE worker SET default_transaction_read_only = on"))
	if s.Postgres {
		s.Disconnect(t) // the setting is for new sessions
	}
	return func() {
		s.Exec(t, s.Either("SET GLOBAL read_only = 0", "ALTER ROLE worker RESET default_transaction_read_only"))
		if s.Postgres {
			s.Disconnect(t)
		}
	}
}

// OutOfConnections ends the worker's connections and takes all that there are.
func (s *Database) OutOfConnections(t testing.TB) (end func()) {
	t.Helper()
	if s.Postgres {
		s.Disconnect(t)
		return s.Occupy(t)
	}
	present, all := 0, 0
	admin, err := s.Superuser(t).SQL().Conn(t.Context()) // kept, for there will be no other
	if err != nil {
		t.Fatal(err)
	}
	err = admin.QueryRowContext(t.Context(), "SELECT COUNT(*), @@global.max_connections FROM information_schema.processlist").Scan(&present, &all)
	if err != nil {
		t.Fatal(err)
	}
	limit := func(connections int) {
		if _, err := admin.ExecContext(context.Background(), fmt.Sprintf("SET GLOBAL max_connections = %d", connections)); err != nil {
			t.Error(err)
		}
	}
	s.Disconnect(t)
	limit(max(10, present+5))
	free := s.Occupy(t)
	return func() {
		free()
		limit(all)
		_ = admin.Close()
	}
}

// Occupy takes all the connections that the server gives to ordinary users; free gives them back.
func (s *Database) Occupy(t testing.TB) (free func()) {
	t.Helper()
	pool := open(t, s.Worker).SQL()
	pool.SetMaxOpenConns(0)
	var held []*sql.Conn
	for {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Logf("%d connections taken; then: %v", len(held), err)
			break
		}
		held = append(held, conn)
	}
	return func() {
		for _, conn := range held {
			_ = conn.Close()
		}
		_ = pool.Close()
	}
}

// Full takes the room that tables have, and the worker's connections, for what limits new ones; empty gives it back.
func (s *Database) Full(t testing.TB) (empty func()) {
	t.Helper()
	free := s.fill(t)
	s.Disconnect(t)
	return func() {
		free()
		s.Disconnect(t)
	}
}

func (s *Database) fill(t testing.TB) (empty func()) {
	t.Helper()
	if s.Postgres {
		return s.limitFiles(t)
	}
	s.Exec(t, "CREATE DATABASE ballast", "CREATE TABLE ballast.ballast (content LONGBLOB NOT NULL)",
		"CREATE TABLE ballast.reserve (content LONGBLOB NOT NULL)")
	admin := s.Superuser(t)
	// A transaction that is rolled back gives its room back without needing any itself, as a DELETE or DROP would.
	reserve, err := admin.SQL().BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	insert := func(in execer, table string, size int) error {
		_, err := in.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO ballast.%s VALUES (REPEAT('x', %d))", table, size))
		return err
	}
	if err := insert(reserve, "reserve", 4<<20); err != nil {
		t.Fatal(err)
	}
	for size := 4 << 20; size >= 16<<10; size /= 4 {
		for err = nil; err == nil; {
			err = insert(admin.SQL(), "ballast", size)
		}
		t.Logf("no room for %d bytes: %v", size, err)
	}
	return func() {
		if err := reserve.Rollback(); err != nil {
			t.Error(err)
		}
		if _, err := admin.SQL().ExecContext(context.Background(), "DROP DATABASE ballast"); err != nil {
			t.Error(err)
		}
		_ = admin.Close()
	}
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// limitFiles keeps files of the server from growing past 16 MiB, which is what a segment of its log has, and fills the
// table's up to there. The limit is the kernel's, of the process, and new connections inherit it.
func (s *Database) limitFiles(t testing.TB) (lift func()) {
	t.Helper()
	limit := func(size string) string {
		return "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null && prlimit --pid $(head -n 1 postmaster.pid) --fsize=" + size + ":'"
	}
	s.Exec(t, `INSERT INTO observation_logs (trial_name, time, metric_name, value) SELECT 'ballast', now(), 'ballast',
			(SELECT string_agg(md5(i || '-' || j), '') FROM generate_series(1, 1000) j) FROM generate_series(1, 600) i`,
		limit("16777216"))
	return func() { s.Exec(t, limit("unlimited")) }
}
