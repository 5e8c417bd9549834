package integration

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/dbmanager"
	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// katib is a db-manager that runs in this process, and a client of it with gRPC's default limits, as Katib's are.
type katib struct {
	katibapi.DBManagerClient
	address string
}

func startKatib(t testing.TB, js jetstream.JetStream, db *katibdb.DB, cfg dbmanager.Config) katib {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := barrier.New(js, db)
	server, err := dbmanager.New(js, db, b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for name, run := range map[string]func() error{
		"barrier":    func() error { return b.Run(ctx) },
		"db-manager": func() error { return server.Run(ctx, listener) },
	} {
		parts.Go(func() {
			if err := run(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	t.Cleanup(func() { cancel(); parts.Wait() })
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return katib{katibapi.NewDBManagerClient(conn), listener.Addr().String()}
}

func (k katib) report(t testing.TB, trial string, log ...*katibapi.MetricLog) {
	t.Helper()
	_, err := k.ReportObservationLog(t.Context(), &katibapi.ReportObservationLogRequest{
		TrialName: trial, ObservationLog: &katibapi.ObservationLog{MetricLogs: log},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (k katib) get(t testing.TB, trial string) ([]*katibapi.MetricLog, error) {
	t.Helper()
	reply, err := k.GetObservationLog(t.Context(), &katibapi.GetObservationLogRequest{TrialName: trial})
	return reply.GetObservationLog().GetMetricLogs(), err
}

func entry(at, metric, value string) *katibapi.MetricLog {
	return &katibapi.MetricLog{TimeStamp: at, Metric: &katibapi.Metric{Name: metric, Value: value}}
}

// points publishes the numbers from..to of a producer, a point in each.
func points(t testing.TB, js jetstream.JetStream, trial string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		body := fmt.Sprintf(`{"time":"2026-11-24T12:00:00.%06dZ","metrics":{"n":%d}}`, n, n)
		send(t, js, "katib.metrics.default."+trial+".me", body, nats.Header{nats.MsgIdHdr: {fmt.Sprintf("me:%d", n)}})
	}
}

// python is the environment that `make setup` made.
func python(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../.venv/bin/python")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("no Python environment (%v); `make setup` makes it", err)
	}
	return path
}

// Katib's own Python SDK, unmodified, reports; its rows are those of Katib's own db-manager.
func TestKatibsSDKReports(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		js := connect(t, testserver.NATS(t).URL())
		db := open(t, url)
		consume(t, js, db, consumer.Config{})
		ensureStreams(t, js)
		k := startKatib(t, js, db, dbmanager.Config{})
		const steps = 5
		before := time.Now().Add(-time.Second)
		command := exec.CommandContext(t.Context(), python(t), "python/report.py", k.address, fmt.Sprint(steps))
		command.Env = append(os.Environ(), "KATIB_TRIAL_NAME=sdk-trial")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("report_metrics: %v\n%s", err, out)
		}
		rows, err := db.Rows(t.Context(), "sdk-trial")
		if err != nil || len(rows) != 2*steps {
			t.Fatalf("%d rows, %v; want %d", len(rows), err, 2*steps)
		}
		for i, row := range rows {
			metric, value := "loss", []string{"1.0", "0.5", "0.3333333333333333", "0.25", "0.2"}[i/2]
			if i%2 == 1 {
				metric, value = "accuracy", []string{"0.0", "0.2", "0.4", "0.6", "0.8"}[i/2]
			}
			if row.Metric != metric || row.Value != value || row.Time.Before(before) || row.Time.After(time.Now()) {
				t.Errorf("row %d is %+v; want %s %s", i, row, metric, value)
			}
		}
		log, err := k.get(t, "sdk-trial")
		if err != nil || len(log) != 2*steps {
			t.Errorf("Katib reads %d entries, %v", len(log), err)
		}
	})
}

// The race that hurts Katib: its controller reads once when a job has ended, and a log that lacks the last message makes
// the Trial fail for good.
func TestReadIsCompleteOrAnError(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		db := open(t, url)
		ensureStreams(t, js)
		c := consume(t, js, db, consumer.Config{})
		k := startKatib(t, js, db, dbmanager.Config{ReadWait: time.Second})
		points(t, js, "t", 1, 10)
		if log, err := k.get(t, "t"); err != nil || len(log) != 10 {
			t.Fatalf("read %d, %v; want 10", len(log), err)
		}
		c.stop()
		points(t, js, "t", 11, 11)
		if rows, err := db.Rows(t.Context(), "t"); err != nil || len(rows) != 10 {
			t.Fatalf("the database has %d rows, %v: the last message is there already", len(rows), err)
		}
		log, err := k.get(t, "t")
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("without a consumer: read %d, %v; want an error", len(log), err)
		}
		t.Logf("without a consumer: %v", err)
		consume(t, js, db, consumer.Config{})
		if log, err := k.get(t, "t"); err != nil || len(log) != 11 {
			t.Errorf("with a consumer again: read %d, %v; want 11", len(log), err)
		}
		// Numbers 12 to 14 were never sent.
		points(t, js, "t", 15, 15)
		if log, err := k.get(t, "t"); err != nil || len(log) != 12 {
			t.Errorf("with numbers missing: read %d, %v; want 12", len(log), err)
		}
		server.Stop()
		if log, err := k.get(t, "t"); status.Code(err) != codes.Unavailable {
			t.Errorf("without NATS: read %d, %v; want an error", len(log), err)
		}
	})
}

