package schema

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// seedLimit keeps the vectors of 64 KiB out of the seeds: mutating those finds little and takes long.
const seedLimit = 2 << 10

func FuzzDecodeEvents(f *testing.F) {
	for _, v := range load[eventsRow](f, "events.json") {
		if len(v.Body) <= seedLimit {
			f.Add([]byte(v.Body))
		}
	}
	for _, v := range load[encodedRow](f, "encoded.json") {
		if len(v.Line) <= seedLimit {
			f.Add([]byte(v.Line))
		}
	}
	rules, schema := codesOf(f), eventSchema(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := DecodeEvents(body)
		broken := checkRule(t, err, rules)
		checkLines(t, string(body), len(events), broken)
		if err != nil {
			return
		}
		checkRoundTrip(t, events)
		if err := conforms(schema, string(body)); err != nil {
			t.Fatalf("event.schema.json refuses what is accepted: %v", err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, v := range load[messageRow](f, "messages.json") {
		m := v.stored()
		f.Add(m.Subject, first(m.Header, HeaderMsgID), first(m.Header, HeaderFinal), m.Body, m.Epoch, m.Sequence, m.Time.UnixNano())
	}
	for _, v := range load[eventsRow](f, "events.json") {
		if len(v.Body) <= seedLimit {
			f.Add("katib.metrics.default.my-trial.me", "me:1", "", []byte(v.Body), "epoch", uint64(1), int64(1))
		}
	}
	rules := codesOf(f)
	f.Fuzz(func(t *testing.T, subject, msgID, final string, body []byte, epoch string, sequence uint64, nanos int64) {
		m := Stored{
			Subject: subject, Body: body, Epoch: epoch, Sequence: sequence, Time: time.Unix(0, nanos).UTC(),
			Header: map[string][]string{HeaderMsgID: {msgID}, HeaderFinal: {final}},
		}
		decoded, err := Decode(m)
		checkRule(t, err, rules)
		checkIdentified(t, decoded, msgID)
		if err != nil {
			return
		}
		if err := decoded.Subject.Validate(); err != nil || decoded.Subject.String() != subject {
			t.Errorf("the subject %q is read as %+v, error %v", subject, decoded.Subject, err)
		}
		if len(decoded.Events) == 0 && !decoded.Final {
			t.Error("a message without events is accepted although it is not final")
		}
		for _, e := range decoded.Events {
			if e.Time.IsZero() {
				t.Errorf("an event has no time, although the stream's is %v", m.Time)
			}
		}
		checkRoundTrip(t, decoded.Events)
	})
}

func codesOf(f *testing.F) map[Code]bool {
	rules := map[Code]bool{}
	for _, name := range constants(f, "errors.go", "Code") {
		rules[Code(name)] = true
	}
	return rules
}

// checkRule holds every refusal to an *Error with a rule of the contract.
func checkRule(t *testing.T, err error, rules map[Code]bool) *Error {
	t.Helper()
	var broken *Error
	if err != nil && (!errors.As(err, &broken) || !rules[broken.Code]) {
		t.Fatalf("%v (%T) names no rule", err, err)
	}
	if err != nil && (len(err.Error()) > 512 || strings.ContainsFunc(err.Error(), unicode.IsControl)) {
		t.Fatalf("the reason is not a line: %q", err)
	}
	return broken
}

// checkLines compares the refusal, or its absence, with what encoding/json says about each line.
func checkLines(t *testing.T, body string, events int, broken *Error) {
	t.Helper()
	full := 0
	for i, line := range strings.Split(body, "\n") {
		if strings.Trim(line, " \t\r") == "" {
			continue
		}
		full++
		var object map[string]json.RawMessage
		isObject := json.Unmarshal([]byte(line), &object) == nil && object != nil && utf8.ValidString(line)
		refused := broken != nil && i+1 == broken.Line
		notJSON := refused && (broken.Code == CodeJSON || (broken.Code == CodeUTF8 && !utf8.ValidString(line)))
		if isObject == notJSON {
			t.Fatalf("encoding/json finds that %q is an object: %t; but the decoder says %v", line, isObject, broken)
		}
		if refused {
			return
		}
	}
	if broken != nil {
		t.Fatalf("%v: there is no such line, or it is blank", broken)
	}
	if full != events {
		t.Fatalf("%d lines give %d events", full, events)
	}
}

// checkRoundTrip writes what was read and reads it again.
func checkRoundTrip(t *testing.T, events []Event) {
	t.Helper()
	var body []byte
	for _, e := range events {
		if err := e.Validate(); err != nil {
			t.Fatalf("decoded, but not valid: %v", err)
		}
		body = append(AppendEvent(body, e), '\n')
	}
	again, err := DecodeEvents(body)
	if err != nil || !reflect.DeepEqual(again, events) {
		t.Fatalf("written as %q it is read as\n  %+v, error %v; it was\n  %+v", body, again, err, events)
	}
	checkValues(t, body, events)
}

// checkValues compares names and values with what encoding/json reads. AppendEvent writes a value that is a number as one,
// and any number stands as it is written.
func checkValues(t *testing.T, body []byte, events []Event) {
	t.Helper()
	lines := json.NewDecoder(strings.NewReader(string(body)))
	for _, e := range events {
		var line struct {
			Metrics map[string]any `json:"metrics"`
		}
		lines.UseNumber()
		if err := lines.Decode(&line); err != nil || len(line.Metrics) != len(e.Metrics) {
			t.Fatalf("encoding/json reads %d metrics, error %v; there are %d", len(line.Metrics), err, len(e.Metrics))
		}
		for _, m := range e.Metrics {
			got, isString := line.Metrics[m.Name].(string)
			if number, ok := line.Metrics[m.Name].(json.Number); ok {
				got, isString = number.String(), true
			}
			if !isString || got != m.Value {
				t.Fatalf("encoding/json reads %q as %v; it is %q", m.Name, line.Metrics[m.Name], m.Value)
			}
		}
	}
}

// checkIdentified holds a message's identity to what the database's keys rely on.
func checkIdentified(t *testing.T, m Message, msgID string) {
	t.Helper()
	if !m.Identity.Numbered() {
		const opaque = len("*") + 32 // which the columns hold
		if m.Subject.Producer != "" && msgID != "" && len(m.Identity.Source) != opaque {
			t.Errorf("%q is identified by %+v", msgID, m.Identity)
		}
		return
	}
	if m.Identity.Source != m.Subject.Producer || m.Identity.Number < 1 || m.Identity.Number > MaxNumber {
		t.Errorf("%+v is numbered by %q", m.Identity, m.Subject.Producer)
	}
	if again := MessageID(m.Identity.Source, m.Identity.Number); again != msgID {
		t.Errorf("%q is the number of %q", msgID, again)
	}
}
