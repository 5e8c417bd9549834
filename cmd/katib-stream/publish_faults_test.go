package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestPublishSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	urlOf := withUsers(t, map[string]*server.Permissions{
		"reader": {Publish: &server.SubjectPermission{Deny: []string{"katib.metrics.>"}}},
		"deaf":   {Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}},
		"writer": {
			Publish:   &server.SubjectPermission{Allow: []string{"katib.metrics.default.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		},
	})
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	tests := map[string]struct {
		server string
		says   []string
	}{
		"nobody listens":        {"me:" + secret + "@" + freeAddress(t), []string{"cannot reach NATS at nats://***@127.0.0.1:", "nobody answers there; start one with `katib-stream up`, or give --server"}},
		"no such host":          {"me:" + secret + "@nowhere.invalid", []string{"cannot reach NATS at nats://***@nowhere.invalid", "check --server"}},
		"somebody says nothing": {silent.Addr().String(), []string{"cannot reach NATS at nats://127.0.0.1:"}},
		"no user":               {strings.Replace(urlOf("all"), "all:"+secret+"@", "", 1), []string{"it refuses us", "give --creds, --user and --password, or --token"}},
		"a wrong password":      {strings.Replace(urlOf("all"), secret, "wrong-"+secret, 1), []string{"nats://***@127.0.0.1:", "it refuses us"}},
		"no JetStream":          {withoutJetStream(t), []string{"stored 0 of 1 event for certain: NATS at nats://127.0.0.1:", "has no JetStream; start it with `nats-server -js`"}},
		"no stream":             {testserver.NATS(t).URL(), []string{"stored 0 of 1 event for certain: NATS at nats://127.0.0.1:", "has no stream KATIB_METRICS; `katib-stream up` or `katib-stream consumer` makes it"}},
		"may not publish":       {urlOf("reader"), []string{"stored 0 of 1 event for certain: NATS at nats://***@127.0.0.1:", "does not let this user publish to katib.metrics.default.>"}},
		"may not subscribe":     {urlOf("deaf"), []string{"does not let this user publish to katib.metrics.default.> and get the answer"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got := katibStream(t, "publish", "t", "loss=1", "--server", tt.server, "--timeout", "1s", "--log-level", "error")
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			failsWith(t, got, statusError, append(tt.says, "katib-stream: publish: ")...)
		})
	}
	if got := katibStream(t, "publish", "t", "loss=1", "--server", urlOf("writer")); got.status != statusOK {
		t.Errorf("with the rights of a producer and no more: %v", got)
	}
}

// TestPublishIntoAFullStream reports one event, waits until it is stored, and then reports what the stream has no room for.
func TestPublishIntoAFullStream(t *testing.T) {
	t.Parallel()
	ns := testserver.NATS(t)
	js := connect(t, ns.URL())
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KATIB_METRICS", Subjects: []string{"katib.metrics.>"}, MaxBytes: 32 << 10, Discard: jetstream.DiscardNew})
	if err != nil {
		t.Fatal(err)
	}
	stdin, in := io.Pipe()
	done := make(chan result, 1)
	go func() {
		var stdout, stderr output
		status := run(context.Background(), []string{"publish", "t", "--server", ns.URL(), "--timeout", "1s"}, stdin, &stdout, &stderr)
		done <- result{status, stdout.String(), stderr.String()}
	}()
	write := func(text string) {
		if _, err := io.WriteString(in, text); err != nil {
			t.Error(err)
		}
	}
	write(eventLine(1))
	eventually(t, "the first event is stored", func() bool { return stored(t, js) == 1 })
	write(wide(1))
	in.Close()
	got := <-done
	lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
	last := lines[len(lines)-1]
	if want := "katib-stream: publish: stored 1 of 2 events for certain: stream KATIB_METRICS is full (maximum bytes exceeded)"; got.status != statusError || !strings.HasPrefix(last, want) {
		t.Errorf("want %q, got %v", want, got)
	}
	if len(lines) > 3 {
		t.Errorf("it says too much: %s", got.stderr)
	}
}

// TestPublishWhenNATSGoes stops NATS between two events.
func TestPublishWhenNATSGoes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		comesBack bool
		status    int
		says      string
	}{
		"and comes back": {true, statusOK, "stored 2 events of trial t"},
		"for good":       {false, statusError, "katib-stream: publish: stored 1 of 2 events for certain: the connection to NATS was lost, and was not back within 1s; `katib-stream tail t` shows what is stored"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, js := withStreams(t)
			stdin, in := io.Pipe()
			done := make(chan result, 1)
			timeout := "1s"
			if tt.comesBack {
				timeout = "1m"
			}
			go func() {
				var stdout, stderr output
				status := run(context.Background(), []string{"publish", "t", "--server", ns.URL(), "--timeout", timeout, "--log-level", "error"}, stdin, &stdout, &stderr)
				done <- result{status, stdout.String(), stderr.String()}
			}()
			if _, err := io.WriteString(in, eventLine(1)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the first event is stored", func() bool { return stored(t, js) == 1 })
			ns.Stop()
			if _, err := io.WriteString(in, eventLine(2)); err != nil {
				t.Fatal(err)
			}
			in.Close()
			if tt.comesBack {
				ns.Start()
			}
			got := <-done
			if got.status != tt.status || !strings.HasPrefix(got.stdout+got.stderr, tt.says) {
				t.Errorf("want status %d and %q, got %v", tt.status, tt.says, got)
			}
			if tt.comesBack && len(eventsOf(t, ns.URL(), "t")) != 2 {
				t.Error("the stream does not hold the 2 events")
			}
		})
	}
}

// TestPublishIsInterrupted ends a publish that waits for its next line.
func TestPublishIsInterrupted(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	stdin, in := io.Pipe()
	defer in.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan result, 1)
	go func() {
		var stdout, stderr output
		status := run(ctx, []string{"publish", "t", "--server", ns.URL()}, stdin, &stdout, &stderr)
		done <- result{status, stdout.String(), stderr.String()}
	}()
	if _, err := io.WriteString(in, eventLine(1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the event is stored", func() bool { return stored(t, js) == 1 })
	interrupt()
	failsWith(t, <-done, statusError, "interrupted; the 1 event before that is stored, nothing after it was sent")
	events := eventsOf(t, ns.URL(), "t")
	if len(events) != 1 {
		t.Errorf("the stream has %v", events)
	}
	got := katibStream(t, "trials", "--server", ns.URL())
	if !strings.Contains(got.stdout, "ended") {
		t.Errorf("its run has not ended: %v", got)
	}
}
