package dbmanager

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

const (
	patience = 20 * time.Second
	trial    = "my-trial"
)

// world is a db-manager over a NATS server and a SQLite database, with streams, and without a consumer.
type world struct {
	*testing.T
	nats   *testserver.NATSServer
	js     jetstream.JetStream
	db     *katibdb.DB
	server *Server
	client katibapi.DBManagerClient
	conn   *grpc.ClientConn
	stop   func() // of the server
}

func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	w := &world{T: t, nats: testserver.NATS(t)}
	nc, err := nats.Connect(w.nats.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	w.must(err)
	t.Cleanup(nc.Close)
	w.js, err = jetstream.New(nc)
	w.must(err)
	dbConfig, err := katibdb.ParseURL("sqlite:" + filepath.Join(t.TempDir(), "katib.db"))
	w.must(err)
	w.db, err = katibdb.Open(t.Context(), dbConfig)
	w.must(err)
	t.Cleanup(func() { w.db.Close() })
	w.must(w.db.Migrate(t.Context()))
	_, err = consumer.EnsureStreams(t.Context(), w.js, consumer.StreamConfig{MaxBytes: 64 << 20, DeadLetterMaxBytes: 64 << 20})
	w.must(err)
	b := barrier.New(w.js, w.db)
	w.run(b.Run)
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	w.server, err = New(w.js, w.db, b, cfg)
	w.must(err)
	listener := w.listen()
	w.stop = w.run(func(ctx context.Context) error { return w.server.Run(ctx, listener) })
	w.conn = w.dial(listener.Addr().String(), insecure.NewCredentials())
	w.client = katibapi.NewDBManagerClient(w.conn)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) listen() net.Listener {
	w.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	return listener
}

func (w *world) dial(address string, creds credentials.TransportCredentials) *grpc.ClientConn {
	w.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	w.must(err)
	w.Cleanup(func() { conn.Close() })
	return conn
}

// run runs something until stop is called, or the test ends.
func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("run: %v", err)
		}
	})
	w.Cleanup(stop)
	return stop
}

// consume persists what the stream holds, until stop is called.
func (w *world) consume() (stop func()) {
	w.Helper()
	c, err := consumer.New(w.js, w.db, consumer.Config{Workers: 2, AckWait: time.Second})
	w.must(err)
	return w.run(c.Run)
}

// within gives a context that ends after d.
func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	w.Cleanup(cancel)
	return ctx
}

func (w *world) report(ctx context.Context, log ...*katibapi.MetricLog) error {
	_, err := w.client.ReportObservationLog(ctx, &katibapi.ReportObservationLogRequest{
		TrialName: trial, ObservationLog: &katibapi.ObservationLog{MetricLogs: log},
	})
	return err
}

func (w *world) get(ctx context.Context, options ...grpc.CallOption) ([]*katibapi.MetricLog, error) {
	reply, err := w.client.GetObservationLog(ctx, &katibapi.GetObservationLogRequest{TrialName: trial}, options...)
	return reply.GetObservationLog().GetMetricLogs(), err
}

func (w *world) delete() {
	w.Helper()
	_, err := w.client.DeleteObservationLog(w.within(patience), &katibapi.DeleteObservationLogRequest{TrialName: trial})
	w.must(err)
}

// wants reads the log until it ends, and compares it with text of "time name=value".
func (w *world) wants(want ...string) {
	w.Helper()
	log, err := w.get(w.within(patience))
	w.must(err)
	if got := texts(log); !slices.Equal(got, want) {
		w.Errorf("the log is %q, not %q", got, want)
	}
}

func texts(log []*katibapi.MetricLog) []string {
	var lines []string
	for _, entry := range log {
		lines = append(lines, entry.TimeStamp+" "+entry.Metric.Name+"="+entry.Metric.Value)
	}
	return lines
}

func (w *world) wantCode(err error, want codes.Code) {
	w.Helper()
	if status.Code(err) != want {
		w.Fatalf("want %v, got %v", want, err)
	}
	w.Log(err)
}

func entry(at, name, value string) *katibapi.MetricLog {
	return &katibapi.MetricLog{TimeStamp: at, Metric: &katibapi.Metric{Name: name, Value: value}}
}

// held is every message that the stream holds.
func (w *world) held() []*jetstream.RawStreamMsg {
	w.Helper()
	stream, err := w.js.Stream(w.Context(), schema.Stream)
	w.must(err)
	var held []*jetstream.RawStreamMsg
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(w.Context(), seq)
		w.must(err)
		held = append(held, msg)
	}
	return held
}

func (w *world) id() string {
	return w.server.writers.byTrial[trial].id
}

func (w *world) eventually(what string, done func() bool) {
	w.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			w.Fatalf("not within %v: %s", patience, what)
		}
	}
}