// A reader's wait goes through a change of the stream's leader and of the one that persists.
func TestReadInACluster(t *testing.T) {
	t.Parallel()
	url := testserver.Databases(t)[0].Fresh(t)
	cluster := testserver.Cluster(t)
	js := connect(t, cluster.URL())
	db := open(t, url)
	cfg := streams
	cfg.Replicas = 3
	eventually(t, "the streams are made", func() bool {
		_, err := consumer.EnsureStreams(t.Context(), js, cfg)
		return err == nil
	})
	consume(t, js, db, consumer.Config{Streams: cfg})
	k := startKatib(t, js, db, dbmanager.Config{ReadWait: 30 * time.Second})
	for round := 1; round <= 6; round++ {
		from := (round - 1) * 50
		for n := from + 1; n <= from+50; n++ {
			eventually(t, "a message is stored", func() bool {
				msg := nats.NewMsg("katib.metrics.default.t.p")
				msg.Header.Set(nats.MsgIdHdr, fmt.Sprintf("p:%d", n))
				msg.Data = []byte(`{"metrics":{"n":1}}`)
				_, err := js.PublishMsg(t.Context(), msg)
				return err == nil
			})
		}
		if round%2 == 0 {
			if _, err := js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN.KATIB_METRICS", nil, patience); err != nil {
				t.Fatal(err)
			}
		}
		var log []*katibapi.MetricLog
		var err error
		eventually(t, "the log is read", func() bool {
			log, err = k.get(t, "t")
			return err == nil
		})
		if len(log) != 50*round {
			t.Errorf("round %d: read %d, want %d", round, len(log), 50*round)
		}
	}
}

// The longest log that a sidecar reports in one call, and the order of rows of one and the same time.
func TestLongLogInOneCall(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		js := connect(t, testserver.NATS(t).URL())
		db := open(t, url)
		ensureStreams(t, js)
		consume(t, js, db, consumer.Config{})
		k := startKatib(t, js, db, dbmanager.Config{})
		const entries = 100_000
		log := make([]*katibapi.MetricLog, entries)
		for i := range log {
			log[i] = entry("2026-11-24T12:00:00Z", "loss", fmt.Sprint(i))
		}
		k.report(t, "long", log...)
		rows, err := db.Rows(t.Context(), "long")
		if err != nil || len(rows) != entries {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for i, row := range rows {
			if row.Value != fmt.Sprint(i) {
				t.Fatalf("row %d has the value %s", i, row.Value)
			}
		}
		read, err := k.get(t, "long")
		if err != nil || len(read) == 0 || read[len(read)-1].GetMetric().GetValue() != fmt.Sprint(entries-1) {
			t.Errorf("read %d, %v; the last must be there", len(read), err)
		}
	})
}

