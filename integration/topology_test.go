package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// outage is a time in which a part of NATS is away.
type outage struct {
	begin, end func()
	// survived says that messages are stored all the same.
	survived bool
}

// topology is a way to run NATS, with what befalls it in mid-run.
type topology struct {
	name     string
	replicas int
	start    func(t *testing.T) (url string, outages []outage)
}

var topologies = []topology{
	{name: "one server", replicas: 1, start: func(t *testing.T) (string, []outage) {
		return testserver.NATS(t).URL(), nil
	}},
	{name: "one server, restarted", replicas: 1, start: func(t *testing.T) (string, []outage) {
		server := testserver.NATS(t)
		again := outage{begin: server.Stop, end: server.Start}
		return server.URL(), []outage{again, again}
	}},
	{name: "three nodes, each stopped", replicas: 3, start: func(t *testing.T) (string, []outage) {
		cluster := testserver.Cluster(t)
		var outages []outage
		for node := range 3 {
			outages = append(outages, outage{
				begin: func() { cluster.StopNode(node) }, end: func() { cluster.StartNode(node) }, survived: true,
			})
		}
		return cluster.URL(), outages
	}},
}

// TestTopologies takes 5,000 events from four producers through two consumers, over every way to run NATS. A part is
// reported in each outage, and one after each.
func TestTopologies(t *testing.T) {
	t.Parallel()
	for _, topology := range topologies {
		t.Run(topology.name, func(t *testing.T) {
			overDatabases(t, func(t *testing.T, url string) { runTopology(t, topology, url) })
		})
	}
}

func runTopology(t *testing.T, topology topology, url string) {
	const trials, events = 4, 1_250
	server, outages := topology.start(t)
	js := connect(t, server)
	db := open(t, url)
	cfg := streams
	cfg.Replicas = topology.replicas
	eventually(t, "the streams are made", func() bool {
		_, err := consumer.EnsureStreams(t.Context(), js, cfg)
		return err == nil
	})
	// Two that are not set up alike, as while a new version is rolled out.
	consume(t, connect(t, server), db, consumer.Config{Workers: 2, Streams: cfg, BatchMessages: 20})
	consume(t, connect(t, server), db, consumer.Config{Workers: 3, Streams: cfg, AckWait: 4 * time.Second, BatchRows: 100})
	var producers []*producer.Producer
	for i := range trials {
		p, err := producer.New(connect(t, server).Conn(), producer.Config{
			Namespace: "default", Trial: fmt.Sprintf("trial-%d", i), BatchEvents: 5, AckWait: 2 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		producers = append(producers, p)
	}
	r := &run{t: t, producers: producers, part: events / (2*len(outages) + 1), events: events}
	r.reportPart()
	leaders := map[string]bool{}
	for _, outage := range outages {
		eventually(t, "some of it is stored", func() bool { return r.stored() > 0 })
		leaders[leader(t, js)] = true
		before := r.stored()
		outage.begin()
		r.reportPart()
		if outage.survived {
			eventually(t, "messages are stored in the outage", func() bool { return r.stored() > before })
		}
		outage.end()
		leaders[leader(t, js)] = true
		r.reportPart()
	}
	r.finish()
	settled(t, js)
	for i := range trials {
		checkTrial(t, db.SQL(), fmt.Sprintf("trial-%d", i), events)
	}
	if letters := deadLetters(t, js); len(letters) != 0 {
		t.Errorf("%d dead letters; want none", len(letters))
	}
	if topology.replicas > 1 && len(leaders) < 2 {
		t.Errorf("the stream had only the leaders %v; each node was stopped, so this proves nothing", leaders)
	}
}

// run reports to several producers, a part at a time.
type run struct {
	t         *testing.T
	producers []*producer.Producer
	part      int
	reported  int
	events    int
}

func (r *run) reportPart() { r.reportUpTo(min(r.events, r.reported+r.part)) }

func (r *run) reportUpTo(end int) {
	r.t.Helper()
	for ; r.reported < end; r.reported++ {
		for _, p := range r.producers {
			event := schema.Event{Metrics: []schema.Metric{{Name: "n", Value: fmt.Sprint(r.reported)}}}
			if err := p.Report(r.t.Context(), event); err != nil {
				r.t.Fatalf("report %d: %v", r.reported, err)
			}
		}
	}
}

func (r *run) stored() uint64 {
	var events uint64
	for _, p := range r.producers {
		events += p.Stats().Stored
	}
	return events
}

func (r *run) finish() {
	r.t.Helper()
	r.reportUpTo(r.events)
	for _, p := range r.producers {
		finish(r.t, p)
	}
}

// leader is the node that leads the stream; "" where there is one server.
func leader(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	name := ""
	eventually(t, "the stream has a leader", func() bool {
		stream, err := js.Stream(t.Context(), schema.Stream)
		if err != nil {
			return false
		}
		if cluster := stream.CachedInfo().Cluster; cluster != nil {
			name = cluster.Leader
			return name != "" || len(cluster.Replicas) == 0
		}
		return true
	})
	return name
}
