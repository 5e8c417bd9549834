package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/integration/faults"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// databaseFault is something that befalls a database server under a running consumer, and passes.
type databaseFault struct {
	name string
	// begin brings the fault about and returns what ends it.
	begin func(t *testing.T, s *faults.Database) (end func())
	// reason is what /readyz has to say about it.
	reason string
	// forgets says that what was persisted before is gone.
	forgets bool
}

var databaseFaults = []databaseFault{
	{name: "killed", reason: "refused|EOF|invalid connection|bad connection", begin: func(_ *testing.T, s *faults.Database) func() {
		s.Kill()
		return s.Start
	}},
	{name: "paused", reason: "not done within", begin: func(_ *testing.T, s *faults.Database) func() {
		s.Pause()
		return s.Resume
	}},
	{name: "read-only", reason: "read-only|read only", begin: func(t *testing.T, s *faults.Database) func() { return s.ReadOnly(t) }},
	{name: "out of connections", reason: "(?i)too many (connections|clients)|remaining connection slots", begin: func(t *testing.T, s *faults.Database) func() {
		return s.OutOfConnections(t)
	}},
	{name: "wrong password", reason: "(?i)access denied|password authentication failed", begin: func(t *testing.T, s *faults.Database) func() {
		change := s.Either("ALTER USER worker IDENTIFIED BY '%s'", "ALTER ROLE worker PASSWORD '%s'")
		s.Exec(t, fmt.Sprintf(change, "another"))
		s.Disconnect(t)
		return func() { s.Exec(t, fmt.Sprintf(change, faults.WorkerPassword)) }
	}},
	{name: "ids exhausted", reason: "(?i)2147483647|auto-?increment|out of range", begin: func(t *testing.T, s *faults.Database) func() {
		s.Exec(t, s.Either("ALTER TABLE observation_logs AUTO_INCREMENT = 2147483647",
			"SELECT setval(pg_get_serial_sequence('observation_logs', 'id'), 2147483647)"))
		return func() {
			admin := s.Superuser(t)
			defer admin.Close()
			if err := admin.WidenID(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}},
	{name: "table dropped", reason: "doesn't exist|does not exist", forgets: true, begin: func(t *testing.T, s *faults.Database) func() {
		s.Exec(t, "DROP TABLE observation_logs")
		return func() { open(t, s.Worker) } // which makes it again
	}},
	// The last, because InnoDB gives room back in its own time.
	{name: "full", reason: "is full|File too large", begin: func(t *testing.T, s *faults.Database) func() { return s.Full(t) }},
}

// TestDatabaseFaults runs a consumer through what can befall a database server. Whatever it is: nothing is acknowledged,
// nothing becomes a dead letter, messages are kept in progress, readiness fails, the log says it once, and when it is over
// the consumer goes on by itself.
func TestDatabaseFaults(t *testing.T) {
	t.Parallel()
	for _, database := range testserver.Databases(t) {
		if database.Name == "sqlite" {
			continue // it has tests of its own
		}
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			server := faults.StartDatabase(t, database.Name, faults.Small)
			for _, fault := range databaseFaults {
				t.Run(fault.name, func(t *testing.T) { suffer(t, server, fault) })
			}
		})
	}
}

func suffer(t *testing.T, s *faults.Database, fault databaseFault) {
	const half = 10
	js := connect(t, testserver.NATS(t).URL())
	ensureStreams(t, js)
	log := &journal{}
	log.showIfFailed(t)
	db := openAs(t, s.Worker)
	c := consume(t, js, db, consumer.Config{
		Workers: 2, AckWait: 2 * time.Second, CommitTimeout: time.Second, JanitorEvery: time.Hour, Logger: log.logger(),
	})
	trial := strings.ReplaceAll(fault.name, " ", "-")
	number(t, js, trial, 0, half)
	settled(t, js)

	end := fault.begin(t, s)
	ended := false
	defer func() {
		if !ended {
			end() // for the faults after this one
		}
	}()
	number(t, js, trial, half, 2*half)
	notReady(t, c, fault.reason)
	eventually(t, "it was tried again and again", func() bool { return c.value(t, "katib_stream_commit_retries_total") >= 2 })
	nothingSettledSince(t, js, half)
	ended = true
	end()

	settled(t, js)
	eventually(t, "the consumer is ready", func() bool { return ready(c) == nil })
	log.changedOnce(t, "database")
	if info, err := durable(t, js); err != nil || info.Delivered.Consumer != 2*half {
		t.Errorf("%d deliveries (%v); want one of each message, because they are kept in progress", info.Delivered.Consumer, err)
	}
	if letters := deadLetters(t, js); len(letters) != 0 {
		t.Errorf("%d dead letters; want none", len(letters))
	}
	from := 0
	if fault.forgets {
		from = half
	}
	checkNumbers(t, db.SQL(), trial, from, 2*half)
}

// number publishes the numbers from..to-1, each in a message of some size that does not compress.
func number(t testing.TB, js jetstream.JetStream, trial string, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		body := fmt.Sprintf(`{"time":"2026-11-24T12:00:00.%06dZ","metrics":{"n":%d,"ballast":%q}}`, n, n, noise(30_000))
		send(t, js, "katib.metrics.default."+trial+".me", body, nats.Header{schema.HeaderMsgID: {fmt.Sprintf("me:%d", n+1)}})
	}
}

func noise(size int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	text := make([]byte, size)
	for i := range text {
		text[i] = letters[rand.N(len(letters))]
	}
	return string(text)
}

// ready asks as /readyz does: it does not wait for ever.
func ready(c *running) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return c.Ready(ctx)
}

func notReady(t testing.TB, c *running, reason string) {
	t.Helper()
	pattern := regexp.MustCompile(reason)
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("readiness said last: %s", last)
		}
	}()
	eventually(t, "readiness fails and says "+reason, func() bool {
		if err := ready(c); err != nil {
			last = err.Error()
		}
		return pattern.MatchString(last)
	})
}

// nothingSettledSince demands that of the stream nothing is acknowledged past a sequence, and nothing a dead letter.
func nothingSettledSince(t testing.TB, js jetstream.JetStream, sequence uint64) {
	t.Helper()
	info, err := durable(t, js)
	if err != nil {
		t.Fatal(err)
	}
	if info.AckFloor.Stream > sequence || uint64(info.NumAckPending)+info.NumPending != stored(t, js)-sequence {
		t.Errorf("acknowledged up to %d, %d unacknowledged, %d undelivered; want nothing after %d acknowledged", info.AckFloor.Stream, info.NumAckPending, info.NumPending, sequence)
	}
	if letters := deadLetters(t, js); len(letters) != 0 {
		t.Errorf("%d dead letters; want none", len(letters))
	}
}
