package flushclient

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

const patience = 20 * time.Second

func connect(t testing.TB, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// serve answers the n-th question, from 1 on, as answer does.
func serve(t testing.TB, nc *nats.Conn, answer func(n int64, msg *nats.Msg)) *atomic.Int64 {
	t.Helper()
	var asked atomic.Int64
	if _, err := nc.QueueSubscribe("katib.flush.default.t", "q", func(msg *nats.Msg) { answer(asked.Add(1), msg) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return &asked
}

func say(msg *nats.Msg, text string) { _ = msg.Respond([]byte(text)) }

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// impatient asks about default/t, with short time-outs.
func impatient(nc *nats.Conn, patience time.Duration) asker {
	return asker{nc: nc, subject: "katib.flush.default.t", body: []byte("{}"), patience: patience, timeout: 200 * time.Millisecond}
}

func TestAsk(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	serve(t, nc, func(_ int64, msg *nats.Msg) {
		if string(msg.Data) != `{"producer":"me","number":7}` {
			t.Errorf("asked %s", msg.Data)
		}
		say(msg, `{"status":"persisted","dead_letters":2,"missing":3,"later":"more"}`)
	})
	got, err := Ask(t.Context(), nc, Question{Namespace: "default", Trial: "t", FlushRequest: schema.FlushRequest{Producer: "me", Number: 7}})
	if want := (schema.FlushAnswer{Status: schema.FlushPersisted, DeadLetters: 2, Missing: 3}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// One that hangs is asked again, and its late answer to the first question does no harm.
func TestHangingConsumer(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	var first *nats.Msg
	asked := serve(t, nc, func(n int64, msg *nats.Msg) {
		switch n {
		case 1:
			first = msg
		case 2:
			say(first, `{"status":"pending"}`)
		default:
			say(msg, `{"status":"persisted"}`)
		}
	})
	got, err := impatient(nc, 0).await(within(t, patience))
	if err != nil || got.Status != schema.FlushPersisted || asked.Load() != 3 {
		t.Errorf("%+v, %v after %d questions", got, err, asked.Load())
	}
}

func TestPatience(t *testing.T) {
	tests := []struct {
		name   string
		answer func(n int64, msg *nats.Msg) // nil when nobody listens
		is     error                        // beside ErrUnanswered
		text   string
	}{
		{"nobody listens", nil, nats.ErrNoResponders, "no consumer answers: nats: no responders"},
		{"nobody answers", func(int64, *nats.Msg) {}, nats.ErrTimeout, "no consumer answers within 200ms: nats: timeout"},
		{"nobody answers any more", func(n int64, msg *nats.Msg) {
			if n == 1 {
				say(msg, `{"status":"pending","pending":5}`)
			}
		}, nats.ErrTimeout, "no consumer answers within 200ms"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nc := connect(t, testserver.NATS(t).URL())
			if test.answer != nil {
				serve(t, nc, test.answer)
			}
			began := time.Now()
			last, err := impatient(nc, 500*time.Millisecond).await(within(t, patience))
			if !errors.Is(err, ErrUnanswered) || !errors.Is(err, test.is) || !strings.HasPrefix(err.Error(), test.text) {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took < 500*time.Millisecond || took > patience/4 {
				t.Errorf("it gave up after %v", took)
			}
			if want := strings.HasSuffix(test.name, "any more"); (last.Pending == 5) != want {
				t.Errorf("the last answer is %+v", last)
			}
		})
	}
}

// A service that says pending at once, as one that stops, is not asked without a pause.
func TestHastyPending(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	asked := serve(t, nc, func(_ int64, msg *nats.Msg) { say(msg, `{"status":"pending","pending":4}`) })
	last, err := impatient(nc, time.Millisecond).await(within(t, 2*time.Second))
	if !errors.Is(err, context.DeadlineExceeded) || last.Pending != 4 || asked.Load() > 10 {
		t.Errorf("%+v, %v after %d questions", last, err, asked.Load())
	}
}

// The question goes again as soon as the connection is back, not when the answer is overdue.
func TestReconnection(t *testing.T) {
	s := testserver.NATS(t)
	arrived := make(chan struct{}, 1)
	serve(t, connect(t, s.URL()), func(n int64, msg *nats.Msg) {
		if n > 1 {
			say(msg, `{"status":"persisted"}`)
			return
		}
		arrived <- struct{}{}
	})
	a := impatient(connect(t, s.URL()), 0)
	a.timeout = time.Hour
	done := make(chan error, 1)
	ctx := within(t, patience)
	go func() {
		_, err := a.await(ctx)
		done <- err
	}()
	<-arrived
	s.Stop()
	s.Start()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDenied(t *testing.T) {
	tests := map[string]struct {
		deny server.Permissions
		want string
	}{
		"to ask":  {server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"katib.flush.>"}}}, "not permitted to publish to katib.flush.default.t"},
		"to hear": {server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}}, "not permitted to receive the answer on _INBOX."},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := testserver.NATSWith(t, testserver.NATSOptions{Users: []*server.User{{Username: "all", Password: "a"}, {Username: "me", Password: "m", Permissions: &tt.deny}}})
			serve(t, connect(t, s.URL(), nats.UserInfo("all", "a")), func(int64, *nats.Msg) {})
			nc := connect(t, s.URL(), nats.UserInfo("me", "m"))
			for range 2 {
				_, err := Ask(within(t, patience), nc, Question{Namespace: "default", Trial: "t"})
				var denied *DeniedError
				if !errors.As(err, &denied) || !strings.HasPrefix(err.Error(), tt.want) || !errors.Is(err, nats.ErrPermissionViolation) {
					t.Errorf("%v", err)
				}
			}
			// An error that the connection still remembers says nothing of a later question.
			a := impatient(nc, 0)
			if err := a.broken(a.look(), "_INBOX."); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestClosedConnection(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	serve(t, nc, func(int64, *nats.Msg) { go nc.Close() })
	for range 2 { // while it waits, and before
		if _, err := impatient(nc, 0).await(within(t, patience)); !errors.Is(err, nats.ErrConnectionClosed) {
			t.Errorf("%v", err)
		}
	}
}
