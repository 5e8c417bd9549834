package producer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

func TestServerAwayAtStart(t *testing.T) {
	s := testserver.NATS(t)
	admin := connect(t, s.URL())
	stream := makeStream(t, admin)
	s.Stop()
	var log journal
	nc := connect(t, s.URL())
	p := newProducer(t, nc, Config{Logger: log.logger(), BatchWait: time.Millisecond, BatchBytes: 4096})
	report(t, p, 0, 1000)
	eventually(t, "it says that it is stuck", func() bool { return log.count("delivery is stuck") == 1 })
	if got := p.Stats(); got.WaitingEvents != 1000 || got.InFlight != 0 {
		t.Errorf("while the server is away: %+v", got)
	}
	s.Start()
	eventually(t, "all is stored", func() bool { return p.Stats().Stored == 1000 })
	closeNow(t, p)
	checkRun(t, stream, p, 1000, true)
	if log.count("delivery is stuck") != 1 || log.count("delivery goes again") != 1 {
		t.Errorf("not one line per change of state:\n%s", log.text.String())
	}
}

func TestServerRestarts(t *testing.T) {
	s := testserver.NATS(t)
	stream := makeStream(t, connect(t, s.URL()))
	p := newProducer(t, connect(t, s.URL()), Config{BatchEvents: 5, AckWait: time.Second})
	const events, restarts = 30_000, 3
	const part = events / (2 * restarts)
	for i := range restarts {
		report(t, p, 2*i*part, (2*i+1)*part)
		s.Stop() // whatever is in flight
		report(t, p, (2*i+1)*part, (2*i+2)*part)
		s.Start()
	}
	closeNow(t, p)
	checkRun(t, stream, p, events, false)
	if got := p.Stats(); got.Conflicting != 0 || got.Refused != 0 {
		t.Errorf("%+v", got)
	}
}

func TestStreamMadeLater(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	var log journal
	p := newProducer(t, nc, Config{Logger: log.logger(), BatchEvents: 1})
	report(t, p, 0, 100)
	eventually(t, "it says that there is no stream", func() bool { return log.count("no stream takes the subject") == 1 })
	eventually(t, "it tries again", func() bool { return p.Stats().Retries > 1 })
	stream := makeStream(t, nc)
	closeNow(t, p)
	checkRun(t, stream, p, 100, true)
	if log.count("delivery is stuck") != 1 || log.count("delivery goes again") != 1 {
		t.Errorf("not one line per change of state:\n%s", log.text.String())
	}
}

func TestStreamFull(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	makeStream(t, nc, func(c *jetstream.StreamConfig) { c.MaxBytes = 4096 })
	var log journal
	p := newProducer(t, nc, Config{Logger: log.logger(), BatchEvents: 10})
	report(t, p, 0, 1000)
	eventually(t, "the stream is full", func() bool { return log.count("maximum bytes exceeded") > 0 })
	if got := p.Stats(); got.Stored == 0 || got.Stored+uint64(got.WaitingEvents) != 1000 {
		t.Errorf("when the stream is full: %+v", got)
	}
	stream := makeStream(t, nc)
	closeNow(t, p)
	checkRun(t, stream, p, 1000, false)
}

func TestWrongStream(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	makeStream(t, nc, func(c *jetstream.StreamConfig) { c.Name = "OTHER" })
	var log journal
	p := newProducer(t, nc, Config{Logger: log.logger()})
	report(t, p, 0, 10)
	eventually(t, "it names the stream", func() bool { return log.count(`stream \"OTHER\" takes the subject, not KATIB_METRICS`) == 1 })
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "OTHER"); err != nil {
		t.Fatal(err)
	}
	stream := makeStream(t, nc)
	closeNow(t, p)
	checkRun(t, stream, p, 10, true)
}

// A server that takes nothing makes the connection's writes hang: neither Report nor Close may hang with them.
func TestServerHangs(t *testing.T) {
	s := testserver.NATS(t)
	proxy := startProxy(t, s.URL())
	nc := connect(t, proxy.url(), nats.FlusherTimeout(3*time.Second))
	makeStream(t, nc)
	p := newProducer(t, nc, Config{BatchBytes: 256 << 10, BatchEvents: 1, MaxInFlight: 1000})
	proxy.set(func() { proxy.deaf = true })
	large := event(strings.Repeat("x", 60_000))
	slowest := time.Duration(0)
	for range 800 { // 48 MB: more than sockets hold
		began := time.Now()
		if err := p.Report(t.Context(), large); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(began))
	}
	if slowest > time.Second {
		t.Errorf("a report took %v", slowest)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := p.Close(ctx)
	if took := time.Since(began); took > 100*time.Millisecond+2*grace {
		t.Errorf("close took %v", took)
	}
	var lost *UndeliveredError
	if !errors.As(err, &lost) || lost.Events != 800 {
		t.Errorf("close: %v", err)
	}
	<-p.done // ends with the write, while the server still hangs
}

func TestLostAcknowledgement(t *testing.T) {
	tests := []struct {
		name    string
		ackWait time.Duration
		mend    func(p *proxy)
	}{
		// With the first nothing but the reconnection can tell.
		{"the connection breaks", time.Hour, func(p *proxy) { p.set(func() { p.swallow = false; p.cut() }) }},
		{"the connection stays", 300 * time.Millisecond, func(p *proxy) { p.set(func() { p.swallow = false }) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := testserver.NATS(t)
			stream := makeStream(t, connect(t, s.URL()))
			proxy := startProxy(t, s.URL())
			p := newProducer(t, connect(t, proxy.url()), Config{BatchEvents: 10, BatchWait: time.Hour, AckWait: test.ackWait})
			report(t, p, 0, 10)
			eventually(t, "the first message is stored", func() bool { return p.Stats().Messages == 1 })
			proxy.set(func() { proxy.swallow = true })
			report(t, p, 10, 20)
			eventually(t, "the acknowledgement is lost", proxy.swallowedAny)
			test.mend(proxy)
			eventually(t, "the message is acknowledged", func() bool { return p.Stats().Messages == 2 })
			closeNow(t, p)
			checkRun(t, stream, p, 20, true)
			if got := p.Stats(); got.Retries == 0 || got.Duplicates != 1 || got.Conflicting != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A flush that asks when the connection begins to hang in a write ends with its context all the same.
func TestServerHangsDuringFlush(t *testing.T) {
	s := testserver.NATS(t)
	admin := connect(t, s.URL())
	makeStream(t, admin)
	r := respond(t, admin, func(*nats.Msg) {})
	proxy := startProxy(t, s.URL())
	nc := connect(t, proxy.url(), nats.FlusherTimeout(4*time.Second))
	p := newProducer(t, nc, Config{BatchEvents: 1, MaxInFlight: 1000})
	report(t, p, 0, 1)
	const limit = time.Second
	began, ctx, done := time.Now(), within(t, limit), make(chan error, 1)
	go func() { done <- p.Flush(ctx) }()
	eventually(t, "it asks", func() bool { return len(r.questions()) > 0 })
	proxy.set(func() { proxy.deaf = true })
	large := event(strings.Repeat("x", 60_000))
	for range 400 { // 24 MB: more than sockets hold
		if err := p.Report(t.Context(), large); err != nil {
			t.Fatal(err)
		}
	}
	flushFails(t, <-done, "what was sent is stored", context.DeadlineExceeded)
	if took := time.Since(began); took > limit+2*grace {
		t.Errorf("flush took %v", took)
	}
}
