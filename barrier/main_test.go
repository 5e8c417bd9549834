package barrier

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

const (
	patience = 20 * time.Second
	short    = 300 * time.Millisecond
	report   = `{"metrics":{"loss":1}}`
)

// counted counts the questions to a database, and fails them while trouble is set.
type counted struct {
	*katibdb.DB
	questions atomic.Int64
	trouble   atomic.Pointer[error]
}

func (c *counted) Persisted(ctx context.Context, refs []katibdb.Ref) ([]bool, error) {
	c.questions.Add(1)
	if err := c.trouble.Load(); err != nil {
		return nil, *err
	}
	return c.DB.Persisted(ctx, refs)
}

func (c *counted) Watermarks(ctx context.Context, asked []schema.Subject) ([]katibdb.Producer, error) {
	c.questions.Add(1)
	if err := c.trouble.Load(); err != nil {
		return nil, *err
	}
	return c.DB.Watermarks(ctx, asked)
}

// world is a server, a database, and a barrier over both.
type world struct {
	*testing.T
	server  *testserver.NATSServer
	js      jetstream.JetStream
	db      *counted
	barrier *Barrier
	stop    func() // of the barrier
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, server: testserver.NATS(t)}
	nc, err := nats.Connect(w.server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if w.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	cfg, err := katibdb.ParseURL("sqlite:" + filepath.Join(t.TempDir(), "katib.db"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := katibdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.db = &counted{DB: db}
	w.makeStreams()
	w.barrier = New(w.js, w.db)
	w.stop = w.run(w.barrier.Run)
	return w
}

func (w *world) makeStreams() {
	w.Helper()
	if _, err := consumer.EnsureStreams(w.Context(), w.js, consumer.StreamConfig{MaxBytes: 64 << 20, DeadLetterMaxBytes: 64 << 20}); err != nil {
		w.Fatal(err)
	}
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
	if err != nil {
		w.Fatal(err)
	}
	return w.run(c.Run)
}

func subjectOf(trial, producer string) schema.Subject {
	return schema.Subject{Namespace: "default", Trial: trial, Producer: producer}
}

// publish stores messages of a producer with the given numbers.
func (w *world) publish(s schema.Subject, body string, numbers ...uint64) {
	w.Helper()
	for _, number := range numbers {
		msg := nats.NewMsg(s.String())
		msg.Data = []byte(body)
		msg.Header.Set(schema.HeaderMsgID, schema.MessageID(s.Producer, number))
		if _, err := w.js.PublishMsg(w.Context(), msg); err != nil {
			w.Fatal(err)
		}
	}
}

// within gives a context that ends after d.
func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	w.Cleanup(cancel)
	return ctx
}

// delete deletes a trial as it is now.
func (w *world) delete(trial string) {
	w.Helper()
	look := func(ctx context.Context) (string, uint64, time.Time, error) {
		stream, err := w.js.Stream(ctx, schema.Stream)
		if err != nil {
			return "", 0, time.Time{}, err
		}
		return epochOf(stream), stream.CachedInfo().State.LastSeq, time.Now(), nil
	}
	if err := w.db.DeleteTrial(w.Context(), trial, look); err != nil {
		w.Fatal(err)
	}
}
