package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/katib-stream/katib-stream/katibdb"
)

// query reads from a database with plain SQL: the rows, their columns joined by spaces.
func query(t testing.TB, url, text string) []string {
	t.Helper()
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := katibdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.SQL().QueryContext(t.Context(), text)
	if err != nil {
		return nil // the tables may not be there yet
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for rows.Next() {
		values, targets := make([]string, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		found = append(found, strings.Join(values, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// persisted waits until the database has exactly these rows of a trial, each "metric value".
func persisted(t testing.TB, url, trial string, want ...string) {
	t.Helper()
	var got []string
	eventually(t, fmt.Sprintf("the database has %q of trial %s", want, trial), func() bool {
		got = query(t, url, "SELECT metric_name, value FROM observation_logs WHERE trial_name = '"+trial+"' ORDER BY time, id")
		return len(got) >= len(want)
	})
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the database has %q of trial %s, want %q", got, trial, want)
	}
}

// katibEnv says with Katib's own variables what a database URL says.
func katibEnv(t testing.TB, text string) map[string]string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	prefix := map[string]string{"mysql": "KATIB_MYSQL_DB_", "postgres": "KATIB_POSTGRESQL_DB_"}[u.Scheme]
	password, _ := u.User.Password()
	return map[string]string{
		"DB_NAME": u.Scheme, "DB_USER": u.User.Username(), "DB_PASSWORD": password,
		prefix + "HOST": u.Hostname(), prefix + "PORT": u.Port(), prefix + "DATABASE": strings.Trim(u.Path, "/"),
	}
}

// withPassword replaces the password in a database URL.
func withPassword(t testing.TB, text, password string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// forwarder listens in place of a database, and hangs up on everybody until it is opened.
type forwarder struct {
	url    string // of the database, by way of the forwarder
	tried  atomic.Int32
	opened atomic.Bool
}

func forward(t testing.TB, text string) *forwarder {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	u.Host = listener.Addr().String()
	f := &forwarder{url: u.String()}
	var pipes sync.WaitGroup
	pipes.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			f.tried.Add(1)
			if f.opened.Load() {
				pipes.Go(func() { pipe(client, target) })
				continue
			}
			_ = client.(*net.TCPConn).SetLinger(0) // a reset is the rudest
			client.Close()
		}
	})
	t.Cleanup(func() { listener.Close(); pipes.Wait() })
	return f
}

// pipe copies both ways until the client goes.
func pipe(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(client, server) })
	_, _ = io.Copy(server, client)
	server.Close()
	back.Wait()
}
