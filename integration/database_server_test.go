package integration

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

// databaseServer is a database server of one test. The consumer connects to it as worker, who owns the tables and is no
// superuser: to one of those much of what is forbidden is not.
type databaseServer struct {
	*testserver.DatabaseServer
	postgres bool
	worker   string // URL
}

const workerUser, workerPassword = "worker", "secret"

// serverArguments make InnoDB keep all tables in one file of at most 48 MiB, which stands in for a small disk.
var serverArguments = map[bool][]string{
	false: {"--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend:max:48M"},
	true:  {"-c", "max_connections=20"},
}

func startDatabase(t *testing.T, name string) *databaseServer {
	t.Helper()
	s := &databaseServer{postgres: name == "postgres"}
	s.DatabaseServer = testserver.Dedicated(t, name, serverArguments[s.postgres]...)
	if s.postgres {
		s.exec(t, "CREATE ROLE worker LOGIN PASSWORD 'secret'", "GRANT ALL ON SCHEMA public TO worker", "GRANT CREATE ON DATABASE katib TO worker")
	} else {
		s.exec(t, "CREATE USER worker IDENTIFIED BY 'secret'", "GRANT ALL ON katib.* TO worker")
	}
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(workerUser, workerPassword)
	s.worker = u.String()
	open(t, s.worker) // which makes the tables
	return s
}

// superuser opens the database as its administrator.
func (s *databaseServer) superuser(t testing.TB) *katibdb.DB {
	t.Helper()
	return openAs(t, s.URL())
}

func openAs(t testing.TB, url string) *katibdb.DB {
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

// exec runs statements as the administrator, over a connection of their own.
func (s *databaseServer) exec(t testing.TB, statements ...string) {
	t.Helper()
	admin := s.superuser(t)
	defer admin.Close()
	for _, statement := range statements {
		if _, err := admin.SQL().ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%.100s: %v", statement, err)
		}
	}
}

// either gives the statement of this kind of server.
func (s *databaseServer) either(mysql, postgres string) string {
	if s.postgres {
		return postgres
	}
	return mysql
}

// disconnect ends every connection of the consumer.
func (s *databaseServer) disconnect(t testing.TB) {
	t.Helper()
	admin := s.superuser(t)
	defer admin.Close()
	query := s.either("SELECT id FROM information_schema.processlist WHERE user = 'worker'", "SELECT pid FROM pg_stat_activity WHERE usename = 'worker'")
	kill := s.either("KILL %d", "SELECT pg_terminate_backend(%d)")
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

// occupy takes all the connections that the server gives to ordinary users; free gives them back.
func (s *databaseServer) occupy(t testing.TB) (free func()) {
	t.Helper()
	pool := openAs(t, s.worker).SQL()
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

// fill takes the room that tables have; empty gives it back.
func (s *databaseServer) fill(t testing.TB) (empty func()) {
	t.Helper()
	if s.postgres {
		return s.limitFiles(t)
	}
	s.exec(t, "CREATE DATABASE ballast", "CREATE TABLE ballast.ballast (content LONGBLOB NOT NULL)",
		"CREATE TABLE ballast.reserve (content LONGBLOB NOT NULL)")
	admin := s.superuser(t)
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
		_ = admin.Close()
	}
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// limitFiles keeps files of the server from growing past 16 MiB, which is what a segment of its log has, and fills the
// table's up to there. The limit is the kernel's, of the process, and new connections inherit it.
func (s *databaseServer) limitFiles(t testing.TB) (lift func()) {
	t.Helper()
	limit := func(size string) string {
		return "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null && prlimit --pid $(head -n 1 postmaster.pid) --fsize=" + size + ":'"
	}
	s.exec(t, `INSERT INTO observation_logs (trial_name, time, metric_name, value) SELECT 'ballast', now(), 'ballast',
			(SELECT string_agg(md5(i || '-' || j), '') FROM generate_series(1, 1000) j) FROM generate_series(1, 600) i`,
		limit("16777216"))
	return func() { s.exec(t, limit("unlimited")) }
}
