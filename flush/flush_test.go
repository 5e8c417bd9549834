package flush

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func TestMain(m *testing.M) { os.Exit(testserver.Run(m)) }

const patience = 20 * time.Second

// run runs something until the returned function is called, or the test ends.
func run(t *testing.T, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// serve runs the service over a server and a database, without a consumer.
func serve(t *testing.T) (js jetstream.JetStream, db *katibdb.DB, stop func()) {
	t.Helper()
	nc, err := nats.Connect(testserver.NATS(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	cfg, err := katibdb.ParseURL("sqlite:" + filepath.Join(t.TempDir(), "katib.db"))
	if err != nil {
		t.Fatal(err)
	}
	if db, err = katibdb.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.EnsureStreams(t.Context(), js, consumer.StreamConfig{MaxBytes: 64 << 20, DeadLetterMaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	b := barrier.New(js, db)
	run(t, b.Run)
	return js, db, run(t, func(ctx context.Context) error { return Serve(ctx, nc, b, Config{}) })
}

// ask waits for somebody who answers, and gives the answer, or the error's code and text.
func ask(t *testing.T, nc *nats.Conn, subject, question string) (answer schema.FlushAnswer, code, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		reply, err := nc.RequestWithContext(ctx, subject, []byte(question))
		if err == nats.ErrNoResponders {
			continue // it is being set up
		}
		if err != nil {
			t.Fatal(err)
		}
		if code := reply.Header.Get("Nats-Service-Error-Code"); code != "" {
			return answer, code, reply.Header.Get("Nats-Service-Error")
		}
		if err := json.Unmarshal(reply.Data, &answer); err != nil {
			t.Fatalf("%q: %v", reply.Data, err)
		}
		return answer, "", ""
	}
}

func TestAnswers(t *testing.T) {
	js, db, _ := serve(t)
	nc := js.Conn()
	subject := schema.FlushSubject("default", "t")
	msg := nats.NewMsg("katib.metrics.default.t.p")
	msg.Header.Set(schema.HeaderMsgID, "p:1")
	msg.Data = []byte(`{"metrics":{"loss":1}}`)
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	expect := func(question string, want schema.FlushAnswer) {
		t.Helper()
		if got, code, text := ask(t, nc, subject, question); got != want || code != "" {
			t.Errorf("%s: %+v, %s %s; want %+v", question, got, code, text, want)
		}
	}
	expect(`{"producer":"p","number":1}`, schema.FlushAnswer{Status: schema.FlushPending, Pending: 1})
	expect(`{}`, schema.FlushAnswer{Status: schema.FlushPending, Pending: 1})
	expect(`{"producer":"p","number":2}`, schema.FlushAnswer{Status: schema.FlushPending, Pending: 1})
	c, err := consumer.New(js, db, consumer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, c.Run)
	persisted := schema.FlushAnswer{Status: schema.FlushPersisted}
	expect(`{"producer":"p","number":1}`, persisted)
	expect(`{}`, persisted)
	expect(``, persisted)
	expect(`{"producer":"p","number":2}`, schema.FlushAnswer{Status: schema.FlushMissing, Missing: 1})
}

func TestBadQuestions(t *testing.T) {
	js, _, _ := serve(t)
	good := schema.FlushSubject("default", "t")
	tests := map[string]struct{ subject, question, says string }{
		"no JSON":                {good, `{`, "the question is not JSON"},
		"another type":           {good, `[]`, "the question is not JSON"},
		"no number":              {good, `{"producer":"p"}`, "belong together"},
		"no producer":            {good, `{"number":1}`, "belong together"},
		"a number too large":     {good, `{"producer":"p","number":9223372036854775808}`, "belong together"},
		"a negative number":      {good, `{"producer":"p","number":-1}`, "the question is not JSON"},
		"a producer with spaces": {good, `{"producer":"p q","number":1}`, "producer id"},
		"a bad trial":            {"katib.flush.default.UPPER", `{}`, "trial name"},
		"a bad namespace":        {"katib.flush.UPPER.t", `{}`, "namespace"},
		"a bad token":            {"katib.flush.default.%41", `{}`, "subject token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, code, text := ask(t, js.Conn(), tt.subject, tt.question); code != codeBad || !strings.Contains(text, tt.says) {
				t.Errorf("%s %q; want %s %q", code, text, codeBad, tt.says)
			}
		})
	}
}

func TestStreamAway(t *testing.T) {
	js, _, _ := serve(t)
	if err := js.DeleteStream(t.Context(), schema.Stream); err != nil {
		t.Fatal(err)
	}
	if _, code, text := ask(t, js.Conn(), schema.FlushSubject("default", "t"), `{}`); code != codeUnavailable {
		t.Errorf("%s %q; want %s", code, text, codeUnavailable)
	}
}

// A stop answers who waits: they ask another replica.
func TestStopAnswers(t *testing.T) {
	js, _, stop := serve(t)
	if _, err := js.Publish(t.Context(), "katib.metrics.default.t.hand", []byte(`{"metrics":{"loss":1}}`)); err != nil {
		t.Fatal(err)
	}
	inbox, err := js.Conn().SubscribeSync(js.Conn().NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	subject := schema.FlushSubject("default", "t")
	ask(t, js.Conn(), schema.FlushSubject("default", "never"), `{}`) // it answers now
	if err := js.Conn().PublishRequest(subject, inbox.Subject, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := inbox.NextMsg(300 * time.Millisecond); err != nats.ErrTimeout {
		t.Fatalf("an answer already: %v", err)
	}
	begin := time.Now()
	stop()
	reply, err := inbox.NextMsg(patience)
	if err != nil || !strings.Contains(string(reply.Data), string(schema.FlushPending)) || time.Since(begin) > answerWithin {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// `nats micro ls` lists it.
func TestDiscoverable(t *testing.T) {
	js, _, _ := serve(t)
	nc := js.Conn()
	ask(t, nc, schema.FlushSubject("default", "never"), `{}`)
	reply, err := nc.Request("$SRV.INFO.katib-flush", nil, patience)
	if err != nil || !strings.Contains(string(reply.Data), `"subject":"katib.flush.*.*"`) {
		t.Errorf("%v: %s", err, reply.Data)
	}
}
