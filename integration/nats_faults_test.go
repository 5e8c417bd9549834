package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// TestNATSAwayAtTheStartAndLater starts a consumer without NATS, and takes NATS away from it after a commit, before the
// acknowledgements have left.
func TestNATSAwayAtTheStartAndLater(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const half = 100
		server := testserver.NATS(t)
		server.Stop()
		db := open(t, url)
		committed, goOn := make(chan struct{}), make(chan struct{})
		pause := make(chan bool, 1)
		c := consume(t, connect(t, server.URL()), db, consumer.Config{Workers: 1, AfterCommit: func() {
			select {
			case <-pause:
				close(committed)
				<-goOn
			default:
			}
		}})
		notReady(t, c, "not connected to NATS")
		server.Start()
		eventually(t, "the consumer is ready", func() bool { return ready(c) == nil })

		js := connect(t, server.URL())
		plain(t, js, "my-trial", 0, half)
		settled(t, js)
		pause <- true
		plain(t, js, "my-trial", half, 2*half)
		<-committed
		server.Stop()
		close(goOn)
		notReady(t, c, "not connected to NATS")
		server.Start()
		settled(t, js)
		eventually(t, "the consumer is ready again", func() bool { return ready(c) == nil })
		plain(t, js, "my-trial", 2*half, 3*half)
		settled(t, js)
		checkTrial(t, db.SQL(), "my-trial", 3*half)
		if letters := deadLetters(t, js); len(letters) != 0 {
			t.Errorf("%d dead letters; want none", len(letters))
		}
	})
}

// plain publishes the numbers from..to-1 without an id, so that a message's only identity is its place in the stream.
func plain(t testing.TB, js jetstream.JetStream, trial string, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		send(t, js, "katib.metrics.default."+trial+".me", fmt.Sprintf(`{"time":"2026-11-24T12:00:00.%06dZ","metrics":{"n":%d}}`, n, n), nil)
	}
}

// TestStreamMadeAnew deletes the stream under two running consumers and makes it again. The messages of the new one have
// the sequences of the old one's, and nothing else that tells them apart.
func TestStreamMadeAnew(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const messages, rounds = 50, 3
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		db := open(t, url)
		ensureStreams(t, js)
		a := consume(t, js, db, consumer.Config{Workers: 2, BatchMessages: 7})
		consume(t, connect(t, server.URL()), db, consumer.Config{Workers: 2, BatchMessages: 3})
		for round := range rounds {
			plain(t, js, "my-trial", round*messages, (round+1)*messages)
			settled(t, js)
			if last := stored(t, js); last != messages {
				t.Fatalf("the stream ends at %d; want %d in every round, or this proves nothing", last, messages)
			}
			if round == rounds-1 {
				break
			}
			if err := js.DeleteStream(t.Context(), schema.Stream); err != nil {
				t.Fatal(err)
			}
			// The first of the consumers to find out makes the stream again.
			eventually(t, "the stream is there again", func() bool { return stored(t, js) == 0 && exists(t, js) })
		}
		checkTrial(t, db.SQL(), "my-trial", rounds*messages)
		if duplicates := a.value(t, "katib_stream_messages_total", "outcome", "duplicate"); duplicates != 0 {
			t.Errorf("%v messages were taken for old ones", duplicates)
		}
	})
}

// What to do when the database was lost: the stream is read again from its beginning.
func TestLostDatabaseIsFilledAgain(t *testing.T) {
	t.Parallel()
	js := connect(t, testserver.NATS(t).URL())
	ensureStreams(t, js)
	database := testserver.Databases(t)[0]
	first := consume(t, js, open(t, database.Fresh(t)), consumer.Config{})
	points(t, js, "t", 1, 20)
	settled(t, js)
	first.stop()
	db := open(t, database.Fresh(t))
	consume(t, js, db, consumer.Config{})
	points(t, js, "t", 21, 21)
	settled(t, js)
	if err := js.DeleteConsumer(t.Context(), schema.Stream, schema.Consumer); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all of it is there", func() bool {
		rows, err := db.Rows(t.Context(), "t")
		return err == nil && len(rows) == 21
	})
}

