package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// driftedStreams are made by hand; safe ones are mended, of the others --fix leaves everything as it is.
var driftedStreams = map[string]struct {
	change func(*jetstream.StreamConfig)
	status Status
	says   string
	safe   bool
}{
	"max age":             {func(sc *jetstream.StreamConfig) { sc.MaxAge = time.Hour }, Fail, "max_age is 1h0m0s, want not set: it deletes", true},
	"drops the oldest":    {func(sc *jetstream.StreamConfig) { sc.Discard = jetstream.DiscardOld }, Fail, `discard is "old", want "new"`, true},
	"by interest":         {func(sc *jetstream.StreamConfig) { sc.Retention = jetstream.InterestPolicy }, Fail, `retention is "interest", want "limits"`, true},
	"a work queue":        {func(sc *jetstream.StreamConfig) { sc.Retention = jetstream.WorkQueuePolicy }, Fail, `retention is "workqueue"`, false},
	"messages":            {func(sc *jetstream.StreamConfig) { sc.MaxMsgs = 10 }, Fail, "max_msgs is 10, want -1", true},
	"messages a subject":  {func(sc *jetstream.StreamConfig) { sc.MaxMsgsPerSubject = 1 }, Fail, "max_msgs_per_subject is 1, want -1", true},
	"roll-ups":            {func(sc *jetstream.StreamConfig) { sc.AllowRollup = true }, Fail, "allow_rollup_hdrs is true", true},
	"no acknowledgements": {func(sc *jetstream.StreamConfig) { sc.NoAck = true }, Fail, "no_ack is true", true},
	"no purge":            {func(sc *jetstream.StreamConfig) { sc.DenyPurge = true }, Fail, "deny_purge is true", false},
	"in memory":           {func(sc *jetstream.StreamConfig) { sc.Storage = jetstream.MemoryStorage }, Fail, `storage is "memory"`, false},
	"times to live":       {func(sc *jetstream.StreamConfig) { sc.AllowMsgTTL = true }, Fail, "allow_msg_ttl is true", false},
	"other subjects":      {func(sc *jetstream.StreamConfig) { sc.Subjects = []string{"katib.metrics.a.>", "x"} }, Fail, `subjects is ["katib.metrics.a.>","x"], want ["katib.metrics.>"]`, true},
	"more subjects":       {func(sc *jetstream.StreamConfig) { sc.Subjects = append(sc.Subjects, "x") }, Note, "it stores more", false},
	"no direct get":       {func(sc *jetstream.StreamConfig) { sc.AllowDirect = false }, Warn, "allow_direct is not set, want true", true},
	"few consumers":       {func(sc *jetstream.StreamConfig) { sc.MaxConsumers = 3 }, Warn, "max_consumers is 3, want -1", false},
	"no byte limit":       {func(sc *jetstream.StreamConfig) { sc.MaxBytes = -1 }, Fail, "max_bytes is not set", false},
	"other compression":   {func(sc *jetstream.StreamConfig) { sc.Compression = jetstream.NoCompression }, Note, "compression is", false},
	"a short window":      {func(sc *jetstream.StreamConfig) { sc.Duplicates = time.Second }, Note, "duplicate_window is 1s, want 2m0s", false},
	"large messages":      {func(sc *jetstream.StreamConfig) { sc.MaxMsgSize = -1 }, Warn, "max_msg_size is -1", false},
	"small messages":      {func(sc *jetstream.StreamConfig) { sc.MaxMsgSize = 1000 }, Note, "max_msg_size is 1000", false},
}

