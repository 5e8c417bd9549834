package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/flush"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// replica is what a consumer's process runs: the consumer, and the answers to who flushes.
func replica(t testing.TB, url string, db *katibdb.DB, cfg consumer.StreamConfig) (stop func()) {
	js := connect(t, url)
	c := consume(t, js, db, consumer.Config{Streams: cfg})
	stopService := flushService(t, js, db)
	return func() { stopService(); c.stop() }
}

func flushService(t testing.TB, js jetstream.JetStream, db *katibdb.DB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	b := barrier.New(js, db)
	var parts sync.WaitGroup
	for _, run := range []func() error{
		func() error { return b.Run(ctx) },
		func() error { return flush.Serve(ctx, js.Conn(), b, flush.Config{}) },
	} {
		parts.Go(func() {
			if err := run(); err != nil {
				t.Errorf("flush: %v", err)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); parts.Wait() })
	t.Cleanup(stop)
	return stop
}

// What Flush returned for is in the database: with replicas that come and go, and leaders that change.
func TestFlushThroughChanges(t *testing.T) {
	t.Parallel()
	db := open(t, testserver.Databases(t)[1].Fresh(t))
	cluster := testserver.Cluster(t)
	js := connect(t, cluster.URL())
	cfg := streams
	cfg.Replicas = 3
	eventually(t, "the streams are made", func() bool {
		_, err := consumer.EnsureStreams(t.Context(), js, cfg)
		return err == nil
	})
	replica(t, cluster.URL(), db, cfg)
	stopOther := replica(t, cluster.URL(), db, cfg)
	p, err := producer.New(js.Conn(), producer.Config{Trial: "t"})
	if err != nil {
		t.Fatal(err)
	}
	const rounds, events = 8, 200
	for round := 1; round <= rounds; round++ {
		for i := range events {
			if err := p.Report(t.Context(), schema.Event{Step: new(int64(i)), Metrics: []schema.Metric{schema.Number("loss", float64(i))}}); err != nil {
				t.Fatal(err)
			}
		}
		switch round % 4 {
		case 1:
			if _, err := js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN.KATIB_METRICS", nil, patience); err != nil {
				t.Fatal(err)
			}
		case 2:
			stopOther()
		case 3:
			if _, err := js.Conn().Request("$JS.API.CONSUMER.LEADER.STEPDOWN.KATIB_METRICS.katib-db", nil, patience); err != nil {
				t.Fatal(err)
			}
		default:
			stopOther = replica(t, cluster.URL(), db, cfg)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		begin := time.Now()
		err := p.Flush(ctx)
		cancel()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		t.Logf("round %d flushed in %v", round, time.Since(begin).Round(time.Millisecond))
		if rows, err := db.Rows(t.Context(), "t"); err != nil || len(rows) != round*events {
			t.Errorf("round %d: %d rows, %v; want %d", round, len(rows), err, round*events)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
