package dbmanager

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// scripted publishes as told.
func scripted(sent *[]*nats.Msg, fail func() *publishError) *writers {
	return newWriters(func(_ context.Context, m *nats.Msg) (*jetstream.PubAck, *publishError) {
		*sent = append(*sent, m)
		if failed := fail(); failed != nil {
			return nil, failed
		}
		return &jetstream.PubAck{Sequence: uint64(len(*sent))}, nil
	})
}

func store(t *testing.T, ws *writers) (katibdb.Ref, *publishError) {
	t.Helper()
	w := ws.take(trial)
	defer ws.giveBack(w)
	return ws.store(t.Context(), w, []byte("x"))
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	var sent []*nats.Msg
	var failed *publishError
	ws := scripted(&sent, func() *publishError { return failed })
	first, _ := store(t, ws)
	failed = &publishError{cause: errors.New("away")}
	if _, err := store(t, ws); err != failed {
		t.Error(err)
	}
	failed = nil
	second, _ := store(t, ws)
	id := first.Identity.Source
	if first.Identity.Number != 1 || second.Identity != (schema.Identity{Source: id, Number: 2}) {
		t.Errorf("%v and %v: a number that is certainly free is not used", first, second)
	}

	failed = &publishError{cause: errors.New("no answer"), uncertain: true}
	_, _ = store(t, ws)
	failed = nil
	third, _ := store(t, ws)
	if third.Identity.Source == id || third.Identity.Number != 1 {
		t.Errorf("%v goes on where it is not known what became of a number", third)
	}

	ws.forget(trial)
	if fourth, _ := store(t, ws); fourth.Identity.Source == third.Identity.Source {
		t.Error("the trial was deleted, and its producer reports on")
	}
}

func TestReportsOfATrialGoOneByOne(t *testing.T) {
	t.Parallel()
	publishing := make(chan struct{})
	ws := newWriters(func(ctx context.Context, _ *nats.Msg) (*jetstream.PubAck, *publishError) {
		close(publishing)
		<-ctx.Done()
		return nil, &publishError{cause: ctx.Err(), uncertain: true}
	})
	w := ws.take(trial)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _, _ = ws.store(ctx, w, nil) }()
	<-publishing
	impatient, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if _, failed := ws.store(impatient, w, nil); failed == nil || failed.uncertain || status.Code(failed.status(impatient)) != codes.DeadlineExceeded {
		t.Errorf("want to be sent away, got %v", failed)
	}
	cancel()
	<-done
}

func TestEviction(t *testing.T) {
	t.Parallel()
	var sent []*nats.Msg
	ws := scripted(&sent, func() *publishError { return nil })
	first, _ := store(t, ws)
	ws.evict(t.Context(), time.Now().Add(idleLimit-time.Second))
	if len(sent) != 1 {
		t.Error("it was not idle for long")
	}
	w := ws.take(trial)
	ws.evict(t.Context(), time.Now().Add(idleLimit))
	if len(sent) != 1 {
		t.Error("it is in use")
	}
	ws.giveBack(w)
	ws.evict(t.Context(), time.Now().Add(idleLimit))
	if len(sent) != 2 || sent[1].Header.Get(schema.HeaderFinal) != "true" || sent[1].Header.Get(schema.HeaderMsgID) != schema.MessageID(first.Identity.Source, 2) {
		t.Errorf("the end is not marked: %v", sent)
	}
	if next, _ := store(t, ws); next.Identity.Source == first.Identity.Source {
		t.Error("a producer that ended goes on")
	}
}

func TestTooManyWriters(t *testing.T) {
	t.Parallel()
	ws := newWriters(nil)
	for i := range maxWriters + 2 {
		ws.giveBack(ws.take(fmt.Sprint("trial-", i)))
	}
	if out := ws.idle(time.Now(), maxWriters); len(out) != 0 {
		t.Errorf("%d go that were just in use", len(out))
	}
	out := ws.idle(time.Now().Add(crowdedLimit), maxWriters)
	if len(out) != 2 || out[0].trial != "trial-0" || ws.count() != maxWriters {
		t.Errorf("%d go, %v are left", len(out), ws.count())
	}
}

func TestStopMarksTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{ReportAccepted: true})
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	w.stop()
	held := w.held()
	if len(held) != 2 || held[1].Header.Get(schema.HeaderFinal) != "true" || len(held[1].Data) != 0 {
		t.Errorf("the stream holds %v", held)
	}
}

func TestConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{ReportAccepted: true})
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	next := w.server.writers.byTrial[trial].message([]byte(`{"metrics":{"loss":2}}`))
	_, err := w.js.PublishMsg(t.Context(), next) // somebody else, under our id
	w.must(err)
	if err := w.report(w.within(patience), entry(noon, "loss", "3")); err == nil {
		t.Error("a report that is not stored succeeds")
	}
	w.must(w.report(w.within(patience), entry(noon, "loss", "3")))
}
