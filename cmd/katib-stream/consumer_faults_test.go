package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

func TestConsumerWaitsForNATS(t *testing.T) {
	t.Parallel()
	ns := testserver.NATS(t)
	ns.Stop()
	db := "sqlite:" + t.TempDir() + "/katib.db"
	server := strings.Replace(ns.URL(), "nats://", "nats://me:"+secret+"@", 1)
	c := consume(t, nil, "--server", server, "--db", db)
	c.says("NATS is away; trying again until it answers")
	c.answers("/readyz", http.StatusServiceUnavailable, "not connected to NATS")
	c.answers("/healthz", http.StatusOK, "ok")
	ns.Start()
	c.says("connected to NATS")
	c.answers("/readyz", http.StatusOK, "ok")
	report(t, ns.URL(), "default", "t")
	persisted(t, db, "t", "loss 1")
	if log := c.stderr.String(); strings.Count(log, "NATS is away") != 1 || strings.Count(log, `"msg":"connected to NATS"`) != 1 || strings.Contains(log, secret) {
		t.Errorf("it says it more than once, or tells the password:\n%s", log)
	}
	ns.Stop()
	c.answers("/readyz", http.StatusServiceUnavailable, "not connected to NATS")
	begin := time.Now()
	if status := c.finish(); status != statusOK || time.Since(begin) > 15*time.Second {
		t.Errorf("it ended without NATS with status %d after %v", status, time.Since(begin))
	}
}

func TestConsumerWaitsForItsDatabase(t *testing.T) {
	t.Parallel()
	for _, database := range testserver.Databases(t) {
		if database.Name == "sqlite" {
			continue // a file is there
		}
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			ns := testserver.NATS(t)
			db := database.Fresh(t)
			away := forward(t, db)
			c := consume(t, nil, "--server", ns.URL(), "--db", away.url)
			c.says("the database is not ready; trying again until it is")
			c.answers("/readyz", http.StatusServiceUnavailable, "migrate ")
			c.answers("/healthz", http.StatusOK, "ok")
			early := consume(t, nil, "--server", ns.URL(), "--db", away.url)
			early.says("the database is not ready")
			if status := early.finish(); status != statusOK {
				t.Errorf("a consumer that never had its database ended with status %d", status)
			}
			tried := away.tried.Load()
			eventually(t, "it tries again", func() bool { return away.tried.Load() >= tried+4 })
			away.opened.Store(true)
			c.answers("/readyz", http.StatusOK, "ok")
			report(t, ns.URL(), "default", "t")
			persisted(t, db, "t", "loss 1")
			if log := c.stderr.String(); strings.Count(log, "the database is not ready") != 1 || strings.Count(log, "the database is there") != 1 || strings.Contains(log, ":katib@") {
				t.Errorf("it says it more than once, or tells the password:\n%s", log)
			}
			if status := c.finish(); status != statusOK {
				t.Errorf("status %d", status)
			}
		})
	}
}

func TestConsumerWithoutMigrating(t *testing.T) {
	t.Parallel()
	ns := testserver.NATS(t)
	db := "sqlite:" + t.TempDir() + "/katib.db"
	c := consume(t, nil, "--server", ns.URL(), "--db", db, "--migrate=false", "--ack-wait", "1s")
	c.says(`"msg":"consuming"`)
	report(t, ns.URL(), "default", "t")
	c.says("database is not well; nothing is lost, trying again until it is")
	c.answers("/readyz", http.StatusServiceUnavailable, "no such table")
	if got := katibStream(t, "migrate", "--db", db); got.status != statusOK {
		t.Fatal(got)
	}
	persisted(t, db, "t", "loss 1")
	c.answers("/readyz", http.StatusOK, "ok")
}

// holdDatabase keeps everybody else from writing to a SQLite file until the test ends.
func holdDatabase(t testing.TB, url string) {
	t.Helper()
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := katibdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
}

// inWork reports an event, and waits until a consumer says of its message that the work on it goes on.
func inWork(t testing.TB, server string) {
	t.Helper()
	acknowledgements, err := connect(t, server).Conn().SubscribeSync("$JS.ACK.>")
	if err != nil {
		t.Fatal(err)
	}
	report(t, server, "default", "t")
	for {
		msg, err := acknowledgements.NextMsg(patience)
		if err != nil {
			t.Fatalf("wait until the consumer works: %v", err)
		}
		if string(msg.Data) == "+WPI" {
			return
		}
	}
}

// TestConsumerSignals sends signals to a consumer that has nothing to do, and to one that cannot end its batch.
func TestConsumerSignals(t *testing.T) {
	t.Parallel()
	const killed = -1
	tests := map[string]struct {
		signal      syscall.Signal
		stopTimeout string
		busy, again bool
		status      int
	}{
		"SIGTERM":                    {signal: syscall.SIGTERM, stopTimeout: "1m"},
		"SIGINT":                     {signal: syscall.SIGINT, stopTimeout: "1m"},
		"in the middle of a batch":   {signal: syscall.SIGTERM, stopTimeout: "300ms", busy: true},
		"again, in the middle of it": {signal: syscall.SIGTERM, stopTimeout: "1h", busy: true, again: true, status: killed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := testserver.NATS(t)
			db := "sqlite:" + t.TempDir() + "/katib.db"
			c := startProcess(t, nil, "consumer", "--server", ns.URL(), "--db", db, "--listen", "127.0.0.1:0", "--log-format", "json", "--ack-wait", "1s", "--stop-timeout", tt.stopTimeout)
			c.answers("/readyz", http.StatusOK, "ok")
			if tt.busy {
				holdDatabase(t, db)
				inWork(t, ns.URL())
			}
			begin := time.Now()
			c.signal(tt.signal)
			c.says("stopping; batches under way end first, a second signal aborts")
			if tt.again {
				c.abort()
			}
			if status := c.wait(); status != tt.status || time.Since(begin) > 15*time.Second {
				t.Errorf("status %d after %v, want %d; log\n%s", status, time.Since(begin), tt.status, &c.stderr)
			}
		})
	}
}
