package integration

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// TestExactlyOnce reports 100,000 events from 8 producers, while consumers are killed between commit and acknowledgement
// and come back, the server is restarted, and every tenth message is stored again after the duplicate window.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		const producers, events = 8, 12_500
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		db := open(t, url)
		ensureStreams(t, js)

		killed := &killedConsumers{server: server.URL(), db: url}
		ctx, cancel := context.WithCancel(t.Context())
		var faults sync.WaitGroup
		faults.Go(func() { killed.run(ctx) })
		repeater := repeat(ctx, t, server.URL(), &faults)

		var reporters sync.WaitGroup
		for i := range producers {
			reporters.Go(func() { reportTrial(t, server.URL(), fmt.Sprintf("trial-%d", i), events) })
		}
		eventually(t, "a good part is stored", func() bool { return stored(t, js) > 100 })
		server.Stop()
		server.Start()
		reporters.Wait()
		eventually(t, "every tenth message was repeated, and consumers were killed", func() bool {
			return repeater.done(stored(t, js)) && killed.count() >= 3
		})
		cancel()
		faults.Wait()

		// What the killed ones left behind is for consumers that live; two, so that workers compete.
		last := consume(t, js, db, consumer.Config{Workers: 4})
		other := consume(t, js, db, consumer.Config{Workers: 4})
		settled(t, js)

		ids, messages := identities(t, js)
		duplicates := last.value(t, "katib_stream_messages_total", "outcome", "duplicate") + other.value(t, "katib_stream_messages_total", "outcome", "duplicate")
		t.Logf("%d messages with %d ids; %d consumers killed after a commit; %v duplicates met at the end", messages, ids, killed.count(), duplicates)
		if messages <= ids {
			t.Errorf("the stream holds %d messages for %d ids; the repeats were not stored, so this proves nothing", messages, ids)
		}
		if duplicates == 0 {
			t.Error("the consumer met no duplicate, so this proves nothing")
		}
		for i := range producers {
			checkTrial(t, db.SQL(), fmt.Sprintf("trial-%d", i), events)
		}
	})
}

// reportTrial reports events whose values are their own numbers.
func reportTrial(t *testing.T, url, trial string, events int) {
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	p, err := producer.New(nc, producer.Config{Namespace: "default", Trial: trial, BatchEvents: 10 + rand.N(40)})
	if err != nil {
		t.Error(err)
		return
	}
	for i := range events {
		if err := p.Report(t.Context(), schema.Event{Step: new(int64(i)), Metrics: []schema.Metric{{Name: "n", Value: fmt.Sprint(i)}}}); err != nil {
			t.Errorf("%s: report %d: %v", trial, i, err)
			return
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Errorf("%s: close: %v", trial, err)
	}
}

// killedConsumers starts one consumer process after the other, each of which kills itself after a few commits.
type killedConsumers struct {
	server, db string
	mu         sync.Mutex
	killed     int
}

func (k *killedConsumers) run(ctx context.Context) {
	for ctx.Err() == nil {
		command := exec.CommandContext(ctx, os.Args[0])
		command.Env = append(os.Environ(), envServer+"="+k.server, envDB+"="+k.db, fmt.Sprintf("%s=%d", envKillAfter, 1+rand.N(4)))
		out, _ := command.CombinedOutput() // it is killed
		if bytes.Contains(out, []byte("failpoint")) {
			k.mu.Lock()
			k.killed++
			k.mu.Unlock()
		}
	}
}

func (k *killedConsumers) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.killed
}

// repeater stores every tenth message of the stream again, after the duplicate window.
type repeater struct {
	mu   sync.Mutex
	seen uint64
}

func repeat(ctx context.Context, t *testing.T, url string, group *sync.WaitGroup) *repeater {
	r := &repeater{}
	js := connect(t, url)
	group.Go(func() {
		for seq := uint64(1); ctx.Err() == nil; {
			msg, err := getMsg(ctx, js, seq)
			if err != nil || time.Since(msg.Time) < 2*streams.DuplicateWindow {
				wait(ctx, 50*time.Millisecond)
				continue
			}
			if seq%10 == 0 {
				again := nats.NewMsg(msg.Subject)
				again.Header, again.Data = msg.Header, msg.Data
				if ack, err := js.PublishMsg(ctx, again); err != nil || ack.Duplicate {
					continue
				}
			}
			r.mu.Lock()
			r.seen = seq
			r.mu.Unlock()
			seq++
		}
	})
	return r
}

// done reports whether nearly all of what is stored was passed; each repeat is a new message, so the last is far.
func (r *repeater) done(stored uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen+10 >= stored
}

func getMsg(ctx context.Context, js jetstream.JetStream, seq uint64) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, schema.Stream)
	if err != nil {
		return nil, err
	}
	return stream.GetMsg(ctx, seq)
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// identities counts the stream's messages and their distinct ids.
func identities(t *testing.T, js jetstream.JetStream) (ids, messages int) {
	t.Helper()
	ordered, err := js.OrderedConsumer(t.Context(), schema.Stream, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	distinct := map[string]bool{}
	for total := int(stored(t, js)); messages < total; {
		batch, err := ordered.Fetch(min(1_000, total-messages), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for msg := range batch.Messages() {
			messages++
			distinct[strings.Join(msg.Headers()[schema.HeaderMsgID], "")] = true
		}
		if err := batch.Error(); err != nil {
			t.Fatal(err)
		}
	}
	return len(distinct), messages
}
