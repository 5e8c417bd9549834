package producer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func flushNow(t testing.TB, p *Producer) {
	t.Helper()
	if err := p.Flush(within(t, patience)); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

// flushBeside runs Flush in the background.
func flushBeside(t testing.TB, p *Producer) <-chan error {
	t.Helper()
	result, ctx := make(chan error, 1), within(t, patience)
	go func() { result <- p.Flush(ctx) }()
	return result
}

// flushFails demands a *FlushError of these words, and that it came before the context ended.
func flushFails(t testing.TB, err error, text string, is ...error) *FlushError {
	t.Helper()
	var left *FlushError
	if !errors.As(err, &left) || !errors.Is(err, ErrNotPersisted) || !strings.Contains(err.Error(), text) {
		t.Fatalf("flush: %v; want %q", err, text)
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
	return left
}

func TestFlush(t *testing.T) {
	tests := []struct {
		name    string
		answers []func(*nats.Msg)
		asked   int
		text    string // "" when it succeeds
		is      error
	}{
		{"persisted", []func(*nats.Msg){persisted}, 1, "", nil},
		{"pending for a while", []func(*nats.Msg){pending, pending, persisted}, 3, "", nil},
		{"an error that passes", []func(*nats.Msg){fails("503", "the database is away"), persisted}, 2, "", nil},
		{"an error that stays", []func(*nats.Msg){fails("400", "no such number")}, 1, "not everything is persisted: what was sent is stored: the consumer answers with error 400: no such number", nil},
		{"no answer of ours", []func(*nats.Msg){func(msg *nats.Msg) { _ = msg.Respond([]byte("x")) }, says(schema.FlushAnswer{Status: "else"}), persisted}, 3, "", nil},
		{"the trial is deleted", []func(*nats.Msg){says(schema.FlushAnswer{Status: schema.FlushDeleted, DeadLetters: 1})}, 1, "not everything is persisted: the trial was deleted, and its reports with it", ErrTrialDeleted},
		{"the last message is gone", []func(*nats.Msg){says(schema.FlushAnswer{Status: schema.FlushMissing})}, 1, "not everything is persisted: 1 message is neither in the stream nor in Katib DB; was it purged?", ErrMissing},
		{"some messages are gone", []func(*nats.Msg){says(schema.FlushAnswer{Status: schema.FlushPersisted, Missing: 2})}, 1, "not everything is persisted: 2 messages are neither in the stream nor in Katib DB", ErrMissing},
		{"dead letters", []func(*nats.Msg){says(schema.FlushAnswer{Status: schema.FlushPersisted, DeadLetters: 2})}, 1, "not everything is persisted: 2 messages of this producer are dead letters", ErrDeadLetters},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nc := connect(t, testserver.NATS(t).URL())
			makeStream(t, nc)
			r := respond(t, nc, test.answers...)
			p := newProducer(t, nc, Config{BatchEvents: 2, BatchWait: time.Hour})
			report(t, p, 0, 5) // the third message is the open batch
			err := p.Flush(within(t, patience))
			if test.text == "" && err != nil {
				t.Errorf("flush: %v", err)
			}
			if test.text != "" {
				flushFails(t, err, test.text)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
			asked := r.questions()
			if len(asked) != test.asked {
				t.Errorf("asked %d times, want %d", len(asked), test.asked)
			}
			for _, question := range asked {
				if want := (schema.FlushRequest{Producer: p.ID(), Number: p.Stats().Messages}); question != want {
					t.Errorf("asked %+v, want %+v", question, want)
				}
			}
		})
	}
}

func TestFlushOfNothing(t *testing.T) {
	s := testserver.NATS(t)
	s.Stop()
	p := newProducer(t, connect(t, s.URL()), Config{})
	flushNow(t, p)
	closeNow(t, p)
	flushNow(t, p)
}

// Nobody answers at first, as when the consumers are being restarted.
func TestFlushWaitsForAConsumer(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	makeStream(t, nc)
	p := newProducer(t, nc, Config{})
	report(t, p, 0, 5)
	left := flushFails(t, p.Flush(within(t, 500*time.Millisecond)), "what was sent is stored: context deadline exceeded; no consumer answers", context.DeadlineExceeded, nats.ErrNoResponders)
	if left.Events != 0 || left.Pending != 0 {
		t.Errorf("%+v", left)
	}
	done := flushBeside(t, p)
	respond(t, nc, persisted)
	if err := <-done; err != nil {
		t.Errorf("flush: %v", err)
	}
}

func TestFlushGivesUp(t *testing.T) {
	s := testserver.NATS(t)
	nc := connect(t, s.URL())
	makeStream(t, nc)
	respond(t, nc, pending)
	p := newProducer(t, nc, Config{BatchWait: time.Hour})
	report(t, p, 0, 5)
	left := flushFails(t, p.Flush(within(t, time.Second)), "what was sent is stored, about 3 messages are on their way to Katib DB: context deadline exceeded", context.DeadlineExceeded)
	if left.Events != 0 || left.Pending != 3 {
		t.Errorf("%+v", left)
	}
	s.Stop()
	report(t, p, 5, 12)
	left = flushFails(t, p.Flush(within(t, 200*time.Millisecond)), "not everything is persisted: 7 events are not stored: context deadline exceeded; not connected", context.DeadlineExceeded, nats.ErrDisconnected)
	if left.Events != 7 || left.Pending != 0 {
		t.Errorf("%+v", left)
	}
	if n := len(p.flushes.waves); n != 0 {
		t.Errorf("%d waves are left behind", n)
	}
}

// What is reported during a flush goes on its way, and is not waited for.
func TestReportDuringFlush(t *testing.T) {
	s := testserver.NATS(t)
	admin := connect(t, s.URL())
	stream := makeStream(t, admin)
	r := respond(t, admin, persisted)
	proxy := startProxy(t, s.URL())
	p := newProducer(t, connect(t, proxy.url()), Config{BatchWait: time.Hour, BatchEvents: 1000, AckWait: time.Hour})
	report(t, p, 0, 10)
	proxy.set(func() { proxy.deaf = true })
	done := flushBeside(t, p)
	eventually(t, "the batch is in flight", func() bool { return p.Stats().InFlight == 1 })
	report(t, p, 10, 20)
	proxy.set(func() { proxy.deaf = false })
	if err := <-done; err != nil {
		t.Fatalf("flush: %v", err)
	}
	if got := p.Stats(); got.Stored != 10 || got.WaitingEvents != 10 {
		t.Errorf("after the flush of 10: %+v", got)
	}
	if asked := r.questions(); len(asked) != 1 || asked[0].Number != 1 {
		t.Errorf("asked %+v", asked)
	}
	flushNow(t, p)
	closeNow(t, p)
	checkRun(t, stream, p, 20, true)
}

func TestManyFlushes(t *testing.T) {
	const reporters, each = 32, 30
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc)
	respond(t, nc, persisted)
	p := newProducer(t, nc, Config{BatchWait: time.Hour})
	ctx := within(t, patience)
	var wg sync.WaitGroup
	for r := range reporters {
		wg.Go(func() {
			for i := range each {
				if err := p.Report(ctx, event(r*each+i)); err != nil {
					t.Errorf("report: %v", err)
				}
				before := p.Stats().Accepted
				if err := p.Flush(ctx); err != nil {
					t.Errorf("flush: %v", err)
				}
				if stored := p.Stats().Stored; stored < before {
					t.Errorf("flushed, but only %d of %d events are stored", stored, before)
				}
			}
		})
	}
	wg.Wait()
	closeNow(t, p)
	checkRun(t, stream, p, reporters*each, true)
}

