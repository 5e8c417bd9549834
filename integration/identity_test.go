package integration

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// TestOneIDOneSetOfRows stores the same ids many times: next to each other, far apart, and for workers at the same time.
func TestOneIDOneSetOfRows(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const messages, rounds = 200, 5
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		db := open(t, url)
		ensureStreams(t, js)
		for _, id := range []string{"me:%d", "opaque-%d"} { // numbered by a producer, and by somebody else
			for range rounds {
				for n := range messages {
					body := fmt.Sprintf(`{"time":"2026-11-24T12:00:00.%06dZ","metrics":{"n":%d}}`, n, n)
					storeAgain(t, js, "katib.metrics.default."+trialOf(id)+".me", body, fmt.Sprintf(id, n+1))
				}
			}
		}
		if n := stored(t, js); n != 2*messages*rounds {
			t.Fatalf("the stream holds %d messages; want %d, or this proves nothing", n, 2*messages*rounds)
		}
		a := consume(t, js, db, consumer.Config{Workers: 4, BatchMessages: 37})
		b := consume(t, connect(t, server.URL()), db, consumer.Config{Workers: 4, BatchMessages: 61})
		settled(t, js)
		checkTrial(t, db.SQL(), trialOf("me:%d"), messages)
		checkTrial(t, db.SQL(), trialOf("opaque-%d"), messages)
		duplicates := a.value(t, "katib_stream_messages_total", "outcome", "duplicate") + b.value(t, "katib_stream_messages_total", "outcome", "duplicate")
		if want := float64(2 * messages * (rounds - 1)); duplicates < want {
			t.Errorf("%v duplicates; want at least %v", duplicates, want)
		}
	})
}

// storeAgain publishes until the server stores the message: until the duplicate window of an earlier one is over.
func storeAgain(t testing.TB, js jetstream.JetStream, subject, body, id string) {
	t.Helper()
	eventually(t, "the duplicate window is over", func() bool {
		ack, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{schema.HeaderMsgID: {id}}})
		return err == nil && !ack.Duplicate
	})
}

func trialOf(id string) string {
	if strings.HasPrefix(id, "me:") {
		return "numbered"
	}
	return "opaque"
}

// TestTenantsCannotTouchEachOther lets a second namespace report for a trial of the first, with the first's producer id.
func TestTenantsCannotTouchEachOther(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		db := open(t, url)
		ensureStreams(t, js)
		consume(t, js, db, consumer.Config{})
		number := func(namespace string, n int) {
			// The server would drop one's message as a repeat of the other's.
			storeAgain(t, js, "katib.metrics."+namespace+".my-trial.me", fmt.Sprintf(`{"metrics":{"n":%d}}`, n), fmt.Sprintf("me:%d", n+1))
		}
		number("victim", 0)
		settled(t, js)
		for n := range 10 {
			number("attacker", n)
		}
		settled(t, js)
		for n := 1; n < 10; n++ {
			number("victim", n)
		}
		settled(t, js)
		checkTrial(t, db.SQL(), "my-trial", 10)
		if letters := deadLetters(t, js); len(letters) != 10 {
			t.Errorf("%d dead letters; want the attacker's 10", len(letters))
		}
		everythingIsSettledInTheDatabase(t, js, db)
	})
}

// TestLongestNames takes a message through with every name as long as it may be.
func TestLongestNames(t *testing.T) {
	t.Parallel()
	trial := strings.Repeat("t", 253)
	namespace := strings.Repeat("n.", 126) + "n"
	overDatabases(t, func(t *testing.T, url string) {
		js := connect(t, testserver.NATS(t).URL())
		db := open(t, url)
		ensureStreams(t, js)
		consume(t, js, db, consumer.Config{})
		subject := schema.Subject{Namespace: namespace, Trial: trial, Producer: strings.Repeat("p", 64)}
		metric, value := strings.Repeat("🙂", 255), strings.Repeat("v", 65_535)
		send(t, js, subject.String(), fmt.Sprintf(`{"metrics":{%q:%q}}`, metric, value), nil)
		settled(t, js)
		rows, err := db.Rows(t.Context(), trial)
		if err != nil || len(rows) != 1 || rows[0].Metric != metric || rows[0].Value != value {
			t.Errorf("%d rows, %v; want the one that was sent", len(rows), err)
		}
	})
}

// TestManyReplicasStartAtOnce migrates and sets the streams up from eight places at the same time.
func TestManyReplicasStartAtOnce(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		server := testserver.NATS(t)
		var starting sync.WaitGroup
		for range 8 {
			starting.Go(func() {
				db, err := openDB(t.Context(), url)
				if err != nil {
					t.Error(err)
					return
				}
				defer db.Close()
				js := connect(t, server.URL())
				if _, err := consumer.EnsureStreams(t.Context(), js, streams); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
	})
}
