package barrier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func TestTrialIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.publish(subjectOf("t", "p1"), report, 1, 2, 3)
	w.publish(subjectOf("t", "p2"), report, 1)
	if _, err := w.js.Publish(t.Context(), "katib.metrics.other.t.hand", []byte(report)); err != nil {
		t.Fatal(err)
	}
	w.publish(subjectOf("t2", "p3"), report, 1)
	result, err := w.barrier.WaitTrial(w.within(short), "t")
	if !errors.Is(err, context.DeadlineExceeded) || result.Pending != 5 {
		t.Errorf("without a consumer: %+v, %v; want 5 pending", result, err)
	}
	defer w.consume()()
	// The other namespace's message is a dead letter.
	if result, err := w.barrier.WaitTrial(w.within(patience), "t"); err != nil || result != (Result{DeadLetters: result.DeadLetters}) {
		t.Errorf("with one: %+v, %v", result, err)
	}
	if rows, err := w.db.Rows(t.Context(), "t"); err != nil || len(rows) < 4 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestNothingToWaitFor(t *testing.T) {
	w := newWorld(t)
	if result, err := w.barrier.WaitTrial(w.within(patience), "never"); err != nil || result != (Result{Unknown: true}) {
		t.Errorf("a trial that never reported: %+v, %v", result, err)
	}
	if result, err := w.barrier.WaitProducer(w.within(patience), subjectOf("never", "p"), 7); !errors.Is(err, ErrMissing) {
		t.Errorf("a producer that never reported: %+v, %v", result, err)
	}
}

func TestMissingNumbersAreNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	defer w.consume()()
	s := subjectOf("t", "p")
	w.publish(s, report, 1, 2, 5, 4, 9)
	if result, err := w.barrier.WaitTrial(w.within(patience), "t"); err != nil || result.Missing != 4 {
		t.Errorf("the trial: %+v, %v; want 4 missing (3, 6, 7, 8)", result, err)
	}
	if result, err := w.barrier.WaitProducer(w.within(patience), s, 5); err != nil || result.Missing == 0 {
		t.Errorf("up to 5, after 3 was missing: %+v, %v", result, err)
	}
	if _, err := w.barrier.WaitProducer(w.within(patience), s, 8); !errors.Is(err, ErrMissing) {
		t.Errorf("number 8: %v; want %v", err, ErrMissing)
	}
	if _, err := w.barrier.WaitProducer(w.within(patience), s, 2); err != nil {
		t.Errorf("up to 2: %v", err)
	}
}

func TestDeadLettersAreCounted(t *testing.T) {
	w := newWorld(t)
	defer w.consume()()
	s := subjectOf("t", "p")
	w.publish(s, report, 1)
	w.publish(s, "this is no event", 2)
	if result, err := w.barrier.WaitProducer(w.within(patience), s, 2); err != nil || result.DeadLetters != 1 {
		t.Errorf("the producer: %+v, %v", result, err)
	}
	for number, want := range map[uint64]bool{1: false, 2: true} {
		ref := katibdb.Ref{Subject: s, Identity: schema.Identity{Source: "p", Number: number}}
		if dead, err := w.barrier.WaitMessage(w.within(patience), ref); err != nil || dead != want {
			t.Errorf("message %d: dead %v, %v", number, dead, err)
		}
	}
}

func TestDeletedTrialIsNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	s := subjectOf("t", "p")
	w.publish(s, report, 1, 2)
	w.delete("t")
	for name, wait := range map[string]func(context.Context) (Result, error){
		"trial":    func(ctx context.Context) (Result, error) { return w.barrier.WaitTrial(ctx, "t") },
		"producer": func(ctx context.Context) (Result, error) { return w.barrier.WaitProducer(ctx, s, 2) },
	} {
		if result, err := wait(w.within(patience)); err != nil || !result.Deleted {
			t.Errorf("%s: %+v, %v; want deleted", name, result, err)
		}
	}
	w.publish(subjectOf("t", "p-new"), report, 1)
	if result, err := w.barrier.WaitTrial(w.within(short), "t"); err == nil || result.Pending != 1 {
		t.Errorf("a new trial of that name: %+v, %v; want 1 pending", result, err)
	}
}

