package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

type eventsRow struct {
	row
	Body   text        `json:"body"`
	Events []wireEvent `json:"events"`
	// BeyondSchema says why event.schema.json cannot refuse this bad body.
	BeyondSchema string `json:"beyond_schema"`
}

func TestDecodeEvents(t *testing.T) {
	for _, v := range load[eventsRow](t, "events.json") {
		t.Run(v.Name, func(t *testing.T) {
			events, err := DecodeEvents([]byte(v.Body))
			if v.check(t, err) {
				checkEvents(t, events, v.Events)
			}
		})
	}
}

type messageRow struct {
	row
	Subject  string              `json:"subject"`
	Headers  map[string][]string `json:"headers"`
	Body     text                `json:"body"`
	Epoch    string              `json:"epoch"`
	Sequence uint64              `json:"sequence"`
	Time     time.Time           `json:"time"`
	Identity wireIdentity        `json:"identity"`
	To       wireSubject         `json:"to"`
	Final    bool                `json:"final"`
	Events   []wireEvent         `json:"events"`
}

func (v messageRow) stored() Stored {
	return Stored{Subject: v.Subject, Header: v.Headers, Body: []byte(v.Body), Epoch: v.Epoch, Sequence: v.Sequence, Time: v.Time}
}

func TestDecode(t *testing.T) {
	for _, v := range load[messageRow](t, "messages.json") {
		t.Run(v.Name, func(t *testing.T) {
			got, err := Decode(v.stored())
			good := v.check(t, err)
			checkIdentity(t, got.Identity, v.Identity)
			if want := v.To.subject(); got.Subject != want {
				t.Errorf("the subject is read as %+v; want %+v", got.Subject, want)
			}
			if !good {
				return
			}
			if got.Final != v.Final {
				t.Errorf("final is %t; want %t", got.Final, v.Final)
			}
			checkEvents(t, got.Events, v.Events)
		})
	}
}

// TestDecodeNesting is no vector: how deep a decoder goes is its own affair, but it must neither overflow nor panic.
func TestDecodeNesting(t *testing.T) {
	body := func(depth int) []byte {
		return []byte(`{"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `,"metrics":{"loss":1}}`)
	}
	if _, err := DecodeEvents(body(5_000)); err != nil {
		t.Errorf("5,000 arrays in an unknown field: %v", err)
	}
	var broken *Error
	if _, err := DecodeEvents(body(500_000)); !errors.As(err, &broken) || broken.Code != CodeJSON {
		t.Errorf("500,000 arrays in an unknown field: %v; want rule %q", err, CodeJSON)
	}
}

// TestDecodeManyMetrics holds the search for duplicates to linear time, which takes a second here; to look through all
// metrics for each of them takes minutes.
func TestDecodeManyMetrics(t *testing.T) {
	const count = 500_000
	e := Event{}
	for i := range count {
		e.Metrics = append(e.Metrics, Number(fmt.Sprintf("metric-%06d", i), 1))
	}
	start := time.Now()
	events, err := DecodeEvents(AppendEvent(nil, e))
	if err != nil || len(events) != 1 || len(events[0].Metrics) != count {
		t.Fatalf("%d events, error %v", len(events), err)
	}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("%d metrics took %v", count, took)
	}
}
