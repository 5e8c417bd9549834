package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// `publish -` reports the events up to the first line that is none, and says which one that is.
func FuzzPublishLines(f *testing.F) {
	for _, seed := range []string{
		"", "\n\n", `{"metrics":{"loss":1}}`, "{\"metrics\":{\"loss\":1}}\r\n\r\n{\"metrics\":{\"loss\":\"NaN\"}}", "{\"metrics\":{\"loss\":1}}\nno\n{",
		`{"step":-1,"metrics":{"loss":1}}`, "{\"metrics\":{\"a\":1}}\r", "\xff\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var reported []schema.Event
		source := &lines{in: bytes.NewReader(text)}
		err := source.each(t.Context(), func(e schema.Event) error {
			reported = append(reported, e)
			return nil
		})
		good := text
		if err != nil {
			var broken *schema.Error
			all := bytes.SplitAfter(text, []byte("\n"))
			if !errors.As(err, &broken) || broken.Line < 1 || broken.Line > len(all) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("%v does not say which line it is", err)
			}
			good = bytes.Join(all[:broken.Line-1], nil)
			if _, err := schema.DecodeEvents(all[broken.Line-1]); err == nil {
				t.Errorf("line %d of %q is refused: %v", broken.Line, text, broken)
			}
		}
		want, err := schema.DecodeEvents(good)
		if err != nil || !reflect.DeepEqual(reported, want) {
			t.Errorf("reported %+v of %q; a consumer reads %+v, %v", reported, good, want, err)
		}
	})
}

// received is a message that is only printed.
type received struct {
	jetstream.Msg
	subject string
	header  nats.Header
	body    []byte
}

func (m received) Subject() string      { return m.subject }
func (m received) Headers() nats.Header { return m.header }
func (m received) Data() []byte         { return m.body }
func (m received) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Timestamp: time.Unix(1, 0), Sequence: jetstream.SequencePair{Stream: 1}}, nil
}

// Whatever was reported, `tail` prints a line for each entry, and none of them steers the terminal.
func FuzzTail(f *testing.F) {
	for _, seed := range []struct{ subject, final, body string }{
		{"katib.metrics.default.my-trial.me", "", `{"step":1,"metrics":{"loss":0.1,"\u202eevil":"\u001b[2J","a":""}}`},
		{"katib.metrics.default.my-trial.me", "true", ""},
		{"katib.metrics.default.my\x1b[2Jtrial.me", "", "no json \x1b]0;\x07 \xff"},
	} {
		f.Add(seed.subject, seed.final, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, subject, final string, body []byte) {
		entries := entriesOf(received{subject: subject, header: nats.Header{schema.HeaderFinal: {final}}, body: body})
		for _, asJSON := range []bool{false, true} {
			var out bytes.Buffer
			if err := newPrinter(&out, asJSON).all(entries); err != nil {
				t.Fatal(err)
			}
			printed := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if len(printed) != len(entries) {
				t.Errorf("%d entries are %d lines: %q", len(entries), len(printed), out.String())
			}
			for _, line := range printed {
				if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("it prints %q", line)
				}
				if asJSON && !json.Valid([]byte(line)) {
					t.Errorf("it is no JSON: %q", line)
				}
			}
		}
	})
}
