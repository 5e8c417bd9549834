package testserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dropTimeout is how long a test's database may take to be dropped.
const dropTimeout = 30 * time.Second

// Database is a kind of Katib DB that tests run on.
type Database struct {
	// Name is sqlite, mariadb, mysql or postgres.
	Name string

	server func() (*databaseServer, error) // nil for sqlite
}

// Databases lists every kind of database that tests run on here: sqlite, mariadb or mysql or both, and postgres. The
// tests of a process share one server of each kind, started when the first test asks for a database on it. The test
// fails when there is no way to have servers, and says what to install.
func Databases(t testing.TB) []Database {
	t.Helper()
	if _, err := shared.open(); err != nil {
		t.Fatal(err)
	}
	return shared.databases
}

// Fresh makes a new, empty database for the test, to be dropped when it ends, and returns the URL that katib-stream
// opens it by.
func (d Database) Fresh(t testing.TB) string {
	t.Helper()
	if d.server == nil {
		return "sqlite:" + filepath.Join(t.TempDir(), "katib.db")
	}
	server, err := d.server()
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + strings.ToLower(rand.Text()[:16])
	if err := server.create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		drop := func(ctx context.Context) error { return server.drop(ctx, name) }
		if err := within(dropTimeout, drop); err != nil {
			t.Error(err)
		}
	})
	return server.dialect.url(server.instance.address(), name)
}

// instance is a database server that a provider runs.
type instance interface {
	address() string
	start(context.Context) error
	stop(context.Context) error
	kill(context.Context) error
	pause(context.Context) error
	resume(context.Context) error
	remove(context.Context) error
}

// databaseServer is an instance, and how to talk to it.
type databaseServer struct {
	instance instance
	dialect  dialect
}

func (s *databaseServer) create(ctx context.Context, name string) error {
	return s.dialect.exec(ctx, s.instance.address(), fmt.Sprintf(s.dialect.create, name))
}

func (s *databaseServer) drop(ctx context.Context, name string) error {
	return s.dialect.exec(ctx, s.instance.address(), fmt.Sprintf(s.dialect.drop, name))
}
