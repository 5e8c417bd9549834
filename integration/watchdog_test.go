package integration

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// TestWatchdog lets deliveries stall without any error: somebody has changed the durable consumer so that few messages
// may be unacknowledged, and somebody holds that many. The watchdog begins a new session, which sets the durable consumer
// up as it should be.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	const held, messages = 10, 100
	js := connect(t, testserver.NATS(t).URL())
	ensureStreams(t, js)
	db := open(t, testserver.Databases(t)[0].Fresh(t))
	log := &journal{}
	log.showIfFailed(t)
	// What is held is not delivered again while the test lasts.
	c := consume(t, js, db, consumer.Config{Workers: 1, Logger: log.logger(), AckWait: time.Hour})
	eventually(t, "the consumer is ready", func() bool { return ready(c) == nil })
	info, err := durable(t, js)
	if err != nil {
		t.Fatal(err)
	}
	limited := info.Config
	limited.MaxAckPending = held
	narrow, err := js.UpdateConsumer(t.Context(), schema.Stream, limited)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := narrow.Fetch(held, jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	published := 0
	var stolen []jetstream.Msg
	eventually(t, "somebody holds messages", func() bool {
		plain(t, js, "my-trial", published, published+1)
		published++
		for len(theirs.Messages()) > 0 {
			stolen = append(stolen, <-theirs.Messages())
		}
		return len(stolen) == held
	})
	plain(t, js, "my-trial", published, published+messages)
	eventually(t, "everything else is persisted", func() bool {
		info, err := durable(t, js)
		return err == nil && info.NumPending == 0 && info.NumAckPending == held
	})
	if log.count("none is delivered") == 0 {
		t.Error("the log does not say that deliveries had stalled, so this proves nothing")
	}
	for _, msg := range stolen {
		if err := msg.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, js)
	checkTrial(t, db.SQL(), "my-trial", published+messages)
}
