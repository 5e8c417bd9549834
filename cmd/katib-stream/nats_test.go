package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
)

// connect is a connection of the test's own, which comes back by itself.
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

// withStreams starts a NATS server that has the streams.
func withStreams(t testing.TB) (*testserver.NATSServer, jetstream.JetStream) {
	t.Helper()
	ns := testserver.NATS(t)
	js := connect(t, ns.URL())
	makeStreams(t, js)
	return ns, js
}

func makeStreams(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	if _, err := consumer.EnsureStreams(t.Context(), js, consumer.StreamConfig{MaxBytes: 64 << 20, DeadLetterMaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
}

// withoutJetStream starts a NATS server that has none.
func withoutJetStream(t testing.TB) (url string) {
	t.Helper()
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(patience) {
		t.Fatal("NATS without JetStream does not start")
	}
	return ns.ClientURL()
}

// withUsers starts a NATS server with the streams and with users who all have the same secret password: "all" may do
// everything, the others what their permissions say.
func withUsers(t testing.TB, others map[string]*server.Permissions) (urlOf func(user string) string) {
	t.Helper()
	users := []*server.User{{Username: "all", Password: secret}}
	for name, permissions := range others {
		users = append(users, &server.User{Username: name, Password: secret, Permissions: permissions})
	}
	ns := testserver.NATSWith(t, testserver.NATSOptions{Users: users})
	urlOf = func(user string) string { return "nats://" + user + ":" + secret + "@" + ns.URL()[len("nats://"):] }
	makeStreams(t, connect(t, urlOf("all")))
	return urlOf
}

// put stores a message as any NATS client could.
func put(t testing.TB, js jetstream.JetStream, subject, body string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), subject, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// putMany stores events of a trial one a message, all alike.
func putMany(t testing.TB, js jetstream.JetStream, trial string, events int) {
	t.Helper()
	for range events {
		_, err := js.PublishAsync("katib.metrics.default."+trial+".me", []byte(`{"metrics":{"a":0}}`), jetstream.WithStallWait(patience))
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(patience):
		t.Fatalf("%d messages are not stored within %v", events, patience)
	}
}

// stored counts the messages of the stream.
func stored(t testing.TB, js jetstream.JetStream) uint64 {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KATIB_METRICS")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// tailed is a line of `tail -o json`.
type tailed struct {
	Namespace, Trial, Producer string
	Sequence                   uint64
	Stored, Time               time.Time
	Step                       *int64
	Metrics                    map[string]any
	Final                      bool
	Dead                       string
}

// parseTail reads what `tail -o json` printed.
func parseTail(t testing.TB, text string) []tailed {
	t.Helper()
	var lines []tailed
	decoder := json.NewDecoder(bytes.NewBufferString(text))
	decoder.UseNumber()
	for decoder.More() {
		var line tailed
		if err := decoder.Decode(&line); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		lines = append(lines, line)
	}
	return lines
}

// eventsOf reads a trial's events back from the stream, without the marks of an end.
func eventsOf(t testing.TB, url, trial string) []tailed {
	t.Helper()
	got := katibStream(t, "tail", trial, "--server", url, "--since", "all", "--no-follow", "-o", "json")
	if got.status != statusOK {
		t.Fatalf("tail %s: %v", trial, got)
	}
	var events []tailed
	for _, line := range parseTail(t, got.stdout) {
		if !line.Final {
			events = append(events, line)
		}
	}
	return events
}
