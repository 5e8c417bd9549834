package doctor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/flush"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

var driftedConsumers = map[string]struct {
	change func(*jetstream.ConsumerConfig)
	status Status
	says   string
	safe   bool
}{
	"gives up":           {func(cc *jetstream.ConsumerConfig) { cc.MaxDeliver = 5 }, Fail, "max_deliver is 5, want -1", false},
	"no acknowledgement": {func(cc *jetstream.ConsumerConfig) { cc.AckPolicy, cc.MaxAckPending = jetstream.AckNonePolicy, 0 }, Fail, `ack_policy is "none", want "explicit"`, false},
	"acknowledges all":   {func(cc *jetstream.ConsumerConfig) { cc.AckPolicy = jetstream.AckAllPolicy }, Fail, `ack_policy is "all"`, false},
	"from now on":        {func(cc *jetstream.ConsumerConfig) { cc.DeliverPolicy = jetstream.DeliverNewPolicy }, Fail, `deliver_policy is "new"`, false},
	"a filter":           {func(cc *jetstream.ConsumerConfig) { cc.FilterSubject = "katib.metrics.a.>" }, Fail, `filter_subject is "katib.metrics.a.>", want not set`, false},
	"filters":            {func(cc *jetstream.ConsumerConfig) { cc.FilterSubjects = []string{"katib.metrics.a.>"} }, Fail, "filter_subject", false},
	"headers":            {func(cc *jetstream.ConsumerConfig) { cc.HeadersOnly = true }, Fail, "headers_only is true", true},
	"it goes":            {func(cc *jetstream.ConsumerConfig) { cc.InactiveThreshold = time.Hour }, Fail, "inactive_threshold is 1h0m0s", true},
	"in hand":            {func(cc *jetstream.ConsumerConfig) { cc.MaxAckPending = 10 }, Warn, "max_ack_pending is 10, want -1", true},
	"requests":           {func(cc *jetstream.ConsumerConfig) { cc.MaxRequestBatch = 10 }, Fail, "max_batch is 10", true},
	"in memory":          {func(cc *jetstream.ConsumerConfig) { cc.MemoryStorage = true }, Warn, "mem_storage is true", false},
	"as it was reported": {func(cc *jetstream.ConsumerConfig) { cc.ReplayPolicy = jetstream.ReplayOriginalPolicy }, Fail, `replay_policy is "original"`, false},
	"waiting":            {func(cc *jetstream.ConsumerConfig) { cc.MaxWaiting = 100 }, Note, "max_waiting is 100", false},
	"patience":           {func(cc *jetstream.ConsumerConfig) { cc.AckWait = time.Minute }, Note, "ack_wait is 1m0s, want 30s", false},
	"a pause": {func(cc *jetstream.ConsumerConfig) {
		until := time.Now().Add(time.Hour)
		cc.PauseUntil = &until
	}, Fail, "it is paused", false},
}

func TestDriftedConsumers(t *testing.T) {
	for name, tt := range driftedConsumers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testserver.NATS(t).URL()
			js := connect(t, url)
			made(t, js)
			if err := js.DeleteConsumer(t.Context(), schema.Stream, schema.Consumer); err != nil {
				t.Fatal(err)
			}
			cfg := configFor(url)
			wants(t, run(t, cfg), schema.Consumer, Fail, "the stream has no such consumer")
			cc := parsed[jetstream.ConsumerConfig](t, schema.ConsumerConfig)
			tt.change(&cc)
			if _, err := js.CreateConsumer(t.Context(), schema.Stream, cc); err != nil {
				t.Fatal(err)
			}
			wants(t, run(t, cfg), schema.Consumer, tt.status, tt.says)
			cfg.Fix = true
			report := run(t, cfg)
			still := slices.ContainsFunc(report.Findings, func(f Finding) bool { return strings.Contains(f.Detail, tt.says) })
			if still == tt.safe || report.Unfixed() > 0 {
				t.Errorf("mending: want %v\n%s", tt.safe, lines(report))
			}
		})
	}
}

func TestPushConsumer(t *testing.T) {
	url := testserver.NATS(t).URL()
	js := connect(t, url)
	made(t, js)
	if err := js.DeleteConsumer(t.Context(), schema.Stream, schema.Consumer); err != nil {
		t.Fatal(err)
	}
	push := jetstream.ConsumerConfig{Durable: schema.Consumer, DeliverSubject: "x", AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := js.CreatePushConsumer(t.Context(), schema.Stream, push); err != nil {
		t.Fatal(err)
	}
	wants(t, run(t, configFor(url)), schema.Consumer, Fail, "messages are pushed")
}

// TestRunning looks for consumers when none runs, with and without messages, and when some do, of other versions.
func TestRunning(t *testing.T) {
	url := testserver.NATS(t).URL()
	js := connect(t, url)
	made(t, js)
	cfg := configFor(url)
	wants(t, run(t, cfg), "running", Warn, "no consumer runs")
	if _, err := js.Publish(t.Context(), "katib.metrics.a.t.me", []byte(`{"metrics":{"loss":1}}`)); err != nil {
		t.Fatal(err)
	}
	wants(t, run(t, cfg), "running", Fail, "1 message to persist, and no consumer runs")
	answer := func(version string) {
		other := connect(t, url)
		b := barrier.New(other, nil)
		background(t, func(ctx context.Context) error {
			return flush.Serve(ctx, other.Conn(), b, flush.Config{Version: version})
		})
	}
	answer(cfg.Version)
	eventually(t, "the consumer answers", func() bool { return strings.Contains(lines(run(t, cfg)), "ok running: 1 consumer") })
	wants(t, run(t, cfg), "version", OK, "this program and every consumer that answers are 1.0.0")
	answer("0.9.0")
	eventually(t, "both answer", func() bool { return strings.Contains(lines(run(t, cfg)), "ok running: 2 consumers") })
	wants(t, run(t, cfg), "version", Warn, "this program is 1.0.0, but 1 consumer of 0.9.0")
}

func TestDeadLetters(t *testing.T) {
	url := testserver.NATS(t).URL()
	js := connect(t, url)
	made(t, js)
	wants(t, run(t, configFor(url)), "dead letters", OK, "none")
	if _, err := js.Publish(t.Context(), "katib.deadletters.a.t.me", nil); err != nil {
		t.Fatal(err)
	}
	wants(t, run(t, configFor(url)), "dead letters", Warn, "1 message could not be persisted")
}
