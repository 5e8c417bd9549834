package deadletter

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/schema"
)

// Change is what is mended of a letter before it is published again; the zero value nothing.
type Change struct {
	// Body replaces the original's; nil leaves it.
	Body []byte
	// Namespace and Trial replace those of the original's subject.
	Namespace, Trial string
}

// Message is the letter as a message for KATIB_METRICS, or an error that says why it would become a dead letter again.
//
// It is always the only message of the same producer, made from what the letter is of and where it goes: the database's
// watermark says for ever that it is persisted, however often it is published. That producer is as old as the original, so that what deletes
// the original's trial deletes it, too, and it says that it ends with this message. Events without a time get the time at
// which the original was stored, as they had.
func (l *Letter) Message(c Change) (*nats.Msg, error) {
	if l.Of == "" || l.Time.IsZero() {
		return nil, errors.New("no consumer stored it, and its original cannot be told")
	}
	subject, err := l.subject(c)
	if err != nil {
		return nil, err
	}
	body := l.Body
	if c.Body != nil {
		body = c.Body
	}
	msg := nats.NewMsg(subject.String())
	for name, values := range l.Header {
		if !strings.HasPrefix(strings.ToLower(name), "nats-") && !strings.EqualFold(name, "Status") {
			msg.Header[name] = values
		}
	}
	msg.Header.Set(schema.HeaderMsgID, schema.MessageID(subject.Producer, 1))
	msg.Header.Set(schema.HeaderRequeued, l.Of)
	msg.Header.Set(schema.HeaderFinal, "true")
	decoded, err := schema.Decode(schema.Stored{Subject: msg.Subject, Header: msg.Header, Body: body})
	if err != nil {
		return nil, fmt.Errorf("it would become a dead letter again: %w", err)
	}
	msg.Data = stamped(body, decoded.Events, l.Time)
	return msg, nil
}

func (l *Letter) subject(c Change) (schema.Subject, error) {
	subject, err := schema.ParseSubject(l.Subject)
	if c.Namespace != "" {
		subject.Namespace = c.Namespace
	}
	if c.Trial != "" {
		subject.Trial = c.Trial
	}
	if err != nil && (c.Namespace == "" || c.Trial == "") {
		return subject, fmt.Errorf("it was published to %s, which is no trial's (%w): say with --to-namespace and --to-trial whose it is", l.Subject, err)
	}
	subject.Producer = producerOf(fmt.Sprintf("%s as %s/%s", l.Of, subject.Namespace, subject.Trial), l.Time)
	return subject, nil
}

// producerOf is the producer's id: a UUID of version 7 whose time is the original's, less what a deletion gives to clocks.
func producerOf(what string, at time.Time) string {
	var id [16]byte
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(max(0, at.Add(-schema.ClockMargin).UnixMilli()-1)))
	copy(id[:6], millis[2:])
	sum := sha256.Sum256([]byte("katib-stream requeue " + what))
	copy(id[6:], sum[:])
	id[6] = id[6]&0x0f | 7<<4
	id[8] = id[8]&0x3f | 0b10<<6
	return hex.EncodeToString(id[:])
}

// stamped is the body with a time in each event. One in which all have it stays as it is.
func stamped(body []byte, events []schema.Event, at time.Time) []byte {
	if !slices.ContainsFunc(events, func(e schema.Event) bool { return e.Time.IsZero() }) {
		return body
	}
	var lines [][]byte
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = at
		}
		lines = append(lines, schema.AppendEvent(nil, e))
	}
	return bytes.Join(lines, []byte("\n"))
}
