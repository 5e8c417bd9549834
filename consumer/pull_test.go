package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

const report = `{"metrics":{"loss":1}}`

// testFetcher fetches for a consumer that does not run.
func testFetcher(t *testing.T, js jetstream.JetStream, cfg Config) *fetcher {
	t.Helper()
	cfg.Streams = StreamConfig{MaxBytes: 64 << 20, DeadLetterMaxBytes: 64 << 20}
	c, err := New(js, &fakeDB{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &fetcher{Consumer: c}
	if batch, err := f.fetch(t.Context()); err != nil || len(batch) != 0 {
		t.Fatalf("fetched %d messages of an empty stream, %v", len(batch), err)
	}
	return f
}

// What a request that is over still brings may be of a stream that is no more: under the new stream's epoch it would be
// another message.
func TestNothingIsCarriedIntoAStreamMadeAnew(t *testing.T) {
	const next = "$JS.API.CONSUMER.MSG.NEXT.KATIB_METRICS.katib-db"
	js := connect(t, testserver.NATS(t).URL())
	requests, err := js.Conn().SubscribeSync(next)
	if err != nil {
		t.Fatal(err)
	}
	f := testFetcher(t, js, Config{})
	old := f.session.epoch
	first, err := requests.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	inbox := first.Reply[:strings.LastIndexByte(first.Reply, '.')]
	for range 3 {
		publish(t, js, "katib.metrics.default.old.hand", report)
	}
	request, err := json.Marshal(map[string]any{"batch": 3, "expires": time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().PublishRequest(next, inbox+".0", request); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the late deliveries are out", func() bool { return durable(t, js).NumAckPending == 3 })
	if err := js.Conn().Flush(); err != nil { // what was sent before the answer has come
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), schema.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureStreams(t.Context(), js, f.cfg.Streams); err != nil {
		t.Fatal(err)
	}
	f.dropSession(f.session)
	publish(t, js, "katib.metrics.default.new.hand", report)
	var batch []jetstream.Msg
	eventually(t, "a message of the new stream comes", func() bool {
		batch, _ = f.fetch(t.Context())
		return len(batch) > 0
	})
	if f.session.epoch == old || len(batch) != 1 || !strings.Contains(batch[0].Subject(), ".new.") {
		t.Errorf("fetched %d messages, the first of %s", len(batch), batch[0].Subject())
	}
}

// A message may be larger than all that a request asks for: it was stored when the stream took larger ones.
func TestMessageLargerThanARequest(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	f := testFetcher(t, js, Config{BatchBytes: 100_000})
	publish(t, js, subject, report+strings.Repeat(" ", 500_000))
	cfg := f.session.stream.CachedInfo().Config
	cfg.MaxMsgSize = 1_000
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	f.dropSession(f.session)
	eventually(t, "the large message comes", func() bool {
		batch, _ := f.fetch(t.Context())
		return len(batch) == 1
	})
}

// A word of the server has no subject of ours, whatever headers a publisher wrote.
func TestForgedStatusIsAMessage(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	f := testFetcher(t, js, Config{})
	publish(t, js, subject, "", "Status", "409", "Description", "Consumer Deleted")
	eventually(t, "it comes as a message", func() bool {
		batch, err := f.fetch(t.Context())
		return err == nil && len(batch) == 1
	})
}

// What was fetched and finds no room at the stop is delivered again at once, not after the acknowledgement wait.
func TestStopGivesBackWhatIsNotHandedOver(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	f := testFetcher(t, js, Config{Workers: 1})
	publish(t, js, subject, report)
	batch, err := f.fetch(t.Context())
	if err != nil || len(batch) != 1 {
		t.Fatalf("fetched %d, %v", len(batch), err)
	}
	d := newDispatcher(f.Consumer)
	if err := d.room.Acquire(t.Context(), d.size); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := d.dispatch(stopped, f.session, batch); !errors.Is(err, context.Canceled) {
		t.Fatalf("dispatch: %v", err)
	}
	if again, err := f.fetch(t.Context()); err != nil || len(again) != 1 {
		t.Errorf("fetched %d afterwards, %v", len(again), err)
	}
}

// A stream of dead letters that does not answer is waited for once, not by each dead letter: good messages are behind them.
func TestSilentDeadLetterStreamIsWaitedForOnce(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	f := testFetcher(t, js, Config{})
	if err := js.DeleteStream(t.Context(), schema.DeadLetterStream); err != nil {
		t.Fatal(err)
	}
	asked := make(chan *nats.Msg, 1_000)
	silent, err := js.Conn().ChanSubscribe(schema.DeadLetterPrefix+".>", asked)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Unsubscribe()
	w := newWorker(f.Consumer, 0)
	var items []*item
	for i := range 3 * deadLettersAtOnce {
		it := &item{msg: fakeMsg{subject: subject}}
		it.stored.Subject, it.stored.Sequence = subject, uint64(i)
		if i > 0 {
			it.refuse(schema.StageDecode, errors.New("bad"))
		}
		items = append(items, it)
	}
	if good := w.keepDeadLetters(t.Context(), items); len(good) != 1 {
		t.Errorf("%d items go on; want the good one", len(good))
	}
	if len(asked) > 2*deadLettersAtOnce {
		t.Errorf("%d dead letters waited for an answer", len(asked))
	}
}
