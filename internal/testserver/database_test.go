package testserver

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// openDatabase opens what a URL of katib-stream names, by the plain driver.
func openDatabase(t *testing.T, url string) *sql.DB {
	t.Helper()
	scheme, rest, _ := strings.Cut(url, ":")
	driver, dsn := "pgx", url
	switch scheme {
	case "sqlite":
		driver, dsn = "sqlite", rest
	case "mysql":
		account, server, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "@")
		addr, name, _ := strings.Cut(server, "/")
		driver, dsn = "mysql", account+"@tcp("+addr+")/"+name
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func rows(t *testing.T, db *sql.DB) int {
	t.Helper()
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM kept").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFreshDatabases(t *testing.T) {
	for _, database := range Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			url := database.Fresh(t)
			mustExec(t, openDatabase(t, url), "CREATE TABLE kept (text VARCHAR(20))")
			mustExec(t, openDatabase(t, url), "INSERT INTO kept VALUES ('schön 😀')")
			var text string
			if err := openDatabase(t, url).QueryRowContext(t.Context(), "SELECT text FROM kept").Scan(&text); err != nil || text != "schön 😀" {
				t.Errorf("read %q, %v; want what was written", text, err)
			}
			other := database.Fresh(t)
			if _, err := openDatabase(t, other).ExecContext(t.Context(), "SELECT * FROM kept"); err == nil {
				t.Error("a second fresh database holds the table of the first")
			}
		})
	}
}

// TestFreshIsDropped looks from a later test at the server that an earlier one used.
func TestFreshIsDropped(t *testing.T) {
	for _, database := range Databases(t) {
		if database.Name == "sqlite" {
			continue // its file is in the temporary folder of the test
		}
		t.Run(database.Name, func(t *testing.T) {
			var url string
			t.Run("use", func(t *testing.T) { url = database.Fresh(t) })
			if err := openDatabase(t, url).PingContext(t.Context()); err == nil {
				t.Errorf("%s still answers after its test", url)
			}
		})
	}
}

func TestWrongPasswordIsRefused(t *testing.T) {
	for _, database := range Databases(t) {
		if database.Name == "sqlite" {
			continue
		}
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			url := strings.Replace(database.Fresh(t), ":"+account+"@", ":wrong@", 1)
			if err := openDatabase(t, url).PingContext(t.Context()); err == nil {
				t.Error("a wrong password opens the database")
			}
		})
	}
}

// TestDedicated takes a server of each kind through its faults; what was committed is there after each.
func TestDedicated(t *testing.T) {
	for _, database := range Databases(t) {
		if database.Name == "sqlite" {
			continue
		}
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			server := Dedicated(t, database.Name)
			url := server.URL()
			db := openDatabase(t, url)
			mustExec(t, db, "CREATE TABLE kept (text VARCHAR(20))")
			mustExec(t, db, "INSERT INTO kept VALUES ('before')")

			server.Kill()
			if err := db.PingContext(t.Context()); err == nil {
				t.Error("it answers after Kill")
			}
			server.Start()
			mustExec(t, db, "INSERT INTO kept VALUES ('after the kill')")

			server.Stop()
			if err := db.PingContext(t.Context()); err == nil {
				t.Error("it answers after Stop")
			}
			server.Start()
			mustExec(t, db, "INSERT INTO kept VALUES ('after the stop')")

			server.Pause()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if _, err := db.ExecContext(ctx, "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while paused an open connection says %v; want no answer", err)
			}
			server.Resume()
			eventually(t, "it answers after Resume", func() bool { return db.PingContext(t.Context()) == nil })

			if n := rows(t, db); n != 3 {
				t.Errorf("%d rows are left; want the 3 that were committed", n)
			}
			if server.URL() != url {
				t.Errorf("the URL became %s; it was %s", server.URL(), url)
			}
		})
	}
}
