package producer

import (
	"errors"
	"fmt"
	"strings"
)

// FlushError is what Flush returns when not everything that was accepted before it is known to be persisted.
type FlushError struct {
	// Events is how many events the stream has not acknowledged. When it is 0 the stream holds the others.
	Events int
	// Spooled is how many of them are in the spool too, in the folder Spool, where they survive the process. Spool is empty
	// when there are none.
	Spooled int
	Spool   string
	// Refused is how many events the stream refused for good as too large (ErrTooLarge), and Conflicting how many went
	// under an id that somebody else had used (ErrDuplicateID), each counted by one Flush only.
	Refused     int
	Conflicting int
	// Pending is about how many messages are stored and on their way to Katib DB, as far as a consumer has said so.
	Pending uint64
	// DeadLetters is how many messages of this producer, ever, are dead letters (ErrDeadLetters).
	DeadLetters uint64
	// Missing is how many messages, acknowledged by the stream, neither it nor Katib DB has (ErrMissing).
	Missing uint64
	// Cause says what kept Flush from waiting on: the end of its context and what it was stuck on, the trial's deletion
	// (ErrTrialDeleted), or a permission (ErrNotPermitted). Nil when everything else is persisted.
	Cause error
}

func (e *FlushError) Error() string {
	var parts []string
	say := func(n uint64, one, many string) {
		switch n {
		case 0:
		case 1:
			parts = append(parts, one)
		default:
			parts = append(parts, fmt.Sprintf(many, n))
		}
	}
	say(uint64(e.Events), "1 event is not stored", "%d events are not stored")
	if e.Events == 0 && e.Cause != nil && !errors.Is(e.Cause, ErrTrialDeleted) {
		parts = append(parts, "what was sent is stored")
	}
	say(e.Pending, "about 1 message is on its way to Katib DB", "about %d messages are on their way to Katib DB")
	say(uint64(e.Refused), "1 event is too large for the stream", "%d events are too large for the stream")
	say(uint64(e.Conflicting), "1 event went under a message id that was used twice", "%d events went under a message id that was used twice")
	say(e.DeadLetters, "1 message of this producer is a dead letter", "%d messages of this producer are dead letters")
	say(e.Missing, "1 message is neither in the stream nor in Katib DB; was it purged?", "%d messages are neither in the stream nor in Katib DB; were they purged?")
	text := ErrNotPersisted.Error()
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	return withCause(text, e.Cause) + lies(e.Spooled, e.Events, e.Spool)
}

// Unwrap lets errors.Is find ErrNotPersisted, ErrTooLarge, ErrDuplicateID, ErrDeadLetters, ErrMissing and the cause.
func (e *FlushError) Unwrap() []error {
	return present(ErrNotPersisted,
		when(e.Refused > 0, ErrTooLarge),
		when(e.Conflicting > 0, ErrDuplicateID),
		when(e.DeadLetters > 0, ErrDeadLetters),
		when(e.Missing > 0, ErrMissing),
		e.Cause)
}

// nothing says that everything is persisted.
func (e *FlushError) nothing() bool { return *e == FlushError{} }
