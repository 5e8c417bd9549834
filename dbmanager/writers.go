package dbmanager

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

const (
	// idleLimit is how long a trial may report nothing before its writer ends.
	idleLimit = 10 * time.Minute
	// maxWriters is how many writers are kept; with more, those that are idle for crowdedLimit end. One is a few hundred
	// bytes; a new one for each report would be a row in the database each.
	maxWriters   = 10_000
	crowdedLimit = time.Minute
	// endTimeout is how long marking the end of writers' runs may take: it is a courtesy.
	endTimeout = 2 * time.Second
)

// publish stores a message, however often it has to try.
type publish func(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, *publishError)

// writers are this process's producers, one for each trial that reports.
type writers struct {
	publish publish

	mu      sync.Mutex
	byTrial map[string]*writer
}

// writer is the producer of one trial. It has one message under way at a time: so no number is given away before it is
// known what became of the one below, and none is missing below another.
type writer struct {
	trial string
	turn  chan struct{} // holds one token: whose it is may use the next two
	id    string        // "" until there is something to publish, and again when it is not known what became of a number
	last  uint64        // the number of the last message that is stored

	users int // these two belong to writers.mu
	used  time.Time
}

func newWriters(publish publish) *writers {
	return &writers{publish: publish, byTrial: map[string]*writer{}}
}

func (ws *writers) count() float64 {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return float64(len(ws.byTrial))
}

// take gives the trial's writer, which stays until it is given back.
func (ws *writers) take(trial string) *writer {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byTrial[trial]
	if w == nil {
		w = &writer{trial: trial, turn: make(chan struct{}, 1)}
		ws.byTrial[trial] = w
	}
	w.users++
	return w
}

func (ws *writers) giveBack(w *writer) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w.users--
	w.used = time.Now()
}

// forget makes the trial's next report begin with a new writer. The deletion of a trial needs it: whatever comes from the
// old one is discarded from then on.
func (ws *writers) forget(trial string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.byTrial, trial)
}

// store stores a body as the writer's next message.
func (ws *writers) store(ctx context.Context, w *writer, body []byte) (katibdb.Ref, *publishError) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-time.After(outage): // as long as the report before may try; in an outage many would wait one behind the other
		return katibdb.Ref{}, &publishError{cause: errQueue}
	case <-ctx.Done():
		return katibdb.Ref{}, &publishError{cause: fmt.Errorf("wait for the report before: %w", ctx.Err())}
	}
	if w.id == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return katibdb.Ref{}, &publishError{cause: fmt.Errorf("make a producer id: %w", err)}
		}
		w.id, w.last = hex.EncodeToString(id[:]), 0
	}
	ref := katibdb.Ref{Subject: w.subject(), Identity: schema.Identity{Source: w.id, Number: w.last + 1}}
	ack, failed := ws.publish(ctx, w.message(body))
	if failed != nil {
		if failed.uncertain {
			w.id = ""
		}
		return ref, failed
	}
	w.last++
	ref.Sequence = ack.Sequence
	return ref, nil
}

// refresh retires the writer's id when retired says so of it.
func (ws *writers) refresh(ctx context.Context, w *writer, retired func(context.Context, schema.Subject) bool) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return
	}
	if w.id != "" && retired(ctx, w.subject()) {
		w.id = ""
	}
}

// retire makes the writer's next message begin with a new id, unless it has one already.
func (ws *writers) retire(ctx context.Context, w *writer, id string) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return
	}
	if w.id == id {
		w.id = ""
	}
}

func (w *writer) subject() schema.Subject {
	return schema.Subject{Namespace: schema.NamespaceUnknown, Trial: w.trial, Producer: w.id}
}

func (w *writer) message(body []byte) *nats.Msg {
	return &nats.Msg{
		Subject: w.subject().String(),
		Header:  nats.Header{schema.HeaderMsgID: {schema.MessageID(w.id, w.last+1)}},
		Data:    body,
	}
}

// run ends idle writers until ctx ends.
func (ws *writers) run(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ws.evict(ctx, time.Now())
	}
}

// evict ends the writers that are idle.
func (ws *writers) evict(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	ws.end(ctx, ws.idle(now, maxWriters))
}

// close ends all writers.
func (ws *writers) close() {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	ws.end(ctx, ws.idle(time.Now(), 0))
}

// idle takes out the writers that nobody used for long, and so many more that at most keep are left. None is taken that
// somebody uses.
func (ws *writers) idle(now time.Time, keep int) []*writer {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	var unused []*writer
	for _, w := range ws.byTrial {
		if w.users == 0 {
			unused = append(unused, w)
		}
	}
	slices.SortFunc(unused, func(a, b *writer) int { return cmp.Compare(a.used.UnixNano(), b.used.UnixNano()) })
	n := 0
	for n < len(unused) && now.Sub(unused[n].used) >= limitOf(len(ws.byTrial), keep) {
		delete(ws.byTrial, unused[n].trial)
		n++
	}
	return unused[:n]
}

// limitOf is how long a writer may be idle while there are so many.
func limitOf(writers, keep int) time.Duration {
	switch {
	case keep == 0:
		return 0
	case writers > keep:
		return crowdedLimit
	default:
		return idleLimit
	}
}

// end says in the stream that the writers' runs have ended. When it does not work, they look as if they had crashed, and
// nothing else.
func (ws *writers) end(ctx context.Context, ended []*writer) {
	var group errgroup.Group
	group.SetLimit(16)
	for _, w := range ended {
		if w.id == "" || w.last == 0 {
			continue
		}
		group.Go(func() error {
			final := w.message(nil)
			final.Header.Set(schema.HeaderFinal, "true")
			_, _ = ws.publish(ctx, final)
			return nil
		})
	}
	_ = group.Wait()
}
