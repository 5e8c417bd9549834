package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/deadletter"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// requeuing is a running consumer, and what requeues its dead letters.
type requeuing struct {
	js jetstream.JetStream
	db *katibdb.DB
	deadletter.Requeuer
}

func newRequeuing(t *testing.T, url string) *requeuing {
	js := connect(t, testserver.NATS(t).URL())
	r := &requeuing{js: js, db: open(t, url)}
	ensureStreams(t, js)
	consume(t, js, r.db, consumer.Config{})
	flushService(t, js, r.db)
	letters, err := js.Stream(t.Context(), schema.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	r.Requeuer = deadletter.Requeuer{JS: js, Letters: letters, Timeout: patience, Wait: patience}
	return r
}

// dies sends a message, and gives its dead letter.
func (r *requeuing) dies(t *testing.T, subject, body string) *deadletter.Letter {
	t.Helper()
	send(t, r.js, subject, body, nats.Header{"X-Kept": {"as it was"}})
	settled(t, r.js)
	info, err := r.Letters.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	letter, err := deadletter.Get(t.Context(), r.Letters, info.State.LastSeq)
	if err != nil {
		t.Fatal(err)
	}
	if letter.Subject != subject || string(letter.Body) != body || letter.Header.Get("X-Kept") == "" {
		t.Fatalf("the last dead letter is %+v; want that of %s", letter, subject)
	}
	return letter
}

func (r *requeuing) remains(t *testing.T, letter *deadletter.Letter, want bool) {
	t.Helper()
	_, err := deadletter.Get(t.Context(), r.Letters, letter.Sequence)
	if want != (err == nil) || (err != nil && !errors.Is(err, deadletter.ErrGone)) {
		t.Errorf("letter %d: %v; it is to be there: %v", letter.Sequence, err, want)
	}
}

var mended = deadletter.Change{Body: []byte(`{"metrics":{"n":0}}` + "\n" + `{"metrics":{"n":1},"time":"2030-01-01T00:00:00Z"}`)}

// TestRequeuedOnce requeues a letter again and again: within the duplicate window, by several at once, after the window and
// after the stream has forgotten it.
func TestRequeuedOnce(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		r := newRequeuing(t, url)
		letter := r.dies(t, "katib.metrics.default.my-trial.me", "no JSON")
		if _, err := r.Requeue(t.Context(), letter, deadletter.Change{}); err == nil || !strings.Contains(err.Error(), "dead letter again") {
			t.Errorf("requeued as it was: %v", err)
		}
		r.Keep = true
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, err := r.Requeue(t.Context(), letter, mended); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		out, err := r.Requeue(t.Context(), letter, deadletter.Change{Body: []byte(`{"metrics":{"n":7}}`)})
		if err != nil || !out.Before || !out.Different {
			t.Errorf("requeued with another body: %+v, %v", out, err)
		}
		stream, err := r.js.Stream(t.Context(), schema.Stream)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(out.Subject)); err != nil {
			t.Fatal(err)
		}
		again, err := letter.Message(mended)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is stored again, after the duplicate window", func() bool {
			ack, err := r.js.PublishMsg(t.Context(), again)
			return err == nil && !ack.Duplicate
		})
		r.remains(t, letter, true)
		r.Keep = false
		if _, err := r.Requeue(t.Context(), letter, mended); err != nil {
			t.Error(err)
		}
		r.remains(t, letter, false)
		settled(t, r.js)
		checkTrial(t, r.db.SQL(), "my-trial", 2)
		// What had no time has that of the original.
		var times []time.Time
		err = r.db.Log(t.Context(), katibdb.LogQuery{Trial: "my-trial"}, func(row katibdb.Row) error {
			times = append(times, row.Time)
			return nil
		})
		if err != nil || len(times) != 2 || !times[0].Equal(letter.Time.Truncate(time.Microsecond)) {
			t.Errorf("rows at %v, %v; want the first at %v", times, err, letter.Time)
		}
	})
}