func TestDriftedStreams(t *testing.T) {
	for name, tt := range driftedStreams {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testserver.NATS(t).URL()
			js := connect(t, url)
			sc := parsed[jetstream.StreamConfig](t, schema.StreamConfig)
			sc.MaxBytes, sc.Metadata = 64<<20, map[string]string{schema.MetadataEpoch: "e"}
			tt.change(&sc)
			if _, err := js.CreateStream(t.Context(), parsed[jetstream.StreamConfig](t, schema.DeadLetterConfig)); err != nil {
				t.Fatal(err)
			}
			stream, err := js.CreateStream(t.Context(), sc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateConsumer(t.Context(), schema.Stream, parsed[jetstream.ConsumerConfig](t, schema.ConsumerConfig)); err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(t.Context(), "katib.metrics.a.t.me", []byte(`{"metrics":{"loss":1}}`)); err != nil && !sc.NoAck {
				t.Fatal(err)
			}
			before := stream.CachedInfo().Config
			wants(t, run(t, configFor(url)), schema.Stream, tt.status, tt.says)
			if info, err := stream.Info(t.Context()); err != nil || !sameConfig(t, info.Config, before) {
				t.Fatalf("without --fix the stream was changed from %+v to %+v, %v", before, info.Config, err)
			}

			cfg := configFor(url)
			cfg.Fix = true
			report := run(t, cfg)
			still := slices.ContainsFunc(report.Findings, func(f Finding) bool { return strings.Contains(f.Detail, tt.says) })
			info, err := stream.Info(t.Context())
			if err != nil || still == tt.safe || report.Unfixed() > 0 || sameConfig(t, info.Config, before) == tt.safe {
				t.Errorf("mending: want %v, %v\n%s", tt.safe, err, lines(report))
			}
			if had := slices.Contains(before.Subjects, "x"); slices.Contains(info.Config.Subjects, "x") != had {
				t.Errorf("subjects were %q, and are %q", before.Subjects, info.Config.Subjects)
			}
			if info.State.Msgs != 1 {
				t.Errorf("it holds %d messages after --fix, want the one", info.State.Msgs)
			}
		})
	}
}

func sameConfig(t *testing.T, a, b jetstream.StreamConfig) bool {
	t.Helper()
	x, err := fields(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := fields(b)
	if err != nil {
		t.Fatal(err)
	}
	found := drifts(x, y, map[string]rule{"metadata": {}})
	return len(found) == 0
}

func TestMissingStreamsAreMade(t *testing.T) {
	url := testserver.NATS(t).URL()
	cfg := configFor(url)
	report := run(t, cfg)
	wants(t, report, schema.Stream, Fail, "there is no such stream")
	wants(t, report, schema.DeadLetterStream, Fail, "there is no such stream")
	cfg.Fix = true
	report = run(t, cfg)
	if report.Count(Fail) > 0 || len(report.Fixed) != 2 { // the streams, then the consumer
		t.Errorf("after --fix\n%s", lines(report))
	}
	wants(t, report, "running", Warn, "no consumer runs")
	if again := run(t, cfg); len(again.Fixed) > 0 {
		t.Errorf("a second --fix still mends\n%s", lines(again))
	}
}

func TestStreamWithoutEpoch(t *testing.T) {
	url := testserver.NATS(t).URL()
	if _, err := connect(t, url).CreateStream(t.Context(), parsed[jetstream.StreamConfig](t, schema.StreamConfig)); err != nil {
		t.Fatal(err)
	}
	cfg := configFor(url)
	wants(t, run(t, cfg), schema.Stream, Warn, "has no epoch")
	cfg.Fix = true
	if report := run(t, cfg); strings.Contains(lines(report), "has no epoch") {
		t.Errorf("it has no epoch yet\n%s", lines(report))
	}
}

func TestFullStream(t *testing.T) {
	url := testserver.NATS(t).URL()
	js := connect(t, url)
	made(t, js)
	stream, err := js.Stream(t.Context(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	sc := stream.CachedInfo().Config
	for _, body := range []int{47_000, 2_000} {
		sc.MaxBytes = 50_000
		if _, err := js.UpdateStream(t.Context(), sc); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "katib.metrics.a.t.me", make([]byte, body)); err != nil {
			t.Fatal(err)
		}
		status := map[int]Status{47_000: Warn, 2_000: Fail}[body]
		wants(t, run(t, configFor(url)), schema.Stream, status, "a full stream refuses reports")
	}
}
