package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// lastingPort is a free port below those that the system gives to outgoing connections: a client that looks for the killed
// server could otherwise be given the server's own port.
func lastingPort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(15_000 + rand.IntN(17_000))
		if listener, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("none of 100 ports is free")
	return ""
}

// TestUpSurvivesKill9 kills `up` again and again while a producer reports, and starts it again on the same folder: every
// event that was acknowledged is in the database exactly once, in order.
func TestUpSurvivesKill9(t *testing.T) {
	t.Parallel()
	const kills, eventsPerLife = 3, 200
	data, port := t.TempDir(), lastingPort(t)
	args := []string{"up", "--data", data, "--port", port, "--listen", "", "--listen-address", "", "-o", "json", "--ack-wait", "1s"}
	up := startProcess(t, nil, args...)
	where := up.places()
	p, err := producer.New(connect(t, where.NATS).Conn(), producer.Config{Namespace: "default", Trial: "t", BatchEvents: 7, BatchWait: time.Millisecond, AckWait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	reported := 0
	report := func(until uint64) {
		eventually(t, fmt.Sprintf("%d events are stored", until), func() bool {
			for range 50 {
				if err := p.Report(t.Context(), schema.Event{Metrics: []schema.Metric{{Name: "i", Value: strconv.Itoa(reported)}}}); err != nil {
					t.Fatal(err)
				}
				reported++
			}
			return p.Stats().Stored >= until
		})
	}
	for range kills {
		report(p.Stats().Stored + eventsPerLife)
		up.signal(syscall.SIGKILL)
		up.wait()
		up = startProcess(t, nil, args...)
		up.places()
	}
	report(p.Stats().Stored + 1)
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := make([]string, reported)
	for i := range want {
		want[i] = fmt.Sprintf("i %d", i)
	}
	persisted(t, where.Database, "t", want...)
	if dead := query(t, where.Database, "SELECT trial_name FROM observation_logs WHERE trial_name <> 't'"); len(dead) > 0 {
		t.Errorf("rows of others: %v", dead)
	}
	begin := time.Now()
	if status := up.finish(); status != statusOK || time.Since(begin) > 15*time.Second {
		t.Errorf("SIGTERM: status %d after %v; %s", status, time.Since(begin), &up.stderr)
	}
	// What a data scientist opens afterwards, with any SQLite.
	db, err := sql.Open("sqlite", filepath.Join(data, "katib.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var rows int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM observation_logs").Scan(&rows); err != nil || rows != reported {
		t.Errorf("%d rows after the end, %v; want %d", rows, err, reported)
	}
}

// TestUpAsAProcess has what only a process can show: another one that uses the folder is named, and SIGTERM ends it.
func TestUpAsAProcess(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	first := startProcess(t, nil, upArgs(data)...)
	first.places()
	second := startProcess(t, nil, upArgs(data)...)
	got := result{second.wait(), second.stdout.String(), second.stderr.String()}
	failsWith(t, got, statusError, fmt.Sprintf("katib-stream: up: lock the data folder %s: another katib-stream (process %d) uses it", data, first.process.Pid))
	begin := time.Now()
	if status := first.finish(); status != statusOK || time.Since(begin) > 15*time.Second {
		t.Errorf("SIGTERM: status %d after %v; %s", status, time.Since(begin), &first.stderr)
	}
	third := startProcess(t, nil, upArgs(data)...)
	third.places()
}

// TestUpInAFolderOfAnother has a data folder that this user must not write to.
func TestUpInAFolderOfAnother(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o500); err != nil {
		t.Fatal(err)
	}
	up := startUnprivileged(t, upArgs(data)...)
	got := result{up.wait(), up.stdout.String(), up.stderr.String()}
	failsWith(t, got, statusError, "katib-stream: up: ", "permission denied", "give another with --data")
	if files, err := os.ReadDir(data); err != nil || len(files) > 0 {
		t.Errorf("the folder has %v, %v", files, err)
	}
}
