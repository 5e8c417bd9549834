package testserver

import (
	"context"
	"testing"
	"time"
)

// faultTimeout is how long a server may take to do what a test tells it: stop, restart with a recovery, pause.
const faultTimeout = 90 * time.Second

// DatabaseServer is a database server of one test, for faults. Its methods are for the goroutine of the test, and fail
// it when the server does not do as told.
type DatabaseServer struct {
	t      testing.TB
	server *databaseServer
}

// Dedicated starts a database server for this test alone. The name is one that Databases lists, other than sqlite. The
// arguments are further ones of the server program, such as --innodb-flush-log-at-trx-commit=2. It has the durability
// that is the default of its kind otherwise. The server and its data go when the test ends.
func Dedicated(t testing.TB, name string, arguments ...string) *DatabaseServer {
	t.Helper()
	provider, err := shared.open()
	if err != nil {
		t.Fatal(err)
	}
	server, err := provider.start(t.Context(), name, arguments)
	if err != nil {
		t.Fatal(err)
	}
	s := &DatabaseServer{t: t, server: server}
	t.Cleanup(func() {
		if err := within(faultTimeout, server.instance.remove); err != nil {
			t.Error(err)
		}
	})
	if err := server.create(t.Context(), "katib"); err != nil {
		t.Fatal(err)
	}
	return s
}

// URL is the URL of the server's database katib, which is empty at first. It stays the same over a restart.
func (s *DatabaseServer) URL() string {
	return s.server.dialect.url(s.server.instance.address(), "katib")
}

// Kill kills the server with SIGKILL.
func (s *DatabaseServer) Kill() {
	s.t.Helper()
	s.do(s.server.instance.kill)
}

// Stop ends the server in good order.
func (s *DatabaseServer) Stop() {
	s.t.Helper()
	s.do(s.server.instance.stop)
}

// Start starts the server again after Kill or Stop, with its data, and returns when it answers.
func (s *DatabaseServer) Start() {
	s.t.Helper()
	s.do(s.server.instance.start)
}

// Pause stops the server and all it has started where they are, connections open; nothing is answered until Resume.
func (s *DatabaseServer) Pause() {
	s.t.Helper()
	s.do(s.server.instance.pause)
}

// Resume lets a paused server go on.
func (s *DatabaseServer) Resume() {
	s.t.Helper()
	s.do(s.server.instance.resume)
}

func (s *DatabaseServer) do(order func(context.Context) error) {
	s.t.Helper()
	if err := within(faultTimeout, order); err != nil {
		s.t.Fatal(err)
	}
}

// within is for orders that outlive the test's own context: cleaning up comes after that has ended.
func within(timeout time.Duration, order func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return order(ctx)
}
