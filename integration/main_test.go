package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// With these in its environment the test binary is a consumer, so that a test can kill one.
const (
	envServer = "KATIB_STREAM_TEST_CONSUMER_SERVER"
	envDB     = "KATIB_STREAM_TEST_CONSUMER_DB"
	// envKillAfter makes the consumer kill itself with SIGKILL after that many commits, before it acknowledges.
	envKillAfter = "KATIB_STREAM_TEST_CONSUMER_KILL_AFTER"
)

func TestMain(m *testing.M) {
	if server := os.Getenv(envServer); server != "" {
		if err := beConsumer(server, os.Getenv(envDB), os.Getenv(envKillAfter)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if server := os.Getenv(envTrainer); server != "" {
		if err := beTrainer(server); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if url := os.Getenv(envLock); url != "" {
		if err := holdLock(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Most of the time these tests wait for something to pass, so more of them go at a time than there are processors.
	_ = flag.Set("test.parallel", "8")
	os.Exit(testserver.Run(m))
}

// streams is how the tests' streams are made: small, with a duplicate window that ends soon.
var streams = consumer.StreamConfig{MaxBytes: 256 << 20, DeadLetterMaxBytes: 64 << 20, DuplicateWindow: 100 * time.Millisecond}

func beConsumer(server, db, killAfter string) error {
	ctx := context.Background()
	limit, err := strconv.Atoi(killAfter)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(server, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	store, err := openDB(ctx, db)
	if err != nil {
		return err
	}
	defer store.Close()
	var commits atomic.Int32
	c, err := consumer.New(js, store, consumer.Config{
		Workers: 2, AckWait: 2 * time.Second, BatchRows: 2_000, Streams: streams,
		AfterCommit: func() {
			if limit > 0 && commits.Add(1) == int32(limit) {
				fmt.Println("failpoint: killed between commit and acknowledgement")
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		},
	})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

func openDB(ctx context.Context, url string) (*katibdb.DB, error) {
	cfg, err := katibdb.ParseURL(url)
	if err != nil {
		return nil, err
	}
	db, err := katibdb.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return db, errors.Join(db.Migrate(ctx))
}

const patience = 2 * time.Minute

// eventually polls until done is true, and fails the test when that takes longer than patience.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func connect(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func open(t testing.TB, url string) *katibdb.DB {
	t.Helper()
	db, err := openDB(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// running is a consumer in this process.
type running struct {
	*consumer.Consumer
	metrics *prometheus.Registry
	stop    func()
}

// consume runs a consumer until the test ends or it is stopped.
func consume(t testing.TB, js jetstream.JetStream, db consumer.Database, cfg consumer.Config) *running {
	t.Helper()
	r := &running{metrics: prometheus.NewRegistry()}
	cfg.Registerer = r.metrics
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if cfg.Streams == (consumer.StreamConfig{}) {
		cfg.Streams = streams
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 2 * time.Second
	}
	c, err := consumer.New(js, db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Consumer = c
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("consumer: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// value reads a counter or gauge, summed over its labels; labels are name and value in turn.
func (r *running) value(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			match := len(labels) == 0
			for _, label := range m.GetLabel() {
				match = match || (label.GetName() == labels[0] && label.GetValue() == labels[1])
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func ensureStreams(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	eventually(t, "the streams are made", func() bool {
		_, err := consumer.EnsureStreams(t.Context(), js, streams)
		return err == nil
	})
}

// overDatabases runs a test over a fresh database of every kind.
func overDatabases(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	for _, database := range testserver.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			test(t, database.Fresh(t))
		})
	}
}

// openAs opens a database as it is, without making tables.
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
