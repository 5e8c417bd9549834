package integration

import (
	"bufio"
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
)

// envLock makes the test binary hold the lock of the SQLite database of that URL until its standard input ends.
const envLock = "KATIB_STREAM_TEST_LOCK_DB"

// TestSQLiteFaults does for the embedded database what TestDatabaseFaults does for servers. The settings stand in for a
// full disk and for a file or disk that is read-only; SQLite answers with the same codes.
func TestSQLiteFaults(t *testing.T) {
	faults := []struct {
		name, reason string
		begin        func(t *testing.T, url string) (end func())
	}{
		{name: "locked by another process", reason: "not done within|locked", begin: lockElsewhere},
		{name: "full", reason: "database or disk is full", begin: func(_ *testing.T, url string) func() {
			return settings.set(url, "PRAGMA max_page_count = 1") // which SQLite takes for as many as there are
		}},
		{name: "read-only", reason: "readonly", begin: func(_ *testing.T, url string) func() {
			return settings.set(url, "PRAGMA query_only = 1")
		}},
	}
	t.Parallel()
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			const half = 10
			url := "sqlite:" + t.TempDir() + "/katib.db"
			js := connect(t, testserver.NATS(t).URL())
			ensureStreams(t, js)
			trial := strings.ReplaceAll(fault.name, " ", "-")
			number(t, js, trial, 0, half)
			before := consume(t, js, open(t, url), consumer.Config{})
			settled(t, js)
			before.stop()

			log := &journal{}
			log.showIfFailed(t)
			end := fault.begin(t, url)
			defer end()
			db := openAs(t, url)
			c := consume(t, js, db, consumer.Config{Workers: 2, AckWait: 2 * time.Second, CommitTimeout: time.Second, Logger: log.logger()})
			number(t, js, trial, half, 2*half)
			notReady(t, c, fault.reason)
			eventually(t, "it was tried again and again", func() bool { return c.value(t, "katib_stream_commit_retries_total") >= 2 })
			nothingSettledSince(t, js, half)
			end()

			settled(t, js)
			eventually(t, "the consumer is ready", func() bool { return ready(c) == nil })
			log.changedOnce(t, "database")
			checkNumbers(t, db.SQL(), trial, 0, 2*half)
		})
	}
}

// connectionSettings are statements that every new connection to a SQLite database begins with.
type connectionSettings struct {
	mu         sync.Mutex
	statements map[string]string // by the path of the database
}

var settings = &connectionSettings{statements: map[string]string{}}

func init() { sqlite.RegisterConnectionHook(settings.apply) }

func (s *connectionSettings) set(url, statement string) (unset func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(url, "sqlite:")
	s.statements[path] = statement
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.statements, path)
	}
}

func (s *connectionSettings) apply(conn sqlite.ExecQuerierContext, dsn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, statement := range s.statements {
		if strings.Contains(dsn, path) {
			_, err := conn.ExecContext(context.Background(), statement, []driver.NamedValue{})
			return err
		}
	}
	return nil
}

// lockElsewhere lets another process hold the lock of the database.
func lockElsewhere(t *testing.T, url string) (end func()) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), envLock+"="+url)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = in.Close()
		_ = command.Wait()
	})
	t.Cleanup(end)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the other process said %q: %v", line, err)
	}
	return end
}

// holdLock is that other process.
func holdLock(url string) error {
	ctx := context.Background()
	db, err := openDB(ctx, url)
	if err != nil {
		return err
	}
	conn, err := db.SQL().Conn(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	fmt.Println("locked")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // the end of the input
	return nil
}