// A deletion ends what is there and what is on its way; the name is free for a new trial.
func TestDeletedTrialStaysDeleted(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		js := connect(t, testserver.NATS(t).URL())
		db := open(t, url)
		ensureStreams(t, js)
		c := consume(t, js, db, consumer.Config{})
		k := startKatib(t, js, db, dbmanager.Config{})
		other := startKatib(t, js, db, dbmanager.Config{}) // other replicas
		hasty := startKatib(t, js, db, dbmanager.Config{ReportAccepted: true})
		k.report(t, "t", entry("2026-11-24T12:00:00Z", "loss", "1"))
		other.report(t, "t", entry("2026-11-24T12:00:01Z", "loss", "2"))
		hasty.report(t, "t", entry("2026-11-24T12:00:02Z", "loss", "2.5"))
		points(t, js, "t", 1, 3)
		settled(t, js)
		c.stop()
		points(t, js, "t", 4, 6) // on its way
		for range 2 {
			if _, err := k.DeleteObservationLog(t.Context(), &katibapi.DeleteObservationLogRequest{TrialName: "t"}); err != nil {
				t.Fatal(err)
			}
		}
		points(t, js, "t", 7, 9) // late, of a producer that is known
		consume(t, js, db, consumer.Config{})
		if log, err := k.get(t, "t"); err != nil || len(log) != 0 {
			t.Errorf("after the deletion: %d, %v", len(log), err)
		}
		// All replicas go on with a new trial of the name.
		k.report(t, "t", entry("2026-11-24T13:00:00Z", "loss", "3"))
		other.report(t, "t", entry("2026-11-24T13:00:01Z", "loss", "4"))
		hasty.report(t, "t", entry("2026-11-24T13:00:02Z", "loss", "5"))
		log, err := k.get(t, "t")
		if err != nil || len(log) != 3 || log[0].GetMetric().GetValue() != "3" || log[1].GetMetric().GetValue() != "4" {
			t.Errorf("a new trial: %v, %v", log, err)
		}
	})
}

// Deleting works while NATS is away, and what the stream then turns out to hold stays deleted.
func TestDeletionWithoutNATS(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		db := open(t, url)
		ensureStreams(t, js)
		c := consume(t, js, db, consumer.Config{})
		k := startKatib(t, js, db, dbmanager.Config{})
		points(t, js, "t", 1, 3)
		settled(t, js)
		c.stop()
		send(t, js, "katib.metrics.default.t.unknown", `{"metrics":{"n":1}}`, nil) // of a producer that the database never met
		server.Stop()
		if _, err := k.DeleteObservationLog(t.Context(), &katibapi.DeleteObservationLogRequest{TrialName: "t"}); err != nil {
			t.Fatal(err)
		}
		server.Start()
		consume(t, js, db, consumer.Config{})
		settled(t, js)
		eventually(t, "the log is read", func() bool {
			log, err := k.get(t, "t")
			if err == nil && len(log) > 0 {
				t.Errorf("read %v", log)
			}
			return err == nil
		})
	})
}

// Katib's own clients take 4 MiB: of a longer log they could never read anything.
func TestMillionPointsAreRead(t *testing.T) {
	t.Parallel()
	js := connect(t, testserver.NATS(t).URL())
	db := open(t, "sqlite:"+filepath.Join(t.TempDir(), "katib.db"))
	ensureStreams(t, js)
	const fill = `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
		INSERT INTO observation_logs (trial_name, time, metric_name, value)
		SELECT 'long', strftime('%Y-%m-%d %H:%M:%S.000000', 1700000000 + i, 'unixepoch'), 'loss',
			CASE i WHEN 123456 THEN '-7' WHEN 654321 THEN '7' ELSE '0.' || i END FROM n`
	if _, err := db.SQL().ExecContext(t.Context(), fill); err != nil {
		t.Fatal(err)
	}
	k := startKatib(t, js, db, dbmanager.Config{})
	log, err := k.get(t, "long")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]int{}
	for i, e := range log {
		values[e.GetMetric().GetValue()]++
		if i > 0 && e.GetTimeStamp() <= log[i-1].GetTimeStamp() {
			t.Fatalf("entry %d is at %s, the one before at %s", i, e.GetTimeStamp(), log[i-1].GetTimeStamp())
		}
	}
	for what, value := range map[string]string{"first": "0.0", "last": "0.999999", "minimum": "-7", "maximum": "7"} {
		if values[value] != 1 {
			t.Errorf("the %s is there %d times", what, values[value])
		}
	}
	t.Logf("%d of 1,000,000 points", len(log))
}
