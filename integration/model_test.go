package integration

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/dbmanager"
	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// TestModel holds random sequences of reports, reads, deletions, repetitions and crashes against a model of Katib's own
// db-manager: a list of entries for each trial.
func TestModel(t *testing.T) {
	t.Parallel()
	if err := flag.Set("rapid.checks", "8"); err != nil {
		t.Fatal(err)
	}
	server := testserver.NATS(t)
	js := connect(t, server.URL())
	ensureStreams(t, js)
	db := open(t, testserver.Databases(t)[0].Fresh(t))
	var crash atomic.Bool
	keepConsuming(t, server.URL(), db, &crash)
	k := startKatib(t, js, db, dbmanager.Config{ReadWait: 30 * time.Second})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{T: t, katib: k, crash: &crash, prefix: fmt.Sprintf("run-%d-trial-", run), trials: map[string]*modelTrial{}}
		m.send = func(trial, producer string, number int, body string) {
			send(t, js, "katib.metrics.default."+trial+"."+producer, body, nats.Header{nats.MsgIdHdr: {fmt.Sprintf("%s:%d", producer, number)}})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"report":  m.report,
			"publish": m.publish,
			"repeat":  m.repeat,
			"delete":  m.delete,
			"get":     m.get,
			"crash":   func(*rapid.T) { crash.Store(true) },
		})
		for trial := range m.trials {
			m.check(rt, trial)
		}
	})
}

// keepConsuming runs one consumer after the other: each dies between a commit and its acknowledgements when crash says so,
// by the loss of its connection.
func keepConsuming(t *testing.T, url string, db *katibdb.DB, crash *atomic.Bool) {
	ended := make(chan struct{})
	died := make(chan struct{}, 100)
	start := func() *running {
		js := connect(t, url)
		return consume(t, js, db, consumer.Config{AckWait: time.Second, AfterCommit: func() {
			if crash.Swap(false) {
				js.Conn().Close()
				died <- struct{}{}
			}
		}})
	}
	go func() {
		defer close(ended)
		c := start()
		for range died {
			c.stop()
			c = start()
		}
		c.stop()
	}()
	t.Cleanup(func() { close(died); <-ended })
}

// model is what Katib's db-manager would hold.
type model struct {
	*testing.T
	katib  katib
	crash  *atomic.Bool
	prefix string
	send   func(trial, producer string, number int, body string)
	trials map[string]*modelTrial
	clock  int
}

type modelTrial struct {
	entries   []string // "<time> <metric>=<value>", in the order of their times
	producers []*modelProducer
}

// modelProducer publishes by itself; a deletion makes it a dead one.
type modelProducer struct {
	id     string
	bodies []string
	dead   bool
}

func (m *model) trial(rt *rapid.T) (string, *modelTrial) {
	name := m.prefix + strconv.Itoa(rapid.IntRange(0, 2).Draw(rt, "trial"))
	if m.trials[name] == nil {
		m.trials[name] = &modelTrial{}
	}
	return name, m.trials[name]
}

// moment is later than all before.
func (m *model) moment() string {
	m.clock++
	return time.Date(2026, 11, 24, 12, 0, 0, m.clock*1000, time.UTC).Format(time.RFC3339Nano)
}

func (m *model) report(rt *rapid.T) {
	name, trial := m.trial(rt)
	var log []*katibapi.MetricLog
	for range rapid.IntRange(0, 3).Draw(rt, "entries") {
		if rapid.IntRange(0, 9).Draw(rt, "has no time") == 0 {
			log = append(log, entry("", "skipped", "1"))
			continue
		}
		e := entry(m.moment(), rapid.SampledFrom([]string{"loss", "Loss", "accuracy"}).Draw(rt, "metric"), rapid.SampledFrom([]string{"0.5", "", "nan", "é"}).Draw(rt, "value"))
		log = append(log, e)
		trial.entries = append(trial.entries, textOf(e))
	}
	m.katib.report(m.T, name, log...)
}

func (m *model) publish(rt *rapid.T) {
	name, trial := m.trial(rt)
	var live []*modelProducer
	for _, p := range trial.producers {
		if !p.dead {
			live = append(live, p)
		}
	}
	if len(live) == 0 || rapid.IntRange(0, 3).Draw(rt, "a new producer") == 0 {
		live = []*modelProducer{{id: fmt.Sprintf("p-%s-%d", name, len(trial.producers))}}
		trial.producers = append(trial.producers, live[0])
	}
	p := rapid.SampledFrom(live).Draw(rt, "producer")
	at := m.moment()
	body := fmt.Sprintf(`{"time":%q,"metrics":{"n":%d}}`, at, m.clock)
	p.bodies = append(p.bodies, body)
	trial.entries = append(trial.entries, textOf(entry(at, "n", strconv.Itoa(m.clock))))
	m.send(name, p.id, len(p.bodies), body)
}

// repeat sends a message again that was sent at any time, also by a producer whose trial was deleted.
func (m *model) repeat(rt *rapid.T) {
	name, trial := m.trial(rt)
	if len(trial.producers) == 0 {
		rt.Skip("nothing to repeat")
	}
	p := rapid.SampledFrom(trial.producers).Draw(rt, "producer")
	number := rapid.IntRange(1, len(p.bodies)).Draw(rt, "number")
	m.send(name, p.id, number, p.bodies[number-1])
}

func (m *model) delete(rt *rapid.T) {
	name, trial := m.trial(rt)
	// Those that the database never met are known by what the stream holds of them, and may go on under another name only;
	// a user's producers have ids that say when they were made.
	if _, err := m.katib.DeleteObservationLog(m.T.Context(), &katibapi.DeleteObservationLogRequest{TrialName: name}); err != nil {
		rt.Fatal(err)
	}
	trial.entries = nil
	for _, p := range trial.producers {
		p.dead = true
	}
}

func (m *model) get(rt *rapid.T) {
	name, _ := m.trial(rt)
	m.check(rt, name)
}

func (m *model) check(rt *rapid.T, name string) {
	log, err := m.katib.get(m.T, name)
	if status.Code(err) == codes.Unavailable {
		rt.Fatalf("%s is not persisted: %v", name, err)
	}
	if err != nil {
		rt.Fatal(err)
	}
	var got []string
	for _, e := range log {
		got = append(got, textOf(e))
	}
	if want := m.trials[name].entries; !slices.Equal(got, want) {
		rt.Fatalf("%s has\n%v\nwant\n%v", name, got, want)
	}
}

func textOf(e *katibapi.MetricLog) string {
	return e.GetTimeStamp() + " " + e.GetMetric().GetName() + "=" + e.GetMetric().GetValue()
}
