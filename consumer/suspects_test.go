package consumer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// deliver delivers what the stream holds as often as that, to nobody who handles it.
func deliver(t *testing.T, js jetstream.JetStream, messages, times int) {
	t.Helper()
	durable, err := js.Consumer(t.Context(), schema.Stream, schema.Consumer)
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		batch := make([]jetstream.Msg, messages)
		for i := range batch {
			if batch[i], err = durable.Next(jetstream.FetchMaxWait(patience)); err != nil {
				t.Fatal(err)
			}
		}
		for _, msg := range batch {
			if err := msg.Nak(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSuspects has four messages delivered for the third time: of one nothing is known, one was in the hands of a process
// that died, one of four, and one of five.
func TestSuspects(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	db := &fakeDB{}
	_, stop := start(t, js, db, Config{})
	stop()
	for n := range 4 {
		publish(t, js, subject, `{"metrics":{"loss":0.1}}`, "Nats-Msg-Id", fmt.Sprintf("me:%d", n+1))
	}
	deliver(t, js, 4, 2)
	db.unended = map[uint64]uint64{2: 1, 3: 4, 4: 5}
	start(t, js, db, Config{})
	settled(t, js)

	letters := deadLetters(t, js)
	if len(letters) != 1 || letters[0].Header.Get(schema.HeaderSequence) != "4" || letters[0].Header.Get(schema.HeaderStage) != schema.StageQuarantine {
		t.Fatalf("dead letters %v; want message 4, of the stage %q", letters, schema.StageQuarantine)
	}
	if reason := letters[0].Header.Get(schema.HeaderReason); !strings.Contains(reason, "died 5 times") {
		t.Errorf("reason %q", reason)
	}
	for i, m := range db.messages() {
		if dead := m.Sequence == 4; m.Sequence != uint64(i+1) || m.Dead != dead || m.Identity.Number != m.Sequence || len(m.Events) == 0 != dead {
			t.Errorf("message %d of the database is %+v", i+1, m)
		}
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	for sequence, unended := range db.unended {
		if unended != 0 {
			t.Errorf("%d attempts at message %d are still noted", unended, sequence)
		}
	}
	// A note of each before it is decoded, which is taken back when it is persisted.
	for n, sequence := range []uint64{1, 2, 3, 4} {
		before := map[uint64]uint64{1: 0, 2: 1, 3: 4, 4: 5}[sequence]
		want := []map[uint64]uint64{{sequence: before + 1}, nil, {sequence: 0}}
		if got := db.noted[3*n : 3*n+3]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("notes of message %d: %v; want %v", sequence, got, want)
		}
	}
}

// TestSuspectsTogether lets a database fail for a while: nothing is held against the messages, and they stay together.
func TestSuspectsTogether(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	failures := 3
	db := &fakeDB{}
	db.persist = func([]katibdb.Message) ([]katibdb.Outcome, error) {
		if failures--; failures >= 0 {
			return nil, fmt.Errorf("the database is full")
		}
		return nil, nil
	}
	_, stop := start(t, js, db, Config{})
	stop()
	for n := range 3 {
		publish(t, js, subject, `{"metrics":{"loss":0.1}}`, "Nats-Msg-Id", fmt.Sprintf("me:%d", n+1))
	}
	deliver(t, js, 3, 5)
	start(t, js, db, Config{BatchWait: time.Second})
	settled(t, js)
	if kept := db.messages(); len(kept) != 3 || len(deadLetters(t, js)) != 0 {
		t.Fatalf("%d messages are kept, %d dead letters; want 3 and none", len(kept), len(deadLetters(t, js)))
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, note := range db.noted {
		for unended := range maps.Values(note) {
			if unended > 1 {
				t.Errorf("%v is noted; want at most one attempt at a time", note)
			}
		}
	}
}

// TestSuspectsInCompany counts how many are handled together, by how many attempts at them have not ended.
func TestSuspectsInCompany(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	const each = 70
	db := &fakeDB{unended: map[uint64]uint64{}}
	_, stop := start(t, js, db, Config{})
	stop()
	for n := range uint64(4 * each) {
		publish(t, js, subject, `{"metrics":{"loss":0.1}}`, "Nats-Msg-Id", fmt.Sprintf("me:%d", n+1))
		db.unended[n+1] = n / each
	}
	deliver(t, js, 4*each, 2)
	start(t, js, db, Config{BatchWait: 2 * time.Second})
	settled(t, js)
	db.mu.Lock()
	defer db.mu.Unlock()
	var sizes []int
	for i, note := range db.noted {
		if note == nil { // the batch that was persisted; its messages were noted before
			sizes = append(sizes, len(db.noted[i-1]))
		}
	}
	slices.Sort(sizes)
	want := append(slices.Repeat([]int{1}, each), 6, 6, 8, 8, 8, 8, 8, 8, 8, 8, 64, 70)
	if !slices.Equal(sizes, want) {
		t.Errorf("batches of %v; want %v", sizes, want)
	}
	if len(db.kept) != 4*each {
		t.Errorf("%d messages are kept", len(db.kept))
	}
}
