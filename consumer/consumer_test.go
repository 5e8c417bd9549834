package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

const subject = "katib.metrics.default.my-trial.me"

func TestAcknowledgesOnlyAfterTheCommit(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	inCommit, goOn := make(chan struct{}), make(chan struct{})
	db := &fakeDB{persist: func([]katibdb.Message) ([]katibdb.Outcome, error) {
		inCommit <- struct{}{}
		<-goOn
		return nil, nil
	}}
	start(t, js, db, Config{})
	publish(t, js, subject, `{"metrics":{"loss":0.1}}`)
	<-inCommit
	if info := durable(t, js); info.NumAckPending != 1 || info.AckFloor.Stream != 0 {
		t.Fatalf("before the commit: %d unacknowledged, floor %d; want 1 and 0", info.NumAckPending, info.AckFloor.Stream)
	}
	close(goOn)
	settled(t, js)
}

func TestBadDataIsHalvedUntilTheGuiltyStandAlone(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	guilty := func(m katibdb.Message) bool {
		return len(m.Events) > 0 && m.Events[0].Metrics[0].Value == "bad"
	}
	db := &fakeDB{persist: func(batch []katibdb.Message) ([]katibdb.Outcome, error) {
		for _, m := range batch {
			if guilty(m) {
				return nil, fmt.Errorf("insert: %w", katibdb.ErrData)
			}
		}
		return nil, nil
	}}
	const messages = 100
	streams(t, js)
	for i := range messages {
		value := "good"
		if i%33 == 0 {
			value = "bad"
		}
		publish(t, js, subject, fmt.Sprintf(`{"metrics":{"m":%q}}`, value))
	}
	start(t, js, db, Config{})
	settled(t, js)
	good, dead := 0, 0
	for _, m := range db.messages() {
		if m.Dead {
			dead++
		} else {
			good++
		}
	}
	if good != 96 || dead != 4 || len(deadLetters(t, js)) != 4 {
		t.Errorf("%d persisted, %d recorded dead, %d dead letters; want 96, 4 and 4", good, dead, len(deadLetters(t, js)))
	}
}

func TestTroubleThatPassesKeepsMessagesInProgress(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	begin := time.Now()
	db := &fakeDB{persist: func([]katibdb.Message) ([]katibdb.Outcome, error) {
		if time.Since(begin) < 4*time.Second {
			return nil, errors.New("connection refused")
		}
		return nil, nil
	}}
	c, _ := start(t, js, db, Config{AckWait: time.Second, Workers: 2})
	publish(t, js, subject, `{"metrics":{"loss":0.1}}`)
	eventually(t, "the consumer says that the database is away", func() bool {
		err := c.Ready(context.Background())
		return err != nil && strings.Contains(err.Error(), "connection refused")
	})
	settled(t, js)
	eventually(t, "the consumer is ready again", func() bool { return c.Ready(context.Background()) == nil })
	if n := durable(t, js).Delivered.Consumer; n != 1 {
		t.Errorf("delivered %d times; want once, however long the database was away", n)
	}
	if letters := deadLetters(t, js); len(letters) != 0 {
		t.Errorf("%d dead letters; want none", len(letters))
	}
}

func TestAnotherNamespacesReportIsADeadLetter(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	db := &fakeDB{persist: func(batch []katibdb.Message) ([]katibdb.Outcome, error) {
		if batch[0].Subject.Namespace == "foreign" && !batch[0].Dead {
			return []katibdb.Outcome{katibdb.Foreign}, nil
		}
		return nil, nil
	}}
	start(t, js, db, Config{})
	publish(t, js, "katib.metrics.foreign.my-trial.me", `{"metrics":{"loss":0.1}}`)
	settled(t, js)
	letters := deadLetters(t, js)
	if len(letters) != 1 || letters[0].Header.Get(schema.HeaderStage) != schema.StageNamespace {
		t.Fatalf("dead letters %v; want one of the stage %q", letters, schema.StageNamespace)
	}
	if kept := db.messages(); len(kept) != 1 || !kept[0].Dead || len(kept[0].Events) != 0 {
		t.Errorf("recorded %+v; want one dead message without events", kept)
	}
}

func TestDeadLetterHoldsTheOriginal(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	start(t, js, &fakeDB{}, Config{})
	large := strings.Repeat("x", 60<<10)
	publish(t, js, subject, "no json", "Nats-Msg-Id", "me:1", "Nats-Expected-Stream", "KATIB_METRICS", "X-Large", large)
	settled(t, js)
	letters := deadLetters(t, js)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters; want 1", len(letters))
	}
	letter := letters[0]
	if letter.Subject != "katib.deadletters.default.my-trial.me" || string(letter.Data) != "no json" {
		t.Errorf("dead letter on %s with body %q", letter.Subject, letter.Data)
	}
	for name, want := range map[string]string{
		"Orig-Msg-Id": "me:1", "Orig-Expected-Stream": "KATIB_METRICS", "X-Large": large,
		schema.HeaderSubject: subject, schema.HeaderSequence: "1", schema.HeaderStage: schema.StageDecode,
	} {
		if got := letter.Header.Get(name); got != want {
			t.Errorf("header %s is %.80q, want %.80q", name, got, want)
		}
	}
	if reason := letter.Header.Get(schema.HeaderReason); !strings.Contains(reason, "not a JSON object") {
		t.Errorf("reason %q", reason)
	}
}

func TestStopFinishesTheBatch(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	inCommit, goOn := make(chan struct{}), make(chan struct{})
	db := &fakeDB{persist: func([]katibdb.Message) ([]katibdb.Outcome, error) {
		close(inCommit)
		<-goOn
		return nil, nil
	}}
	_, stop := start(t, js, db, Config{})
	publish(t, js, subject, `{"metrics":{"loss":0.1}}`)
	<-inCommit
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("Run returned while a batch was under way")
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	<-stopped
	if info := durable(t, js); info.NumAckPending != 0 || len(db.messages()) != 1 {
		t.Errorf("%d unacknowledged, %d persisted; want 0 and 1", info.NumAckPending, len(db.messages()))
	}
}

func TestStopDoesNotWaitForADatabaseThatIsAway(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	var tries atomic.Int32
	db := &fakeDB{persist: func([]katibdb.Message) ([]katibdb.Outcome, error) {
		tries.Add(1)
		return nil, errors.New("connection refused")
	}}
	_, stop := start(t, js, db, Config{})
	publish(t, js, subject, `{"metrics":{"loss":0.1}}`)
	eventually(t, "the database was tried", func() bool { return tries.Load() > 1 })
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 16*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if info := durable(t, js); info.NumAckPending != 1 {
		t.Errorf("%d unacknowledged; want 1, left for another replica", info.NumAckPending)
	}
}

func TestAfterCommitRunsBeforeTheAcknowledgement(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	db := &fakeDB{}
	var unacknowledged atomic.Int32
	start(t, js, db, Config{AfterCommit: func() { unacknowledged.Store(int32(durable(t, js).NumAckPending)) }})
	publish(t, js, subject, `{"metrics":{"loss":0.1}}`)
	settled(t, js)
	if unacknowledged.Load() != 1 || len(db.messages()) != 1 {
		t.Errorf("%d unacknowledged at the failpoint; want 1", unacknowledged.Load())
	}
}
