package main

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

func TestDataSet(t *testing.T) {
	train, test, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(train)+len(test) != 1797 || len(test) != heldOut {
		t.Errorf("%d images to train on and %d to test with; want 1797 together, %d of them to test with", len(train), len(test), heldOut)
	}
	count := map[int]int{}
	seen := map[[pixels]float64]bool{}
	for _, im := range train {
		seen[im.pixels] = true
		count[im.digit]++
	}
	for _, im := range test {
		if seen[im.pixels] {
			t.Error("an image to test with is one to train on")
		}
		count[im.digit]++
	}
	for digit, want := range []int{178, 182, 177, 183, 181, 182, 181, 179, 174, 180} { // as UCI counts them
		if count[digit] != want {
			t.Errorf("%d images of a %d, want %d", count[digit], digit, want)
		}
	}
}

// The gradients must be those of the loss: here they are measured.
func TestGradient(t *testing.T) {
	train, _, err := load()
	if err != nil {
		t.Fatal(err)
	}
	n := newNetwork(5, rand.New(rand.NewPCG(1, 2)))
	im := &train[0]
	loss := func() float64 {
		chances := make([]float64, classes)
		softmax(n.scores(im), chances)
		return -math.Log(chances[im.digit])
	}
	n.learn(im)
	const little = 1e-6
	for name, l := range map[string]*layer{"hidden": n.hidden, "output": n.output} {
		for o := range l.weights {
			for i := range l.weights[o] {
				want := l.slopes[o][i]
				was := l.weights[o][i]
				l.weights[o][i] = was + little
				up := loss()
				l.weights[o][i] = was - little
				got := (up - loss()) / (2 * little)
				l.weights[o][i] = was
				if diff := got - want; diff > 1e-5 || diff < -1e-5 {
					t.Fatalf("%s weight %d, %d: the slope is %g, computed as %g", name, o, i, got, want)
				}
			}
		}
	}
}

func TestLearns(t *testing.T) {
	out := trial(t, server(t), "--steps=200")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	_, accuracy, _ := strings.Cut(lines[len(lines)-1], "accuracy=")
	if accuracy < "0.90" {
		t.Errorf("accuracy is %s after 200 steps, want at least 0.90", accuracy)
	}
}

func TestLogIsWhatWasReported(t *testing.T) {
	url := server(t)
	log := filepath.Join(t.TempDir(), "log")
	const steps = 30
	trial(t, url, "--steps=30", "--log", log)

	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	notes := json.NewDecoder(file)
	events := stored(t, url)
	if len(events) != steps {
		t.Fatalf("%d events are stored, want %d", len(events), steps)
	}
	for i, event := range events {
		var noted struct {
			Time    time.Time
			Step    int64
			Metrics map[string]string
		}
		if err := notes.Decode(&noted); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if !noted.Time.Equal(event.Time) || noted.Step != int64(i+1) || *event.Step != noted.Step || len(event.Metrics) != 2 {
			t.Errorf("line %d is %v, the event is %v", i+1, noted, event)
		}
		for _, m := range event.Metrics {
			if noted.Metrics[m.Name] != m.Value {
				t.Errorf("line %d has %s %s, the event %s", i+1, m.Name, noted.Metrics[m.Name], m.Value)
			}
		}
	}
	if notes.More() {
		t.Error("the log has more lines than events are stored")
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		args []string
		says string
	}{
		"an argument":                {[]string{"extra"}, `"extra" is no flag`},
		"no steps":                   {[]string{"--steps=0"}, "must be above 0"},
		"no learning rate":           {[]string{"--learning-rate=NaN"}, "must be above 0"},
		"a log that cannot be made":  {[]string{"--log", t.TempDir()}, "make the log"},
		"a server that is no server": {[]string{"--server", "nats://:x"}, "set up the connection to NATS"},
	}
	if err := run(t.Context(), nil, io.Discard); err == nil || !strings.Contains(err.Error(), "KATIB_TRIAL_NAME") {
		t.Errorf("without a trial: %v", err)
	}
	t.Setenv("KATIB_TRIAL_NAME", "my-trial")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), tt.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v; want one that says %q", err, tt.says)
			}
		})
	}
}

// An interrupted run delivers what it reported, and says that it did not end.
func TestInterrupted(t *testing.T) {
	url := server(t)
	t.Setenv("KATIB_TRIAL_NAME", "my-trial")
	ctx, cancel := context.WithCancel(t.Context())
	out := writer(func([]byte) { cancel() }) // at the first line of progress, after 100 steps
	err := run(ctx, []string{"--steps=100000", "--server", url}, out)
	if err == nil || err.Error() != "interrupted before step 101" {
		t.Errorf("error %v", err)
	}
	if events := stored(t, url); len(events) != 100 {
		t.Errorf("%d events are stored, want 100", len(events))
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// trial runs the trainer, and returns what it printed.
func trial(t *testing.T, url string, args ...string) string {
	t.Helper()
	t.Setenv("KATIB_TRIAL_NAME", "my-trial")
	var out strings.Builder
	if err := run(t.Context(), append(args, "--server", url), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// server starts NATS with the stream.
func server(t *testing.T) (url string) {
	t.Helper()
	url = testserver.NATS(t).URL()
	var config jetstream.StreamConfig
	if err := json.Unmarshal(schema.StreamConfig, &config); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, url).CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return url
}

func open(t *testing.T, url string) jetstream.JetStream {
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

// stored are all events in the stream.
func stored(t *testing.T, url string) (events []schema.Event) {
	t.Helper()
	stream, err := open(t, url).Stream(t.Context(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(1); sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		raw, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		m, err := schema.Decode(schema.Stored{Subject: raw.Subject, Header: raw.Header, Body: raw.Data, Epoch: "epoch", Sequence: sequence, Time: raw.Time})
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject.Trial != "my-trial" {
			t.Errorf("a message of trial %s", m.Subject.Trial)
		}
		events = append(events, m.Events...)
	}
	return events
}