// A producer that goes on after its trial was deleted learns that another must report of the new one.
func TestProducerOfADeletedTrialIsRetired(t *testing.T) {
	w := newWorld(t)
	defer w.consume()()
	s := subjectOf("t", "p")
	wait := func(number, sequence uint64) error {
		_, err := w.barrier.WaitMessage(w.within(patience), katibdb.Ref{
			Subject: s, Identity: schema.Identity{Source: "p", Number: number}, Sequence: sequence,
		})
		return err
	}
	w.publish(s, report, 1)
	if err := wait(1, 1); err != nil {
		t.Fatal(err)
	}
	w.publish(s, report, 2)
	w.delete("t")
	w.publish(s, report, 3)
	if err := wait(2, 2); err != nil {
		t.Errorf("from before: %v", err)
	}
	if err := wait(3, 3); !errors.Is(err, ErrRetired) {
		t.Errorf("from after: %v; want %v", err, ErrRetired)
	}
}

// What is purged before it is persisted never will be.
func TestPurgedIsNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.publish(subjectOf("t", "p"), report, 1, 2, 3)
	w.publish(subjectOf("other", "p2"), report, 1)
	waited := make(chan error, 1)
	go func() {
		_, err := w.barrier.WaitTrial(w.within(patience), "t")
		waited <- err
	}()
	stream, err := w.js.Stream(t.Context(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("katib.metrics.*.t.*")); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if _, err := w.barrier.WaitProducer(w.within(patience), subjectOf("t", "p"), 3); !errors.Is(err, ErrMissing) {
		t.Errorf("the producer: %v", err)
	}
}