// The server goes away and comes back in both parts of a flush.
func TestServerRestartsDuringFlush(t *testing.T) {
	s := testserver.NATS(t)
	makeStream(t, connect(t, s.URL()))
	r := respond(t, connect(t, s.URL()), pending)
	p := newProducer(t, connect(t, s.URL()), Config{BatchWait: time.Hour})
	s.Stop()
	report(t, p, 0, 10)
	done := flushBeside(t, p)
	s.Start()
	eventually(t, "it asks", func() bool { return len(r.questions()) > 0 })
	s.Stop()
	s.Start()
	r.change(persisted)
	if err := <-done; err != nil {
		t.Errorf("flush: %v", err)
	}
}

func TestFlushAndClose(t *testing.T) {
	t.Run("before it", func(t *testing.T) {
		nc := connect(t, testserver.NATS(t).URL())
		stream := makeStream(t, nc)
		r := respond(t, nc, pending)
		p := newProducer(t, nc, Config{BatchWait: time.Hour})
		report(t, p, 0, 5)
		done := flushBeside(t, p)
		eventually(t, "it asks", func() bool { return len(r.questions()) > 0 })
		closeNow(t, p)
		r.change(persisted)
		if err := <-done; err != nil {
			t.Errorf("flush: %v", err)
		}
		checkRun(t, stream, p, 5, true)
	})
	t.Run("after it", func(t *testing.T) {
		nc := connect(t, testserver.NATS(t).URL())
		stream := makeStream(t, nc)
		r := respond(t, nc, persisted)
		p := newProducer(t, nc, Config{BatchWait: time.Hour, BatchEvents: 2})
		report(t, p, 0, 5)
		closeNow(t, p)
		flushNow(t, p)
		last := uint64(len(checkRun(t, stream, p, 5, true)))
		if asked := r.questions(); len(asked) != 1 || asked[0].Number != last {
			t.Errorf("asked %+v, and the last message is %d", asked, last)
		}
		nc.Close()
		flushFails(t, p.Flush(t.Context()), "what was sent is stored: nats: connection closed", nats.ErrConnectionClosed)
	})
	t.Run("that gave up", func(t *testing.T) {
		s := testserver.NATS(t)
		s.Stop()
		p := newProducer(t, connect(t, s.URL()), Config{})
		report(t, p, 0, 5)
		done := flushBeside(t, p)
		eventually(t, "it waits", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.flushes.waves) == 1 })
		if err := p.Close(within(t, 10*time.Millisecond)); err == nil {
			t.Error("close has nothing to say")
		}
		for _, err := range []error{<-done, p.Flush(t.Context())} {
			if left := flushFails(t, err, "5 events are not stored: the producer is closed; context deadline exceeded", ErrClosed); left.Events != 5 {
				t.Errorf("%+v", left)
			}
		}
	})
}

