package producer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

func connect(t testing.TB, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// makeStream makes KATIB_METRICS as schema has it.
func makeStream(t testing.TB, nc *nats.Conn, adjust ...func(*jetstream.StreamConfig)) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var config jetstream.StreamConfig
	if err := json.Unmarshal(schema.StreamConfig, &config); err != nil {
		t.Fatal(err)
	}
	for _, f := range adjust {
		f(&config)
	}
	stream, err := js.CreateOrUpdateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// newProducer starts a producer for default/my-trial that the test's end closes.
func newProducer(t testing.TB, nc *nats.Conn, cfg Config) *Producer {
	t.Helper()
	cfg.Namespace, cfg.Trial = "default", "my-trial"
	p, err := New(nc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, p)
	return p
}

func closeAtEnd(t testing.TB, p *Producer) {
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(ended) // a test that cares has closed it before
	})
}

func event(value any) schema.Event {
	return schema.Event{Metrics: []schema.Metric{{Name: "n", Value: fmt.Sprint(value)}}}
}

// report reports the events from..to-1, whose values are their own numbers.
func report(t testing.TB, p *Producer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := p.Report(t.Context(), event(i)); err != nil {
			t.Fatalf("report %d: %v", i, err)
		}
	}
}

func closeNow(t testing.TB, p *Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// eventually waits for a condition that a real server brings about.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("in %v it did not come to this: %s", patience, what)
		}
	}
}

// readStream decodes all that the stream holds.
func readStream(t testing.TB, stream jetstream.Stream) []schema.Message {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var messages []schema.Message
	for sequence := uint64(1); sequence <= info.State.LastSeq; sequence++ {
		raw, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		m, err := schema.Decode(schema.Stored{Subject: raw.Subject, Header: raw.Header, Body: raw.Data, Epoch: "epoch", Sequence: sequence, Time: raw.Time})
		if err != nil {
			t.Fatalf("message %d breaks the contract: %v", sequence, err)
		}
		messages = append(messages, m)
	}
	return messages
}

// checkRun demands that the stream holds a whole run of p: messages 1, 2, 3, …, each once, only the last of them final,
// with events of the values 0 to events-1 whose times strictly increase. ordered demands the order of the numbers too.
func checkRun(t testing.TB, stream jetstream.Stream, p *Producer, events int, ordered bool) []schema.Message {
	t.Helper()
	messages := readStream(t, stream)
	byNumber := map[uint64]schema.Message{}
	for i, m := range messages {
		if m.Identity.Source != p.ID() || m.Subject.Trial != "my-trial" || m.Subject.Namespace != "default" {
			t.Fatalf("message %d has the identity %v and the subject %v", i, m.Identity, m.Subject)
		}
		if _, twice := byNumber[m.Identity.Number]; twice {
			t.Errorf("number %d is stored twice", m.Identity.Number)
		}
		byNumber[m.Identity.Number] = m
		if ordered && m.Identity.Number != uint64(i+1) {
			t.Errorf("message %d has the number %d", i+1, m.Identity.Number)
		}
	}
	seen := map[string]bool{}
	var last time.Time
	for number := uint64(1); number <= uint64(len(messages)); number++ {
		m, ok := byNumber[number]
		if !ok || m.Final != (number == uint64(len(messages))) {
			t.Errorf("number %d of %d: stored %v, final %v", number, len(messages), ok, m.Final)
		}
		for _, e := range m.Events {
			if gap := e.Time.Sub(last); gap < time.Microsecond {
				t.Fatalf("event %s is %v after the one before it", e.Metrics[0].Value, gap)
			}
			last, seen[e.Metrics[0].Value] = e.Time, true
		}
	}
	for i := range events {
		if !seen[fmt.Sprint(i)] {
			t.Errorf("event %d is lost", i)
		}
	}
	if got := eventCount(messages); got != events {
		t.Errorf("the stream holds %d events, want %d", got, events)
	}
	return messages
}

func eventCount(messages []schema.Message) int {
	n := 0
	for _, m := range messages {
		n += len(m.Events)
	}
	return n
}

// journal is a log that a test can read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}