func TestStreamMadeAnewIsAnother(t *testing.T) {
	w := newWorld(t)
	stop := w.consume()
	w.publish(subjectOf("t", "p"), report, 1, 2, 3)
	if _, err := w.barrier.WaitTrial(w.within(patience), "t"); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := w.js.DeleteStream(t.Context(), schema.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := w.barrier.WaitTrial(w.within(patience), "t"); !errors.Is(err, ErrStream) {
		t.Errorf("without a stream: %v; want %v", err, ErrStream)
	}
	w.makeStreams()
	w.publish(subjectOf("t", "p"), report, 4)
	if result, err := w.barrier.WaitTrial(w.within(short), "t"); err == nil || result.Pending != 1 {
		t.Errorf("%+v, %v; want 1 pending", result, err)
	}
}

// However many wait, the database is asked for all of them together.
func TestQuestionsAreShared(t *testing.T) {
	w := newWorld(t)
	const clients = 1_000
	for i := range 50 {
		w.publish(subjectOf(fmt.Sprintf("t%d", i), fmt.Sprintf("p%d", i)), report, 1)
	}
	w.db.questions.Store(0)
	begin := time.Now()
	var wait sync.WaitGroup
	failed := make(chan error, clients)
	for i := range clients {
		wait.Go(func() {
			s := subjectOf(fmt.Sprintf("t%d", i%50), fmt.Sprintf("p%d", i%50))
			if i%2 == 0 {
				_, err := w.barrier.WaitTrial(w.within(patience), s.Trial)
				failed <- err
				return
			}
			_, err := w.barrier.WaitProducer(w.within(patience), s, 1)
			failed <- err
		})
	}
	timer := time.NewTimer(500 * time.Millisecond)
	<-timer.C
	stop := w.consume()
	wait.Wait()
	seconds := time.Since(begin).Seconds()
	stop()
	close(failed)
	for err := range failed {
		if err != nil {
			t.Fatal(err)
		}
	}
	// Two questions a look, and one for each producer's answer that the stream was asked for.
	if most := 400*seconds + 100; float64(w.db.questions.Load()) > most {
		t.Errorf("%d questions in %.1f s; at most %.0f", w.db.questions.Load(), seconds, most)
	}
}

// Who asks after something was stored waits for it, also when others are waiting for less.
func TestLaterCallersWaitForMore(t *testing.T) {
	w := newWorld(t)
	defer w.consume()()
	var wait sync.WaitGroup
	for caller := range 8 {
		wait.Go(func() {
			s := subjectOf("t", fmt.Sprintf("p%d", caller))
			for number := uint64(1); number <= 30; number++ {
				w.publish(s, report, number)
				if _, err := w.barrier.WaitTrial(w.within(patience), "t"); err != nil {
					t.Errorf("caller %d: %v", caller, err)
					return
				}
				known, err := w.db.DB.Watermarks(t.Context(), []schema.Subject{s})
				if err != nil || known[0].Watermark < number {
					t.Errorf("caller %d returned with %d of %d persisted, %v", caller, known[0].Watermark, number, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

func TestTroubleIsNamed(t *testing.T) {
	w := newWorld(t)
	w.publish(subjectOf("t", "p"), report, 1)
	trouble := errors.New("the database is away")
	w.db.trouble.Store(&trouble)
	ref := katibdb.Ref{Subject: subjectOf("t", "p"), Identity: schema.Identity{Source: "p", Number: 1}}
	_, err := w.barrier.WaitMessage(w.within(short), ref)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), trouble.Error()) {
		t.Errorf("%v; want a deadline, and the reason", err)
	}
	w.db.trouble.Store(nil)
	defer w.consume()()
	if _, err := w.barrier.WaitMessage(w.within(patience), ref); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

func TestStopSendsEverybodyAway(t *testing.T) {
	w := newWorld(t)
	w.publish(subjectOf("t", "p"), report, 1)
	waits := map[string]func() error{
		"trial":    func() error { _, err := w.barrier.WaitTrial(w.within(patience), "t"); return err },
		"producer": func() error { _, err := w.barrier.WaitProducer(w.within(patience), subjectOf("t", "p"), 1); return err },
	}
	answers := make(chan error, len(waits))
	for _, wait := range waits {
		go func() { answers <- wait() }()
	}
	timer := time.NewTimer(short)
	<-timer.C
	w.stop()
	for range waits {
		if err := <-answers; !errors.Is(err, ErrStopped) {
			t.Errorf("%v; want %v", err, ErrStopped)
		}
	}
	for name, wait := range waits {
		if err := wait(); !errors.Is(err, ErrStopped) {
			t.Errorf("%s afterwards: %v; want %v", name, err, ErrStopped)
		}
	}
}

// A server that was restored gives sequences again under the same epoch.
func TestRestoredStreamIsReadAgain(t *testing.T) {
	w := newWorld(t)
	stop := w.consume()
	w.publish(subjectOf("t", "p"), report, 1, 2, 3, 4, 5)
	if _, err := w.barrier.WaitTrial(w.within(patience), "t"); err != nil {
		t.Fatal(err)
	}
	stop()
	stream, err := w.js.Stream(t.Context(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.js.DeleteStream(t.Context(), schema.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := w.js.CreateStream(t.Context(), stream.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	w.publish(subjectOf("t", "q"), report, 1)
	if result, err := w.barrier.WaitTrial(w.within(short), "t"); err == nil || result.Pending != 1 {
		t.Errorf("%+v, %v; want 1 pending", result, err)
	}
}

// What a deletion discards of a producer that the database never met is deleted, not missing.
func TestDiscardedIsDeleted(t *testing.T) {
	w := newWorld(t)
	s := subjectOf("t", "p")
	w.publish(s, report, 1, 2, 3)
	w.delete("t")
	defer w.consume()()
	if result, err := w.barrier.WaitTrial(w.within(patience), "t"); err != nil || result != (Result{Deleted: true}) {
		t.Errorf("the trial: %+v, %v", result, err)
	}
	if result, err := w.barrier.WaitProducer(w.within(patience), s, 3); err != nil || result != (Result{Deleted: true}) {
		t.Errorf("the producer: %+v, %v", result, err)
	}
}

// A number that nobody will ever reach costs no more than another.
func TestHugeNumber(t *testing.T) {
	w := newWorld(t)
	defer w.consume()()
	s := subjectOf("t", "p")
	w.publish(s, report, 1, 3)
	w.db.questions.Store(0)
	result, err := w.barrier.WaitProducer(w.within(patience), s, schema.MaxNumber)
	if !errors.Is(err, ErrMissing) || result.Missing != schema.MaxNumber-2 {
		t.Errorf("%+v, %v", result, err)
	}
	if asked := w.db.questions.Load(); asked > 500 {
		t.Errorf("%d questions", asked)
	}
}
