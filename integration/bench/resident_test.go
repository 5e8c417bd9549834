package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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

// mostResident is how large a consumer may become, in MiB, whatever it is given.
const mostResident = 150

// load is a backlog by its shape.
type load struct {
	name                       string
	trials, messages, perMsg   int
	smallest, stalls, poisoned bool // events without time and step; the database stands still for a while; no JSON
}

func (l load) rows() int {
	if l.poisoned {
		return 0
	}
	return l.messages * l.perMsg
}

// BenchmarkResident gives the largest resident size of a consumer over loads that are large in one way each. One part
// alone: -bench 'Resident/mariadb/largest'.
func BenchmarkResident(b *testing.B) {
	binary := build(b)
	for _, database := range realDatabases(b) {
		b.Run(database.Name, func(b *testing.B) {
			for _, l := range []load{
				{name: "10,000,000 events", trials: 8, messages: 100_000, perMsg: 100},
				{name: "100,000 trials", trials: 100_000, messages: 100_000, perMsg: 1},
				{name: "largest messages of smallest events", trials: 8, messages: 200, perMsg: 50_000, smallest: true},
				{name: "largest messages of smallest events, and the database stalls", trials: 8, messages: 100, perMsg: 50_000, smallest: true, stalls: true},
				{name: "largest poison messages", trials: 8, messages: 400, perMsg: 50_000, smallest: true, poisoned: true},
			} {
				b.Run(l.name, func(b *testing.B) {
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(l.resident(b, binary, database.Name), "MiB")
				})
			}
		})
	}
}

// TestResident is the short form: what is large in several ways at once.
func TestResident(t *testing.T) {
	t.Parallel()
	l := load{trials: 8, messages: 40, perMsg: 50_000, smallest: true, stalls: true}
	if mib := l.resident(t, build(t), "mariadb"); mib > mostResident {
		t.Errorf("the consumer became %.0f MiB large; want %d at most", mib, mostResident)
	}
}

// resident drains the load, and gives the largest size of the consumer on the way, in MiB.
func (l load) resident(t testing.TB, binary, database string) float64 {
	t.Helper()
	server := testserver.NATS(t)
	js := connect(t, server.URL())
	l.store(t, js)
	db := faults.StartDatabase(t, database, faults.Room{DiskMiB: 4_000, Connections: 50})
	command := exec.Command(binary, "consumer", "--server", server.URL(), "--db", db.Worker, "--listen", "", "--log-level", "error")
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if l.stalls {
		stall(t, js, db)
	}
	waitForFloor(t, js)
	mib := float64(highWater(t, command.Process.Pid)) / 1024
	_ = command.Process.Signal(os.Interrupt)
	if err := command.Wait(); err != nil {
		t.Fatalf("consumer: %v", err)
	}
	var rows int
	if err := db.Superuser(t).SQL().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM observation_logs").Scan(&rows); err != nil || rows != l.rows() {
		t.Fatalf("%d rows, %v; want %d", rows, err, l.rows())
	}
	return mib
}

// stall stops the database once the consumer is at work, for longer than an attempt to commit has.
func stall(t testing.TB, js jetstream.JetStream, db *faults.Database) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		cons, err := js.Consumer(ctx, schema.Stream, schema.Consumer)
		if err == nil && cons.CachedInfo().Delivered.Consumer > 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the consumer does not begin")
		}
	}
	db.Pause()
	<-time.After(8 * time.Second) // it takes more and more in hand, if it takes what it cannot bear
	db.Resume()
}

func (l load) store(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	if _, err := consumer.EnsureStreams(t.Context(), js, consumer.StreamConfig{MaxBytes: 4 << 30, DeadLetterMaxBytes: 2 << 30}); err != nil {
		t.Fatal(err)
	}
	body := l.body()
	numbers := make([]uint64, l.trials)
	for i := range l.messages {
		trial := i % l.trials
		producer := fmt.Sprintf("%032x", trial)
		msg := nats.NewMsg(schema.Subject{Namespace: "default", Trial: fmt.Sprint("trial-", trial), Producer: producer}.String())
		msg.Data = body
		numbers[trial]++
		msg.Header.Set(schema.HeaderMsgID, schema.MessageID(producer, numbers[trial]))
		if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

func (l load) body() []byte {
	if l.smallest {
		body := []byte(strings.Repeat(`{"metrics":{"a":1}}`+"\n", l.perMsg))
		if l.poisoned {
			body[len(body)-3] = 'x'
		}
		return body
	}
	var body []byte
	for i := range l.perMsg {
		body = schema.AppendEvent(body, schema.Event{Time: at(i), Step: new(int64(i)), Metrics: []schema.Metric{{Name: metric, Value: value(i)}}})
		body = append(body, '\n')
	}
	return body
}
