package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// follow runs `tail t -o json` until the test ends or it is stopped.
func follow(t testing.TB, url string, args ...string) *running {
	t.Helper()
	return start(t, nil, append([]string{"tail", "t", "-o", "json", "--server", url}, args...)...)
}

// shows waits until the values of metric a that were printed are these.
func (r *running) shows(values string) {
	r.t.Helper()
	eventually(r.t, "it shows "+values, func() bool {
		text := r.stdout.String()
		return strings.HasSuffix(text, "\n") && valuesOf(r.t, text) == values
	})
}

func TestTailFollows(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	putEvents(t, js, 1, 2)
	tail := follow(t, ns.URL(), "-n", "1")
	tail.shows("2")
	putEvents(t, js, 3, 3)
	tail.shows("2 3")
	if status := tail.finish(); status != statusOK || tail.stderr.String() != "" {
		t.Errorf("status %d, standard error %s", status, &tail.stderr)
	}
}

func TestTailWaitsForATrial(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	tail := follow(t, ns.URL())
	tail.says("katib-stream: tail: the stream holds nothing of trial t yet; waiting")
	putEvents(t, js, 1, 1)
	tail.shows("1")
	if status := tail.finish(); status != statusOK {
		t.Errorf("status %d", status)
	}
}

// readers counts the tails that read.
func readers(t testing.TB, js jetstream.JetStream) int {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KATIB_METRICS")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Consumers
}

// TestTailFollowsOverARestart restarts NATS while tails follow: they say so, and miss and repeat nothing.
func TestTailFollowsOverARestart(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	putEvents(t, js, 1, 1)
	tail := follow(t, ns.URL())
	tail.shows("1")
	onlyNew := follow(t, ns.URL(), "-n", "0")
	eventually(t, "both read", func() bool { return readers(t, js) == 2 })
	ns.Stop()
	tail.says("NATS is away; going on when it is back")
	ns.Start()
	js = connect(t, ns.URL())
	putEvents(t, js, 2, 3)
	tail.says("connected to NATS again")
	tail.shows("1 2 3")
	putEvents(t, js, 4, 4)
	tail.shows("1 2 3 4")
	onlyNew.shows("2 3 4")
	if status := tail.finish(); status != statusOK {
		t.Errorf("status %d; %s", status, &tail.stderr)
	}
}

// TestTailFollowsIntoANewStream deletes the stream while a tail follows, and makes another.
func TestTailFollowsIntoANewStream(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	putEvents(t, js, 1, 2)
	tail := follow(t, ns.URL())
	tail.shows("1 2")
	if err := js.DeleteStream(t.Context(), "KATIB_METRICS"); err != nil {
		t.Fatal(err)
	}
	tail.says("the trial cannot be read; trying again until it can", "has no stream KATIB_METRICS")
	makeStreams(t, js)
	putEvents(t, js, 3, 3)
	tail.shows("1 2 3")
}

// TestTailCanBeLeft interrupts tails that have nothing to read from, now or for good.
func TestTailCanBeLeft(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	putEvents(t, js, 1, 1)
	leave := func(tail *running) {
		begin := time.Now()
		if status := tail.finish(); status != statusOK || time.Since(begin) > 5*time.Second {
			t.Errorf("status %d after %v; %s", status, time.Since(begin), &tail.stderr)
		}
	}
	withoutStream, withoutNATS := follow(t, ns.URL()), follow(t, ns.URL())
	withoutStream.shows("1")
	withoutNATS.shows("1")
	if err := js.DeleteStream(t.Context(), "KATIB_METRICS"); err != nil {
		t.Fatal(err)
	}
	withoutStream.says("the trial cannot be read")
	leave(withoutStream)
	ns.Stop()
	withoutNATS.says("NATS is away")
	leave(withoutNATS)
}

// TestTailIsLeftWhileItReads interrupts a tail in the middle of a long history, whose reader takes no more.
func TestTailIsLeftWhileItReads(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	const events = 5_000
	putMany(t, js, "t", events)
	ctx, interrupt := context.WithCancel(t.Context())
	var stderr output
	printed := 0
	stdout := writerFunc(func(p []byte) (int, error) {
		printed += bytes.Count(p, []byte("\n"))
		interrupt()
		return len(p), nil
	})
	status := run(ctx, []string{"tail", "t", "--since", "all", "--no-follow", "--server", ns.URL()}, strings.NewReader(""), stdout, &stderr)
	if status != statusOK || stderr.String() != "" || printed == 0 || printed == events {
		t.Errorf("status %d after %d of %d events: %s", status, printed, events, &stderr)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
