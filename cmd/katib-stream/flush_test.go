package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// answerFlush stands for the consumers' flush service: it answers about default/t.
func answerFlush(t testing.TB, url string, answer func(*nats.Msg)) {
	t.Helper()
	nc := connect(t, url).Conn()
	if _, err := nc.Subscribe("katib.flush.default.t", answer); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func saying(text string) func(*nats.Msg) {
	return func(msg *nats.Msg) { _ = msg.Respond([]byte(text)) }
}

func TestFlush(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ answer, text string }{
		"persisted":    {`{"status":"persisted"}`, "persisted: everything of trial t\n"},
		"dead letters": {`{"status":"persisted","dead_letters":1}`, "persisted: everything of trial t; 1 message became a dead letter\n"},
		"missing":      {`{"status":"persisted","dead_letters":2,"missing":3}`, "persisted: everything of trial t; 2 messages became dead letters; 3 messages are missing, for they never reached the stream\n"},
		"deleted":      {`{"status":"deleted"}`, "deleted: trial t, and what was reported of it\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testserver.NATS(t).URL()
			answerFlush(t, url, func(msg *nats.Msg) {
				if string(msg.Data) != "{}" {
					t.Errorf("it asked %s", msg.Data)
				}
				saying(tt.answer)(msg)
			})
			if got := katibStream(t, "flush", "t", "--server", url); got.status != statusOK || got.stdout != tt.text || got.stderr != "" {
				t.Errorf("want %q, got %v", tt.text, got)
			}
			got := katibStream(t, "flush", "t", "--server", url, "-o", "json")
			want, printed := map[string]any{"namespace": "default", "trial": "t", "dead_letters": 0.0, "missing": 0.0}, map[string]any{}
			if err := json.Unmarshal([]byte(tt.answer), &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(got.stdout), &printed); err != nil || got.status != statusOK {
				t.Fatalf("%v: %v", err, got)
			}
			for key, value := range want {
				if printed[key] != value {
					t.Errorf("%s is %v in %s", key, printed[key], got.stdout)
				}
			}
		})
	}
}

func TestFlushWaits(t *testing.T) {
	t.Parallel()
	url := testserver.NATS(t).URL()
	began := time.Now()
	answerFlush(t, url, func(msg *nats.Msg) {
		if time.Since(began) < time.Second {
			saying(`{"status":"pending","pending":2}`)(msg)
			return
		}
		saying(`{"status":"persisted"}`)(msg)
	})
	if got := katibStream(t, "flush", "t", "--server", url); got.status != statusOK {
		t.Error(got)
	}
}

func TestFlushSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	urlOf := withUsers(t, map[string]*server.Permissions{
		"reader": {Publish: &server.SubjectPermission{Deny: []string{"katib.flush.>"}}},
	})
	failing := func(msg *nats.Msg) {
		_ = msg.RespondMsg(&nats.Msg{Header: nats.Header{"Nats-Service-Error": {"the database is away"}, "Nats-Service-Error-Code": {"503"}}})
	}
	tests := map[string]struct {
		server string
		answer func(*nats.Msg)
		says   string
	}{
		"nobody listens":  {"me:" + secret + "@" + freeAddress(t), nil, "cannot reach NATS at nats://***@127.0.0.1:"},
		"no consumer":     {testserver.NATS(t).URL(), nil, "trial t is not known to be persisted: no consumer answers; is one running"},
		"no permission":   {urlOf("reader"), nil, "does not let this user publish to katib.flush.default.t"},
		"it takes longer": {testserver.NATS(t).URL(), saying(`{"status":"pending","pending":12}`), "gave up after 2s; about 12 messages are on the way to the database; `katib-stream status t` shows more"},
		"one is left":     {testserver.NATS(t).URL(), saying(`{"status":"pending","pending":1}`), "gave up after 2s; about 1 message is on the way to the database"},
		"it errs":         {testserver.NATS(t).URL(), failing, "gave up after 2s; the consumer answers with error 503: the database is away"},
		"it says nothing": {testserver.NATS(t).URL(), func(*nats.Msg) {}, "gave up after 2s; no consumer has said yet how much is on the way"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.answer != nil {
				answerFlush(t, tt.server, tt.answer)
			}
			got := katibStream(t, "flush", "t", "--server", tt.server, "--timeout", "1s", "--wait", "2s")
			failsWith(t, got, statusError, "katib-stream: flush: ", tt.says)
		})
	}
}

func TestFlushIsInterrupted(t *testing.T) {
	t.Parallel()
	url := testserver.NATS(t).URL()
	answerFlush(t, url, saying(`{"status":"pending","pending":12}`))
	r := start(t, nil, "flush", "t", "--server", url)
	time.AfterFunc(time.Second, r.stop)
	got := result{r.wait(), r.stdout.String(), r.stderr.String()}
	failsWith(t, got, statusError, "interrupted; about 12 messages are on the way")
}

func TestFlushRefusesBeforeItConnects(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"flush":                 "flush: no trial is given",
		"flush a b":             `it takes one trial, but was given "b" as well`,
		"flush A":               `the trial name "A" is no Kubernetes name`,
		"flush a --namespace A": `the namespace "A" is no Kubernetes name`,
		"flush a --wait 0s":     "--wait is 0s, not above 0",
		"flush a --timeout 0s":  "--timeout is 0s, not above 0",
		"status":                "status: no trial is given",
		"status A":              `the trial name "A" is no Kubernetes name`,
		"status a --db x":       "the database URL has no scheme",
	} {
		failsWith(t, katibStream(t, strings.Fields(args)...), statusUsage, says)
	}
}

// TestFlushByAConsumer waits for a real one: what was stored before is in the database when it says so.
func TestFlushByAConsumer(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	db := "sqlite:" + filepath.Join(t.TempDir(), "katib.db")
	putMany(t, js, "t", 500)
	consume(t, nil, "--server", ns.URL(), "--db", db)
	if got := katibStream(t, "flush", "t", "--server", ns.URL(), "--timeout", "30s"); got.status != statusOK || got.stdout != "persisted: everything of trial t\n" {
		t.Fatal(got)
	}
	if rows := query(t, db, "SELECT COUNT(*) FROM observation_logs"); len(rows) != 1 || rows[0] != "500" {
		t.Errorf("the database has %v rows", rows)
	}
	p, err := producer.New(js.Conn(), producer.Config{Namespace: "default", Trial: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(t.Context()) }()
	for range 3 {
		if err := p.Report(t.Context(), schema.Event{Metrics: []schema.Metric{schema.Number("loss", 0.5)}}); err != nil {
			t.Fatal(err)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if rows := query(t, db, "SELECT COUNT(*) FROM observation_logs WHERE metric_name = 'loss'"); rows[0] != "3" {
		t.Errorf("the database has %v of 3 events that were flushed", rows)
	}
}
