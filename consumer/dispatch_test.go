package consumer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fakeMsg is a message that is only looked at.
type fakeMsg struct {
	jetstream.Msg
	subject string
	body    []byte
	header  int // bytes of it
	times   uint64
}

func (m fakeMsg) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{NumDelivered: m.times}, nil
}

func (m fakeMsg) Subject() string   { return m.subject }
func (m fakeMsg) Data() []byte      { return m.body }
func (m fakeMsg) InProgress() error { return nil }
func (m fakeMsg) Nak() error        { return nil }

func (m fakeMsg) NakWithDelay(time.Duration) error { return nil }

func (m fakeMsg) Headers() nats.Header {
	return nats.Header{"Large": {strings.Repeat("x", m.header)}}
}

func of(trials ...int) []jetstream.Msg {
	var batch []jetstream.Msg
	for _, trial := range trials {
		batch = append(batch, fakeMsg{subject: fmt.Sprintf("katib.metrics.default.trial-%d.me", trial)})
	}
	return batch
}

func testDispatcher(t *testing.T, cfg Config) *dispatcher {
	t.Helper()
	c, err := New(nil, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return newDispatcher(c)
}

// trialsOf says which trials' messages wait for a worker, by trial.
func trialsOf(w *worker) map[string]int {
	found := map[string]int{}
	for _, d := range w.waiting {
		for trial, n := range d.trials {
			found[trial] += n
		}
	}
	return found
}

func TestATrialStaysWithOneWorker(t *testing.T) {
	d := testDispatcher(t, Config{Workers: 4})
	for range 3 {
		if err := d.dispatch(t.Context(), &session{}, of(0, 1, 2, 3, 4, 5, 6, 7, 0, 4)); err != nil {
			t.Fatal(err)
		}
	}
	met := map[string]bool{}
	for i, w := range d.workers {
		trials := trialsOf(w)
		if len(trials) != 2 {
			t.Errorf("worker %d has %d trials; want 2 of the 8", i, len(trials))
		}
		for trial := range trials {
			if met[trial] {
				t.Errorf("%s is with two workers", trial)
			}
			met[trial] = true
		}
		for _, part := range w.waiting {
			d.done(part)
		}
	}
	if len(d.trials) != 0 || !d.room.TryAcquire(d.size) {
		t.Errorf("%d trials are still placed, or not all of the room is back, though nothing is in hand", len(d.trials))
	}
}

func TestDispatchWaitsForRoom(t *testing.T) {
	d := testDispatcher(t, Config{Workers: 1, BatchBytes: 1 << 10})
	large := []jetstream.Msg{fakeMsg{subject: "katib.metrics.default.large.me", body: make([]byte, 1<<9), header: 1 << 20}}
	if err := d.dispatch(t.Context(), &session{}, large); err != nil {
		t.Fatalf("a message larger than all the room: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.dispatch(ended, &session{}, of(1)); err == nil {
		t.Error("a message was handed over though there was no room")
	}
	d.done(d.workers[0].waiting[0])
	// What was fetched when it is told to stop is finished, too, where there is room for it.
	if err := d.dispatch(ended, &session{}, of(1)); err != nil {
		t.Errorf("after the large one was done: %v", err)
	}
	d.done(d.workers[0].waiting[1])
}

func TestTrialToken(t *testing.T) {
	for subject, want := range map[string]string{
		"katib.metrics.default.my%2Etrial.me": "my%2Etrial",
		"katib.metrics.default.my-trial":      "my-trial",
		"katib.metrics.default":               "",
		"katib.metrics.a.b.c.d.e":             "b",
	} {
		if got := trialToken(subject); got != want {
			t.Errorf("%s: got %q, want %q", subject, got, want)
		}
	}
}

// TestSuspectsHaveAWorkerOfTheirOwn keeps them away from what is good, also from their own trial's.
func TestSuspectsHaveAWorkerOfTheirOwn(t *testing.T) {
	d := testDispatcher(t, Config{Workers: 2})
	batch := of(1, 1, 2)
	for times := range uint64(4) {
		batch = append(batch, fakeMsg{subject: "katib.metrics.default.trial-1.me", times: times + 1})
	}
	if err := d.dispatch(t.Context(), &session{}, batch); err != nil {
		t.Fatal(err)
	}
	if n := len(d.suspects.waiting[0].messages); n != 2 {
		t.Errorf("%d messages went to the suspects' worker; want the 2 that were delivered 3 and 4 times", n)
	}
	d.done(d.suspects.waiting[0])
	for _, w := range d.workers {
		for _, part := range w.waiting {
			d.done(part)
		}
		if w.inHand != 0 {
			t.Errorf("%d messages are still counted", w.inHand)
		}
	}
	if len(d.trials) != 0 || !d.room.TryAcquire(d.size) {
		t.Errorf("trials %v are still placed, or their room is taken", d.trials)
	}
}
