// Package deadletter reads what the consumer put into KATIB_DEADLETTERS, and publishes it again.
package deadletter

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/schema"
)

// Letter is a dead letter: a message of KATIB_METRICS that can never be persisted as it was.
type Letter struct {
	// Sequence is its own in KATIB_DEADLETTERS, and At when it was stored there.
	Sequence uint64
	At       time.Time
	// Of is the original's identity as a dead letter, "<epoch>:<sequence>"; "" for what no consumer put there.
	Of string
	// Stage and Reason say who refused the original, and why.
	Stage, Reason string
	// Subject, OriginalSequence and Time are the original's; Time is zero where the letter does not tell.
	Subject          string
	OriginalSequence uint64
	Time             time.Time
	// Header is the original's as it was published, Body its body, and Size the body's bytes also where it was not read.
	Header nats.Header
	Body   []byte
	Size   int
}

// ours are the headers that a letter has beside the original's.
var ours = []string{
	schema.HeaderDeadLetterOf, schema.HeaderReason, schema.HeaderStage, schema.HeaderSubject, schema.HeaderSequence, schema.HeaderTime,
}

// headerSize is what JetStream adds when only headers are asked for.
const headerSize = "Nats-Msg-Size"

func parse(subject string, header nats.Header, body []byte, sequence uint64, at time.Time) *Letter {
	l := &Letter{
		Sequence: sequence, At: at, Of: header.Get(schema.HeaderDeadLetterOf),
		Stage: header.Get(schema.HeaderStage), Reason: header.Get(schema.HeaderReason),
		Subject: header.Get(schema.HeaderSubject), Header: nats.Header{}, Body: body, Size: len(body),
	}
	if l.Subject == "" {
		l.Subject = schema.SubjectPrefix + strings.TrimPrefix(subject, schema.DeadLetterPrefix)
	}
	l.OriginalSequence, _ = strconv.ParseUint(header.Get(schema.HeaderSequence), 10, 64)
	l.Time, _ = time.Parse(time.RFC3339Nano, header.Get(schema.HeaderTime))
	if size, err := strconv.Atoi(header.Get(headerSize)); err == nil {
		l.Size = size
	}
	for name, values := range header {
		// The original's own of this kind were disarmed; these are JetStream's words about the letter.
		if !strings.HasPrefix(name, "Nats-") && !slices.Contains(ours, name) {
			l.Header[rearm(name)] = values
		}
	}
	return l
}

// rearm gives a header the name that it had before it became part of a letter.
func rearm(name string) string {
	switch rest, disarmed := strings.CutPrefix(name, "Orig-"); {
	case !disarmed:
		return name
	case rest == "Status":
		return rest
	default:
		return "Nats-" + rest
	}
}

// Place is the trial that the original was reported of; ok is false when its subject is no trial's.
func (l *Letter) Place() (place schema.Subject, ok bool) {
	place, err := schema.ParseSubject(l.Subject)
	return place, err == nil
}
