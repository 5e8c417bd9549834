package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func TestRefusedEvents(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc)
	p := newProducer(t, nc, Config{})
	large := func(bytes int) schema.Event {
		var e schema.Event
		for i := 0; bytes > 0; i++ {
			n := min(bytes, 60_000)
			e.Metrics = append(e.Metrics, schema.Metric{Name: fmt.Sprint(i), Value: strings.Repeat("x", n)})
			bytes -= n
		}
		return e
	}
	var broken *schema.Error
	if err := p.Report(t.Context(), schema.Event{}); !errors.As(err, &broken) || broken.Code != schema.CodeMetrics {
		t.Errorf("an event without metrics: %v", err)
	}
	if err := p.Report(t.Context(), large(1_032_192)); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "1032064") {
		t.Errorf("an event that no message carries: %v", err)
	}
	if err := p.Report(t.Context(), large(1_030_000)); err != nil {
		t.Errorf("an event that a message just carries: %v", err)
	}
	closeNow(t, p)
	if err := p.Report(t.Context(), event(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if got := p.Stats(); got.Accepted != 1 || eventCount(readStream(t, stream)) != 1 {
		t.Errorf("refused events were accepted: %+v", got)
	}
}

func TestIDUsedTwice(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc)
	var log journal
	cfg := Config{Namespace: "default", Trial: "my-trial", BatchEvents: 5, BatchWait: time.Hour, Logger: log.logger()}
	first, err := start(nc, cfg, "0193d5a1b2c37d4e8f00112233445566")
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, first)
	second, err := start(nc, cfg, first.ID())
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, second)
	// Each sends its events before it closes, so that both mark the run's end with a message of its own.
	report(t, first, 0, 5)
	eventually(t, "the first is stored", func() bool { return first.Stats().Stored == 5 })
	closeNow(t, first)
	report(t, second, 100, 105)
	eventually(t, "the second is in conflict", func() bool { return second.Stats().Conflicting == 5 })
	err = second.Close(t.Context())
	var lost *UndeliveredError
	if !errors.As(err, &lost) || lost.Events != 5 || lost.Conflicting != 5 || !errors.Is(err, ErrDuplicateID) {
		t.Errorf("close: %v", err)
	}
	if got := second.Stats(); got.Conflicting != 5 || got.Stored != 0 || got.Duplicates != 0 {
		t.Errorf("%+v", got)
	}
	if log.count("used twice") == 0 {
		t.Error("the log does not say it")
	}
	checkRun(t, stream, first, 5, true)
}

func TestStreamTakesOnlySmallMessages(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
	var log journal
	p := newProducer(t, nc, Config{BatchWait: time.Hour, Logger: log.logger()})
	report(t, p, 0, 500)
	if err := p.Report(t.Context(), event(strings.Repeat("x", 1000))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := p.Close(ctx)
	var lost *UndeliveredError
	if !errors.As(err, &lost) || lost.Events != 1 || lost.Refused != 1 || !errors.Is(err, ErrTooLarge) || lost.Cause != nil {
		t.Errorf("close: %v", err)
	}
	if log.count("too large") != 1 {
		t.Error("the log does not say it once")
	}
	messages := readStream(t, stream)
	if got := eventCount(messages); got != 500 || !messages[len(messages)-1].Final {
		t.Errorf("%d events stored, final %v", got, messages[len(messages)-1].Final)
	}
}

func TestDenied(t *testing.T) {
	tests := []struct {
		name        string
		permissions server.Permissions
		want        string
	}{
		{"publish", server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"katib.metrics.>"}}}, "not permitted to publish to katib.metrics.default.my-trial."},
		{"subscribe", server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}}, "not permitted to receive acknowledgements on _INBOX."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := testserver.NATSWith(t, testserver.NATSOptions{Users: []*server.User{{Username: "admin", Password: "a"}, {Username: "pod", Password: "p", Permissions: &test.permissions}}})
			makeStream(t, connect(t, s.URL(), nats.UserInfo("admin", "a")))
			var log journal
			p := newProducer(t, connect(t, s.URL(), nats.UserInfo("pod", "p")), Config{Logger: log.logger()})
			report(t, p, 0, 7)
			eventually(t, "it says what is not permitted", func() bool { return log.count(test.want) > 0 })
			eventually(t, "it tries again", func() bool { return p.Stats().Retries > 0 })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			err := p.Close(ctx)
			var lost *UndeliveredError
			if !errors.As(err, &lost) || lost.Events != 7 || !errors.Is(err, ErrNotPermitted) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("close: %v", err)
			}
			if log.count(test.want) != 1 {
				t.Errorf("not said once:\n%s", log.text.String())
			}
		})
	}
}

// What the documentation says a pod's user needs is enough.
func TestMinimumRights(t *testing.T) {
	permissions := server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"katib.metrics.default.>", "katib.flush.default.my-trial"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"pod-7.>"}},
	}
	s := testserver.NATSWith(t, testserver.NATSOptions{Users: []*server.User{{Username: "admin", Password: "a"}, {Username: "pod", Password: "p", Permissions: &permissions}}})
	admin := connect(t, s.URL(), nats.UserInfo("admin", "a"))
	stream := makeStream(t, admin)
	respond(t, admin, persisted)
	p := newProducer(t, connect(t, s.URL(), nats.UserInfo("pod", "p"), nats.CustomInboxPrefix("pod-7")), Config{})
	report(t, p, 0, 10)
	flushNow(t, p)
	closeNow(t, p)
	checkRun(t, stream, p, 10, true)
}

// A flush that the server does not permit says so promptly, whatever its context allows.
func TestFlushDenied(t *testing.T) {
	tests := []struct {
		name   string
		deny   server.Permissions
		want   string
		events int // not stored
	}{
		{"publish", server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"katib.metrics.>"}}}, "7 events are not stored: not permitted to publish to katib.metrics.default.my-trial.", 7},
		{"subscribe", server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}}, "7 events are not stored: not permitted to receive acknowledgements on _INBOX.", 7},
		{"ask", server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"katib.flush.>"}}}, "what was sent is stored: not permitted to publish to katib.flush.default.my-trial", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := testserver.NATSWith(t, testserver.NATSOptions{Users: []*server.User{{Username: "admin", Password: "a"}, {Username: "pod", Password: "p", Permissions: &test.deny}}})
			admin := connect(t, s.URL(), nats.UserInfo("admin", "a"))
			makeStream(t, admin)
			respond(t, admin, persisted)
			p := newProducer(t, connect(t, s.URL(), nats.UserInfo("pod", "p")), Config{})
			report(t, p, 0, 7)
			began := time.Now()
			for range 2 { // the second begins when it is known
				if left := flushFails(t, p.Flush(within(t, patience)), test.want, ErrNotPermitted, nats.ErrPermissionViolation); left.Events != test.events {
					t.Errorf("%+v", left)
				}
			}
			if took := time.Since(began); took > patience/4 {
				t.Errorf("it took %v to say so", took)
			}
		})
	}
}
