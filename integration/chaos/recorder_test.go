package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// seen is an event as the stream held it.
type seen struct {
	values [2]string // of n and check
	at     time.Time
	times  int // how often it was stored
}

// recorder reads the stream as it comes, because the janitor trims it.
type recorder struct {
	world *world

	mu      sync.Mutex
	last    uint64
	events  map[string]map[int]*seen // by trial and number
	letters uint64                   // messages that do not decode
	strange []string                 // events that nobody reports
}

func newRecorder(w *world) *recorder {
	return &recorder{world: w, events: map[string]map[int]*seen{}}
}

// run reads until ctx ends, and begins again where it was when something fails.
func (r *recorder) run(ctx context.Context) {
	for ctx.Err() == nil {
		r.read(ctx)
		sleep(ctx, 100*time.Millisecond)
	}
}

func (r *recorder) read(ctx context.Context) {
	asked, cancel := context.WithTimeout(ctx, 5*time.Second)
	ordered, err := r.world.js.OrderedConsumer(asked, schema.Stream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.sequence() + 1,
	})
	cancel()
	if err != nil {
		return
	}
	for ctx.Err() == nil {
		batch, err := ordered.Fetch(500, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return
		}
		for msg := range batch.Messages() {
			r.take(msg)
		}
		if batch.Error() != nil {
			return
		}
	}
}

func (r *recorder) sequence() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *recorder) take(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if meta.Sequence.Stream <= r.last {
		return
	}
	r.last = meta.Sequence.Stream
	decoded, err := schema.Decode(schema.Stored{
		Subject: msg.Subject(), Header: msg.Headers(), Body: msg.Data(), Epoch: "e", Sequence: meta.Sequence.Stream, Time: meta.Timestamp,
	})
	if err != nil {
		r.letters++
		if !strings.Contains(msg.Subject(), ".poison") {
			r.strange = append(r.strange, fmt.Sprintf("the stream holds what does not decode under %s: %v", msg.Subject(), err))
		}
		return
	}
	for _, event := range whole(decoded.Events) {
		r.note(decoded.Subject.Trial, event, meta.Timestamp)
	}
}

// whole puts events of one time together: Katib's interface reports each metric by itself.
func whole(events []schema.Event) []schema.Event {
	var all []schema.Event
	for _, event := range events {
		if last := len(all) - 1; last >= 0 && !event.Time.IsZero() && event.Time.Equal(all[last].Time) {
			all[last].Metrics = append(slices.Clip(all[last].Metrics), event.Metrics...)
			continue
		}
		all = append(all, event)
	}
	return all
}

func (r *recorder) note(trial string, event schema.Event, stored time.Time) {
	values := map[string]string{}
	for _, m := range event.Metrics {
		values[m.Name] = m.Value
	}
	n, err := number(values["n"])
	if err != nil {
		if !strings.HasPrefix(trial, "poison") && trial != probeTrial {
			r.strange = append(r.strange, fmt.Sprintf("%s: the stream holds %v", trial, event.Metrics))
		}
		return
	}
	if r.events[trial] == nil {
		r.events[trial] = map[int]*seen{}
	}
	at := event.Time
	if at.IsZero() {
		at = stored
	}
	s := r.events[trial][n]
	if s == nil {
		s = &seen{values: [2]string{values["n"], values["check"]}, at: at}
		r.events[trial][n] = s
	}
	s.times++
	if s.values != [2]string{values["n"], values["check"]} || (!s.at.Equal(at) && !event.Time.IsZero()) {
		r.strange = append(r.strange, fmt.Sprintf("%s: the stream holds event %d twice, and not the same", trial, n))
	}
}
