package consumer

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

const patience = 20 * time.Second

// fakeDB stands in for Katib DB where a test needs it to fail in a certain way; what a real one does is tested in
// katibdb and in integration.
type fakeDB struct {
	persist   func(batch []katibdb.Message) ([]katibdb.Outcome, error)
	persisted func(ref katibdb.Ref) bool // nil: nothing is
	forgotten chan uint64

	mu     sync.Mutex
	kept   []katibdb.Message
	purges []katibdb.Purge
	// unended has attempts by sequence, and noted each note of them, nil for a batch that was persisted.
	unended map[uint64]uint64
	noted   []map[uint64]uint64
}

func (f *fakeDB) Persist(_ context.Context, batch []katibdb.Message) ([]katibdb.Outcome, error) {
	if f.persist != nil {
		if outcomes, err := f.persist(batch); outcomes != nil || err != nil {
			return outcomes, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, batch...)
	f.noted = append(f.noted, nil)
	return make([]katibdb.Outcome, len(batch)), nil
}

func (f *fakeDB) messages() []katibdb.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]katibdb.Message(nil), f.kept...)
}

func (f *fakeDB) Attempts(_ context.Context, _ string, sequences []uint64) (map[uint64]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	unended := map[uint64]uint64{}
	for _, sequence := range sequences {
		unended[sequence] = f.unended[sequence]
	}
	return unended, nil
}

func (f *fakeDB) NoteAttempts(_ context.Context, _ string, unended map[uint64]uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unended == nil {
		f.unended = map[uint64]uint64{}
	}
	maps.Copy(f.unended, unended)
	f.noted = append(f.noted, maps.Clone(unended))
	return nil
}

func (f *fakeDB) PendingPurges(context.Context) ([]katibdb.Purge, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.purges), nil
}

func (f *fakeDB) PurgeDone(_ context.Context, p katibdb.Purge) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.purges = slices.DeleteFunc(f.purges, func(q katibdb.Purge) bool { return p == q })
	return nil
}

func (f *fakeDB) Ping(context.Context) error { return nil }

func (f *fakeDB) Persisted(_ context.Context, refs []katibdb.Ref) ([]bool, error) {
	answers := make([]bool, len(refs))
	for i, ref := range refs {
		answers[i] = f.persisted != nil && f.persisted(ref)
	}
	return answers, nil
}

func (f *fakeDB) Forget(_ context.Context, _ string, below uint64) error {
	if f.forgotten != nil {
		f.forgotten <- below
	}
	return nil
}

func (f *fakeDB) Unbind(context.Context, time.Time) error { return nil }

func connect(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
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

// start runs a consumer until the test ends or stop is called; stop waits for it.
func start(t *testing.T, js jetstream.JetStream, db Database, cfg Config) (c *Consumer, stop func()) {
	t.Helper()
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	if cfg.Workers == 0 {
		cfg.Workers = 1
	}
	cfg.Streams.MaxBytes, cfg.Streams.DeadLetterMaxBytes = max(cfg.Streams.MaxBytes, 64<<20), 64<<20
	c, err := New(js, db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	eventually(t, "the consumer is ready", func() bool { return c.Ready(ctx) == nil })
	return c, stop
}

// eventually polls until done is true, and fails the test when that takes longer than patience.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
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

func publish(t *testing.T, js jetstream.JetStream, subject, body string, headers ...string) {
	t.Helper()
	msg := nats.NewMsg(subject)
	msg.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if _, err := js.PublishMsg(context.Background(), msg); err != nil {
		t.Fatal(err)
	}
}

// settled waits until the durable consumer has delivered everything that the stream holds, and got every acknowledgement.
// That nothing is pending does not say so: the server notes that a message is pending after it has stored it.
func settled(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	last := state(t, js).LastSeq
	eventually(t, "everything is acknowledged", func() bool {
		info := durable(t, js)
		return info.Delivered.Stream >= last && info.NumPending == 0 && info.NumAckPending == 0
	})
}

func durable(t *testing.T, js jetstream.JetStream) *jetstream.ConsumerInfo {
	t.Helper()
	cons, err := js.Consumer(context.Background(), "KATIB_METRICS", "katib-db")
	if err != nil {
		t.Fatal(err)
	}
	return cons.CachedInfo()
}

func deadLetters(t *testing.T, js jetstream.JetStream) []*jetstream.RawStreamMsg {
	t.Helper()
	ctx := context.Background()
	stream, err := js.Stream(ctx, "KATIB_DEADLETTERS")
	if err != nil {
		t.Fatal(err)
	}
	var letters []*jetstream.RawStreamMsg
	for seq := uint64(1); ; seq++ {
		msg, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return letters
		}
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, msg)
	}
}
