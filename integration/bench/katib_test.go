package bench

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/dbmanager"
	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/flush"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// measured is how long each of the loops of reports runs.
const measured = 3 * time.Second

// BenchmarkReport reports one point a call over one connection, answered when it is persisted, and sets that beside what
// Katib's db-manager does for each report: prepare, insert a row, close.
func BenchmarkReport(b *testing.B) {
	for _, database := range realDatabases(b) {
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d callers/plain loop", database.Name, callers), func(b *testing.B) {
				db := open(b, database.Fresh(b))
				defer db.Close()
				insert := "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES (?, ?, ?, ?)"
				if database.Name == "postgres" {
					insert = "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ($1, $2, $3, $4)"
				}
				rate(b, callers, func(ctx context.Context, caller, n int) error { return plainReport(ctx, db.SQL(), insert, caller, n) })
			})
			b.Run(fmt.Sprintf("%s/%d callers/db-manager", database.Name, callers), func(b *testing.B) {
				db := open(b, database.Fresh(b))
				defer db.Close()
				client := startKatib(b, connect(b, testserver.NATS(b).URL()), db)
				rate(b, callers, func(ctx context.Context, caller, n int) error {
					_, err := client.ReportObservationLog(ctx, &katibapi.ReportObservationLogRequest{
						TrialName: trial(caller),
						ObservationLog: &katibapi.ObservationLog{MetricLogs: []*katibapi.MetricLog{{
							TimeStamp: at(n).Format(time.RFC3339Nano), Metric: &katibapi.Metric{Name: metric, Value: value(n)},
						}}},
					})
					return err
				})
			})
		}
	}
}

func realDatabases(b *testing.B) (found []testserver.Database) {
	for _, database := range testserver.Databases(b) {
		if database.Name != "sqlite" {
			found = append(found, database)
		}
	}
	return found
}

func plainReport(ctx context.Context, db *sql.DB, insert string, caller, n int) error {
	statement, err := db.PrepareContext(ctx, insert)
	if err != nil {
		return err
	}
	defer statement.Close()
	_, err = statement.ExecContext(ctx, trial(caller), at(n).Format(timeText), metric, value(n))
	return err
}

// rate lets callers report one after the other for a while, and gives how many reports there were a second.
func rate(b *testing.B, callers int, report func(ctx context.Context, caller, n int) error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), measured)
	defer cancel()
	var reports atomic.Int64
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := report(b.Context(), caller, n); err != nil {
					b.Error(err)
					return
				}
				reports.Add(1)
			}
		})
	}
	wait.Wait()
	b.ReportMetric(0, "ns/op") // says nothing here
	b.ReportMetric(float64(reports.Load())/measured.Seconds(), "reports/s")
}

// startKatib runs a consumer and a db-manager in this process, and gives a client.
func startKatib(b *testing.B, js jetstream.JetStream, db *katibdb.DB) katibapi.DBManagerClient {
	b.Helper()
	conn, err := grpc.NewClient(serveKatib(b, js, db), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return katibapi.NewDBManagerClient(conn)
}

// serveKatib runs a consumer, its flush service and a db-manager in this process, and gives the db-manager's address.
func serveKatib(b *testing.B, js jetstream.JetStream, db *katibdb.DB) string {
	b.Helper()
	c, err := consumer.New(js, db, consumer.Config{Streams: consumer.StreamConfig{MaxBytes: 1 << 30, DeadLetterMaxBytes: 64 << 20}})
	if err != nil {
		b.Fatal(err)
	}
	wall := barrier.New(js, db)
	server, err := dbmanager.New(js, db, wall, dbmanager.Config{})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{
		c.Run, wall.Run,
		func(ctx context.Context) error { return server.Run(ctx, listener) },
		func(ctx context.Context) error { return flush.Serve(ctx, js.Conn(), wall, flush.Config{}) },
	} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	b.Cleanup(func() { cancel(); parts.Wait() })
	for c.Ready(b.Context()) != nil {
		if b.Context().Err() != nil {
			b.Fatal("the consumer is not ready")
		}
	}
	return listener.Addr().String()
}

// BenchmarkGet reads a trial of 1,000 points out of a table of 1,000,000 rows, with our index and without it.
func BenchmarkGet(b *testing.B) {
	for _, database := range realDatabases(b) {
		for _, indexed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/index %v", database.Name, indexed), func(b *testing.B) {
				db := open(b, database.Fresh(b))
				defer db.Close()
				fillTable(b, db)
				if indexed {
					if err := db.AddIndex(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				client := startKatib(b, connect(b, testserver.NATS(b).URL()), db)
				for b.Loop() {
					reply, err := client.GetObservationLog(b.Context(), &katibapi.GetObservationLogRequest{TrialName: "trial-500"})
					if got := len(reply.GetObservationLog().GetMetricLogs()); err != nil || got != points/1_000 {
						b.Fatalf("%d points, %v", got, err)
					}
				}
			})
		}
	}
}

// fillTable inserts 1,000,000 rows of 1,000 trials that reported side by side.
func fillTable(b *testing.B, db *katibdb.DB) {
	b.Helper()
	const trials, together = 1_000, 1_000
	for from := 0; from < points; from += together {
		var insert strings.Builder
		insert.WriteString("INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES ")
		for n := from; n < from+together; n++ {
			if n > from {
				insert.WriteByte(',')
			}
			fmt.Fprintf(&insert, "('trial-%d','%s','%s','%s')", n%trials, at(n).Format(timeText), metric, value(n))
		}
		if _, err := db.SQL().ExecContext(b.Context(), insert.String()); err != nil {
			b.Fatal(err)
		}
	}
}