// TestRequeueOfEachStage has letters of other namespaces and of no trial's subject.
func TestRequeueOfEachStage(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		r := newRequeuing(t, url)
		plain(t, r.js, "my-trial", 0, 1)
		settled(t, r.js)
		foreign := r.dies(t, "katib.metrics.other.my-trial.me", `{"metrics":{"n":1}}`)
		_, err := r.Requeue(t.Context(), foreign, deadletter.Change{})
		if !errors.Is(err, deadletter.ErrDiedAgain) || !strings.Contains(err.Error(), "number 2") {
			t.Errorf("requeued for a namespace that it is not of: %v", err)
		}
		r.remains(t, foreign, true)
		if _, err := r.Requeue(t.Context(), foreign, deadletter.Change{Namespace: "default"}); err != nil {
			t.Error(err)
		}
		r.remains(t, foreign, false)

		nobodys := r.dies(t, "katib.metrics.UPPER.my-trial.me", `{"metrics":{"n":2}}`)
		if _, err := r.Requeue(t.Context(), nobodys, deadletter.Change{Namespace: "default"}); err == nil || !strings.Contains(err.Error(), "--to-trial") {
			t.Errorf("requeued without a trial: %v", err)
		}
		if _, err := r.Requeue(t.Context(), nobodys, deadletter.Change{Namespace: "default", Trial: "no trial"}); err == nil {
			t.Error("it took a name that is none")
		}
		if _, err := r.Requeue(t.Context(), nobodys, deadletter.Change{Namespace: "default", Trial: "my-trial"}); err != nil {
			t.Error(err)
		}
		checkTrial(t, r.db.SQL(), "my-trial", 3)
	})
}

// TestRequeueOfADeletedTrial must not bring it back, however soon after the original it was deleted; a letter from after
// the deletion is of the new trial.
func TestRequeueOfADeletedTrial(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		r := newRequeuing(t, url)
		old := r.dies(t, "katib.metrics.default.my-trial.me", "no JSON")
		stream := func(ctx context.Context) (string, uint64, time.Time, error) {
			info, err := r.js.Stream(ctx, schema.Stream)
			if err != nil {
				return "", 0, time.Time{}, err
			}
			state := info.CachedInfo()
			return state.Config.Metadata[schema.MetadataEpoch], state.State.LastSeq, state.TimeStamp, nil
		}
		if err := r.db.DeleteTrial(t.Context(), "my-trial", stream); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Requeue(t.Context(), old, mended); !errors.Is(err, deadletter.ErrDeleted) {
			t.Errorf("requeued after the deletion: %v", err)
		}
		r.remains(t, old, true)
		young := r.dies(t, "katib.metrics.default.my-trial.other", "no JSON")
		if _, err := r.Requeue(t.Context(), young, deadletter.Change{Body: []byte(`{"metrics":{"n":0}}`)}); err != nil {
			t.Error(err)
		}
		settled(t, r.js)
		checkTrial(t, r.db.SQL(), "my-trial", 1)
	})
}

// TestEachDeadLetter reads those that a filter means.
func TestEachDeadLetter(t *testing.T) {
	t.Parallel()
	js := connect(t, testserver.NATS(t).URL())
	ensureStreams(t, js)
	for n := range 2_000 {
		stage := []string{schema.StageDecode, schema.StagePersist}[n%2]
		header := nats.Header{schema.HeaderStage: {stage}, schema.HeaderReason: {fmt.Sprint("Reason ", n%5)}}
		send(t, js, fmt.Sprintf("katib.deadletters.default.trial-%d.me", n%3), "body", header)
	}
	for name, tt := range map[string]struct {
		filter deadletter.Filter
		want   int
	}{
		"all":        {deadletter.Filter{}, 2_000},
		"a trial":    {deadletter.Filter{Trial: "trial-1"}, 667},
		"a stage":    {deadletter.Filter{Stage: schema.StagePersist}, 1_000},
		"a reason":   {deadletter.Filter{Reason: "reason 3"}, 400},
		"both":       {deadletter.Filter{Namespace: "default", Trial: "trial-0", Reason: "reason 3"}, 134},
		"before":     {deadletter.Filter{Until: time.Now().Add(-time.Hour)}, 0},
		"none since": {deadletter.Filter{Since: time.Now().Add(time.Hour)}, 0},
	} {
		count := 0
		err := deadletter.Each(t.Context(), js, tt.filter, patience, func(l *deadletter.Letter) error {
			if count++; l.Size != 4 || l.Body != nil {
				t.Errorf("%s: letter %+v; want the size of its body and not the body", name, l)
			}
			return nil
		})
		if err != nil || count != tt.want {
			t.Errorf("%s: %d letters, %v; want %d", name, count, err, tt.want)
		}
	}
}
