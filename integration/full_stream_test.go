package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// tiny is a stream that a training run fills in a moment.
var tiny = consumer.StreamConfig{MaxBytes: 2 << 20, DeadLetterMaxBytes: 2 << 20, DuplicateWindow: 100 * time.Millisecond}

// TestFullStreamPassesOn reports much more than the stream holds while a consumer's janitor makes room.
func TestFullStreamPassesOn(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const events = 10_000
		js, db := tinyStream(t, url)
		log := &journal{}
		log.showIfFailed(t)
		c := consume(t, js, db, consumer.Config{JanitorEvery: 50 * time.Millisecond, Streams: tiny})
		p := report(t, js, producer.Config{BufferBytes: 1 << 20, BufferWait: patience, Logger: log.logger()})
		for i := range events {
			if err := p.Report(t.Context(), large(i)); err != nil {
				t.Fatalf("report %d: %v", i, err)
			}
		}
		finish(t, p)
		settled(t, js)
		checkTrial(t, db.SQL(), "my-trial", events)
		if trimmed := c.value(t, "katib_stream_trimmed_messages_total"); trimmed == 0 || log.count("maximum bytes exceeded") == 0 {
			t.Errorf("%v messages trimmed, and the stream was full %d times; want some of both, or this proves nothing", trimmed, log.count("maximum bytes exceeded"))
		}
		if letters := deadLetters(t, js); len(letters) != 0 {
			t.Errorf("%d dead letters; want none", len(letters))
		}
	})
}

// TestFullStreamKeepsWhatIsNotPersisted fills the stream, and then the producer, while no consumer persists anything.
func TestFullStreamKeepsWhatIsNotPersisted(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const bufferWait = 500 * time.Millisecond
		js, db := tinyStream(t, url)
		p := report(t, js, producer.Config{BufferBytes: 1 << 20, BufferWait: bufferWait})
		accepted := 0
		var full *producer.BufferFullError
		for full == nil {
			err := p.Report(t.Context(), large(accepted))
			if err == nil {
				accepted++
			} else if !errors.As(err, &full) {
				t.Fatalf("report %d: %v", accepted, err)
			}
		}
		if full.Waited < bufferWait || full.WaitingBytes == 0 {
			t.Errorf("refused after %v with %d bytes waiting; want no less than %v", full.Waited, full.WaitingBytes, bufferWait)
		}
		var refused *jetstream.APIError
		if !errors.As(full, &refused) {
			t.Errorf("the error %v does not say that the stream is full", full)
		}
		before := state(t, js)
		if before.FirstSeq != 1 || before.Msgs == 0 {
			t.Errorf("the stream begins at %d and holds %d messages; want all", before.FirstSeq, before.Msgs)
		}

		// The janitor of a consumer that can persist nothing must not make room, either.
		idle := consume(t, js, refusing{db}, consumer.Config{JanitorEvery: 20 * time.Millisecond, Streams: tiny})
		notReady(t, idle, "refused")
		eventually(t, "it was tried again and again", func() bool { return idle.value(t, "katib_stream_commit_retries_total") >= 5 })
		idle.stop()
		if after := state(t, js); after.FirstSeq != 1 {
			t.Errorf("the janitor trimmed below %d, though nothing is persisted", after.FirstSeq)
		}

		consume(t, js, db, consumer.Config{JanitorEvery: 50 * time.Millisecond, Streams: tiny})
		finish(t, p)
		settled(t, js)
		checkTrial(t, db.SQL(), "my-trial", accepted)
	})
}

// refusing is a database that answers, and persists nothing.
type refusing struct{ *katibdb.DB }

func (refusing) Persist(context.Context, []katibdb.Message) ([]katibdb.Outcome, error) {
	return nil, errors.New("refused")
}

func tinyStream(t *testing.T, url string) (jetstream.JetStream, *katibdb.DB) {
	t.Helper()
	js := connect(t, testserver.NATS(t).URL())
	eventually(t, "the streams are made", func() bool {
		_, err := consumer.EnsureStreams(t.Context(), js, tiny)
		return err == nil
	})
	return js, open(t, url)
}

// report starts a producer of my-trial.
func report(t *testing.T, js jetstream.JetStream, cfg producer.Config) *producer.Producer {
	t.Helper()
	cfg.Namespace, cfg.Trial = "default", "my-trial"
	p, err := producer.New(js.Conn(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// finish waits until the stream has everything.
func finish(t *testing.T, p *producer.Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// large is an event of about half a kilobyte.
func large(n int) schema.Event {
	return schema.Event{Metrics: []schema.Metric{{Name: "n", Value: fmt.Sprint(n)}, {Name: "ballast", Value: noise(500)}}}
}
