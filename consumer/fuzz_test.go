package consumer

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/schema"
)

// FuzzDeadLetter demands that a dead letter can be published whatever it is of: its subject and headers are such, JetStream
// acts on none of the original's, and it is not larger than the original by more than what is kept free for it.
func FuzzDeadLetter(f *testing.F) {
	f.Add("katib.metrics.default.my-trial.me", "Nats-Msg-Id", "me:1", []byte("no JSON"), "reason")
	f.Add("katib.metrics.*.>.", "nats-rollup", "all", []byte(nil), "a\nreason\xff")
	f.Add("katib.metrics."+strings.Repeat("x", 2_000), "Status", "404", []byte{0}, strings.Repeat("é", 2_000))
	f.Fuzz(func(t *testing.T, subject, name, value string, body []byte, reason string) {
		original := nats.Header{name: {value}}
		it := &item{stored: schema.Stored{Subject: subject, Header: original, Body: body, Epoch: "0193a1c2-0000-7000-8000-000000000001", Sequence: 1<<63 - 1, Time: time.Now()}}
		it.refuse(schema.StageDecode, errors.New(reason))
		letter := deadLetter(it)
		for token := range strings.SplitSeq(letter.Subject, ".") {
			if token == "" || token == "*" || token == ">" || strings.ContainsAny(token, " \t\r\n") {
				t.Fatalf("nobody can publish to %q", letter.Subject)
			}
		}
		ours := 0
		for name := range letter.Header {
			if strings.EqualFold(name, "Status") || (len(name) > 5 && strings.EqualFold(name[:5], "Nats-") && name != schema.HeaderMsgID) {
				t.Fatalf("header %q is one that JetStream or clients act on", name)
			}
			if strings.HasPrefix(name, "Katib-Stream-") && original[name] == nil {
				ours++
			}
		}
		if ours < 6 {
			t.Fatalf("only %d headers of ours in %v", ours, letter.Header)
		}
		text := letter.Header.Get(schema.HeaderReason)
		if len(text) > maxReason || !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n") {
			t.Fatalf("the reason is %q", text)
		}
		if grown := sizeOfHeader(letter.Header) + len(letter.Subject) - sizeOfHeader(original); grown > schema.PayloadReserve && len(subject) < 8<<10 {
			t.Fatalf("it is %d bytes larger", grown)
		}
	})
}

func sizeOfHeader(header nats.Header) (size int) {
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}
