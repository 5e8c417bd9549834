package doctor

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func TestMain(m *testing.M) {
	os.Setenv("XDG_CONFIG_HOME", os.TempDir()+"/katib-stream-test-has-no-contexts")
	os.Exit(testserver.Run(m))
}

var small = consumer.StreamConfig{MaxBytes: 64 << 20, DeadLetterMaxBytes: 64 << 20, Replicas: 1}

func configFor(url string) Config {
	return Config{
		NATS: natsconn.Config{Servers: url}, Role: "consumer", Namespace: "default", Version: "1.0.0", Streams: small,
		Timeout: 20 * time.Second,
	}
}

func withDatabase(t testing.TB, cfg Config, url string) Config {
	t.Helper()
	database, err := katibdb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = &database
	return cfg
}

func connect(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
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

// made are the streams and the consumer as a consumer makes them.
func made(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	if _, err := consumer.EnsureStreams(t.Context(), js, small); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), schema.Stream, parsed[jetstream.ConsumerConfig](t, schema.ConsumerConfig)); err != nil {
		t.Fatal(err)
	}
}

func parsed[T any](t testing.TB, config []byte) T {
	t.Helper()
	var c T
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func run(t testing.TB, cfg Config) Report {
	t.Helper()
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// wants checks that the report has a finding with the status whose detail has the text, and says how to mend it.
func wants(t testing.TB, report Report, check string, status Status, text string) {
	t.Helper()
	for _, f := range report.Findings {
		if f.Check == check && f.Status == status && strings.Contains(f.Detail, text) {
			if f.Mend == "" && (status == Fail || status == Warn) {
				t.Errorf("nothing says how to mend %+v", f)
			}
			return
		}
	}
	t.Errorf("want %s of %s with %q in\n%s", status, check, text, lines(report))
}

func lines(report Report) string {
	var text strings.Builder
	for _, f := range report.Fixed {
		text.WriteString("fixed: " + f.Says + " " + f.Error + "\n")
	}
	for _, f := range report.Findings {
		text.WriteString(string(f.Status) + " " + f.Check + ": " + f.Detail + " -> " + f.Mend + "\n")
	}
	return text.String()
}

// background runs f until the test ends.
func background(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	const patience = 60 * time.Second
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(patience); !done(); {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
