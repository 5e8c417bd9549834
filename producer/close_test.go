package producer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

func TestFinal(t *testing.T) {
	tests := []struct {
		name     string
		events   int
		stored   bool // all of them before Close
		messages int
		last     int // events in the last message
	}{
		{"with the rest", 5, false, 1, 5},
		{"when all was sent", 5, true, 2, 0},
		{"nothing was reported", 0, false, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nc := connect(t, testserver.NATS(t).URL())
			stream := makeStream(t, nc)
			cfg := Config{BatchWait: time.Hour}
			if test.stored {
				cfg.BatchWait = time.Millisecond
				cfg.BatchEvents = test.events
			}
			p := newProducer(t, nc, cfg)
			report(t, p, 0, test.events)
			if test.stored {
				eventually(t, "all is stored", func() bool { return p.Stats().WaitingEvents == 0 })
			}
			before := p.Stats().Messages
			closeNow(t, p)
			messages := checkRun(t, stream, p, test.events, true)
			if test.stored {
				test.messages = int(before) + 1
			}
			if len(messages) != test.messages {
				t.Fatalf("%d messages, want %d", len(messages), test.messages)
			}
			if len(messages) > 0 && len(messages[len(messages)-1].Events) != test.last {
				t.Errorf("the final message holds %d events, want %d", len(messages[len(messages)-1].Events), test.last)
			}
		})
	}
}

func TestConnectionClosed(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	p := newProducer(t, nc, Config{BatchWait: time.Hour})
	report(t, p, 0, 3)
	nc.Close()
	<-p.done
	if err := p.Report(t.Context(), event(1)); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("report: %v", err)
	}
	err := p.Close(context.Background())
	var lost *UndeliveredError
	if !errors.As(err, &lost) || lost.Events != 3 || !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("close: %v", err)
	}
	if _, err := New(nc, Config{Trial: "my-trial"}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("new: %v", err)
	}
}

func TestCloseGivesUp(t *testing.T) {
	s := testserver.NATS(t)
	s.Stop()
	p := newProducer(t, connect(t, s.URL()), Config{BatchBytes: 500})
	report(t, p, 0, 1234)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := p.Close(ctx)
	var lost *UndeliveredError
	if !errors.As(err, &lost) || !errors.Is(err, ErrUndelivered) || lost.Events != 1234 {
		t.Errorf("%v (%+v)", err, lost)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, nats.ErrDisconnected) {
		t.Errorf("%v does not say why", err)
	}
	if want := "undelivered: 1234 events not stored: context deadline exceeded; not connected"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%q does not begin with %q", err, want)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("close took %v", took)
	}
	select {
	case <-p.done:
	default:
		t.Error("the goroutine lives on")
	}
	if again := p.Close(context.Background()); again != err {
		t.Errorf("the second Close returns %v", again)
	}
}

// The mark of the run's end says that the stream holds the run: it may not overtake a message that nobody acknowledged.
func TestFinalWaitsForTheRest(t *testing.T) {
	s := testserver.NATS(t)
	stream := makeStream(t, connect(t, s.URL()))
	proxy := startProxy(t, s.URL())
	p := newProducer(t, connect(t, proxy.url()), Config{BatchEvents: 2, BatchWait: time.Hour})
	proxy.set(func() { proxy.swallow = true })
	report(t, p, 0, 2)
	eventually(t, "the acknowledgement is lost", proxy.swallowedAny)
	report(t, p, 2, 3) // left for Close
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var lost *UndeliveredError
	if err := p.Close(ctx); !errors.As(err, &lost) || lost.Events != 3 {
		t.Errorf("close: %v", err)
	}
	if messages := readStream(t, stream); len(messages) != 1 || messages[0].Final {
		t.Errorf("the stream holds %v", messages)
	}
}
