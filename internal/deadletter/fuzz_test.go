package deadletter

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/schema"
)

// FuzzMessage demands that what is requeued decodes, keeps what it says, has its times, and is the same each time.
func FuzzMessage(f *testing.F) {
	f.Add("katib.metrics.default.t.me", "Orig-Msg-Id", "me:1", []byte(`{"metrics":{"a":1}}`), "", "")
	f.Add("katib.metrics.A.t.me", "X", "y", []byte(`{"metrics":{"a":1},"time":"2026-11-24T12:00:00Z","other":1}`), "default", "t")
	f.Add("", "Orig-Status", "404", []byte(nil), "_", "t.u")
	f.Fuzz(func(t *testing.T, subject, name, value string, body []byte, namespace, trial string) {
		stored := time.Date(2026, 11, 25, 12, 0, 0, 123456789, time.UTC)
		header := nats.Header{
			name: {value}, schema.HeaderDeadLetterOf: {"epoch:7"}, schema.HeaderSubject: {subject}, schema.HeaderTime: {stored.Format(time.RFC3339Nano)},
		}
		change := Change{Namespace: namespace, Trial: trial}
		l := parse("katib.deadletters.x", header, body, 3, time.Now())
		msg, err := l.Message(change)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("it is refused without a reason")
			}
			return
		}
		got, err := schema.Decode(schema.Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Epoch: "other", Sequence: 9, Time: time.Now()})
		if err != nil || !got.Identity.Numbered() || got.Identity.Number != 1 || !got.Final {
			t.Fatalf("what is requeued is %+v, %v", got, err)
		}
		events, err := schema.DecodeEvents(body)
		if err != nil || len(events) != len(got.Events) {
			t.Fatalf("%d events of %d, %v", len(got.Events), len(events), err)
		}
		for i, e := range events {
			if e.Time.IsZero() {
				e.Time = stored
			}
			if !got.Events[i].Time.Equal(e.Time) || len(got.Events[i].Metrics) != len(e.Metrics) || got.Events[i].Metrics[0] != e.Metrics[0] {
				t.Fatalf("event %d is %+v; want %+v", i, got.Events[i], e)
			}
		}
		again, err := l.Message(change)
		if err != nil || again.Subject != msg.Subject || again.Header.Get(schema.HeaderMsgID) != msg.Header.Get(schema.HeaderMsgID) {
			t.Fatalf("the second time it is %v, %v", again, err)
		}
	})
}