// Events that the stream refused are the error of one flush, and the rest is waited for.
func TestFlushWithRefusals(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	makeStream(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
	r := respond(t, nc, says(schema.FlushAnswer{Status: schema.FlushPersisted, Missing: 1}))
	p := newProducer(t, nc, Config{BatchWait: time.Hour})
	report(t, p, 0, 300) // one message, which is cut in ever smaller ones
	if err := p.Report(t.Context(), event(strings.Repeat("x", 1000))); err != nil {
		t.Fatal(err)
	}
	left := flushFails(t, p.Flush(within(t, patience)), "not everything is persisted: 1 event is too large for the stream", ErrTooLarge)
	if left.Refused != 1 || left.Events != 0 || left.Missing != 0 || left.Cause != nil {
		t.Errorf("%+v", left)
	}
	if got := p.Stats(); got.Stored != 300 || got.WaitingEvents != 0 {
		t.Errorf("%+v", got)
	}
	if asked := r.questions(); len(asked) != 1 || asked[0].Number < p.Stats().Messages {
		t.Errorf("asked %+v, after %d messages", asked, p.Stats().Messages)
	}
	flushNow(t, p)
}

func TestFlushWithAnIDUsedTwice(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	makeStream(t, nc)
	respond(t, nc, persisted)
	cfg := Config{Namespace: "default", Trial: "my-trial", BatchWait: time.Hour}
	first := newProducer(t, nc, cfg)
	second, err := start(nc, cfg, first.ID())
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, second)
	report(t, first, 0, 5)
	flushNow(t, first)
	report(t, second, 100, 105)
	flushFails(t, second.Flush(within(t, patience)), "5 events went under a message id that was used twice", ErrDuplicateID)
	report(t, second, 105, 110)
	flushNow(t, second)
}