func exists(t testing.TB, js jetstream.JetStream) bool {
	t.Helper()
	_, err := js.Stream(t.Context(), schema.Stream)
	return err == nil
}

// TestStreamMadeAnewBehindAConsumersBack has a replica busy with a commit, and as many more messages in hand as it may have,
// while another makes the stream and the durable consumer anew. What the first acknowledges then are sequences of the new
// stream, and what it fetches next is of that, although nothing of it failed.
func TestStreamMadeAnewBehindAConsumersBack(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const messages = 20
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		db := open(t, url)
		ensureStreams(t, js)
		commits := make(chan chan struct{})
		busy := consume(t, connect(t, server.URL()), db, consumer.Config{Workers: 1, BatchMessages: 1, BatchBytes: 1, AfterCommit: func() {
			goOn := make(chan struct{})
			commits <- goOn
			<-goOn
		}})
		plain(t, js, "my-trial", 0, 2)
		first := <-commits
		eventually(t, "it has another in hand", func() bool {
			info, err := durable(t, js)
			return err == nil && info.NumAckPending == 2
		})
		if err := js.DeleteStream(t.Context(), schema.Stream); err != nil {
			t.Fatal(err)
		}
		other := consume(t, connect(t, server.URL()), db, consumer.Config{Workers: 1})
		eventually(t, "the other replica has made the stream anew", func() bool { return exists(t, js) && ready(other) == nil })
		other.stop()
		plain(t, js, "my-trial", 2, messages)
		go func() {
			close(first)
			for goOn := range commits {
				close(goOn)
			}
		}()
		settled(t, js)
		busy.stop()
		close(commits)
		checkTrial(t, db.SQL(), "my-trial", messages)
	})
}

// TestLargerThanABatch sends messages that no limit of a batch has room for.
func TestLargerThanABatch(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const messages, events = 4, 20_000
		js := connect(t, testserver.NATS(t).URL())
		db := open(t, url)
		ensureStreams(t, js)
		for m := range messages {
			var body strings.Builder
			for e := range events {
				fmt.Fprintf(&body, `{"step":%d,"metrics":{"n":%d}}`+"\n", e, m*events+e)
			}
			send(t, js, "katib.metrics.default.my-trial.me", body.String(), nats.Header{schema.HeaderMsgID: {fmt.Sprintf("me:%d", m+1)}})
		}
		consume(t, js, db, consumer.Config{Workers: 2, BatchMessages: 1, BatchBytes: 1, BatchRows: 1})
		settled(t, js)
		checkTrial(t, db.SQL(), "my-trial", messages*events)
	})
}

// TestPurgedInFlight purges the stream while messages are with the consumer: their places must not stay taken.
func TestPurgedInFlight(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const messages = 100
		js := connect(t, testserver.NATS(t).URL())
		db := open(t, url)
		ensureStreams(t, js)
		committed, goOn := make(chan struct{}, 100), make(chan struct{})
		c := consume(t, js, db, consumer.Config{Workers: 1, BatchWait: 2 * time.Second, AfterCommit: func() {
			committed <- struct{}{}
			<-goOn
		}})
		plain(t, js, "my-trial", 0, messages)
		<-committed
		if info, err := durable(t, js); err != nil || info.NumAckPending == 0 {
			t.Fatalf("%d messages in flight (%v); want some, or this proves nothing", info.NumAckPending, err)
		}
		stream, err := js.Stream(t.Context(), schema.Stream)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		settled(t, js)
		plain(t, js, "after", 0, messages)
		settled(t, js)
		checkTrial(t, db.SQL(), "after", messages)
		if err := ready(c); err != nil {
			t.Error(err)
		}
	})
}
