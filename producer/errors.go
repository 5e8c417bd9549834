package producer

import (
	"errors"
	"fmt"
	"time"
)

// What Report, Close and Flush return, to be found with errors.Is. An event that breaks the contract is a *schema.Error.
var (
	// ErrClosed says that the producer was closed before the event was reported.
	ErrClosed = errors.New("the producer is closed")
	// ErrBufferFull says that the event was refused because the buffer stayed full; the error is a *BufferFullError.
	ErrBufferFull = errors.New("the buffer is full")
	// ErrTooLarge says that an event is larger than one message can carry.
	ErrTooLarge = errors.New("the event is too large")
	// ErrUndelivered says that accepted events are not known to be stored; the error is an *UndeliveredError.
	ErrUndelivered = errors.New("undelivered")
	// ErrDuplicateID says that the stream already held a message under an id that was used for the first time: somebody
	// else publishes under this producer's id. What the stream holds are the other's events.
	ErrDuplicateID = errors.New("the message id was used twice")
	// ErrNotPersisted says that accepted events are not known to be in Katib DB; the error is a *FlushError.
	ErrNotPersisted = errors.New("not everything is persisted")
	// ErrTrialDeleted says that the trial was deleted, and what was reported of it with it.
	ErrTrialDeleted = errors.New("the trial was deleted, and its reports with it")
	// ErrDeadLetters says that the consumer put messages aside that Katib DB can never take.
	ErrDeadLetters = errors.New("dead letters")
	// ErrMissing says that neither the stream nor Katib DB has messages that the stream had acknowledged.
	ErrMissing = errors.New("messages are lost")
	// ErrNotPermitted says that the NATS server does not permit this user what a producer needs.
	ErrNotPermitted = errors.New("not permitted")
)

// BufferFullError is what Report returns for an event that it refused because the buffer stayed full. The event is not
// accepted: report it again, or count it as lost. Those that wait are not affected: they are still being delivered.
type BufferFullError struct {
	// Refused is how many events this error is about: 1.
	Refused int
	// WaitingEvents and WaitingBytes are what is accepted and not yet stored.
	WaitingEvents int
	WaitingBytes  int
	// Waited is how long Report waited for room.
	Waited time.Duration
	// Cause says why the buffer does not empty and, where that ended the wait, that the context ended. Nil when the
	// stream is merely slower than the reports.
	Cause error
}

func (e *BufferFullError) Error() string {
	text := fmt.Sprintf("%v: %s refused after %v; %s (%d bytes) wait to be stored",
		ErrBufferFull, countOf(e.Refused), e.Waited.Round(time.Millisecond), countOf(e.WaitingEvents), e.WaitingBytes)
	return withCause(text, e.Cause)
}

// Unwrap lets errors.Is find ErrBufferFull and the cause.
func (e *BufferFullError) Unwrap() []error { return present(ErrBufferFull, e.Cause) }

// UndeliveredError is what Close returns when the stream has not acknowledged everything that was accepted.
type UndeliveredError struct {
	// Events is how many accepted events are not known to be stored. It can be 0: then only the message that marks the
	// run's end is missing. An event whose acknowledgement was lost is counted although the stream may hold it.
	Events int
	// Refused is how many of them the stream refused for good as too large (ErrTooLarge).
	Refused int
	// Conflicting is how many of them went under an id that somebody else had used (ErrDuplicateID).
	Conflicting int
	// Spooled is how many of them the spool keeps, in the folder Spool, for the next producer there to deliver. The others
	// are lost. Spool is empty when there are none.
	Spooled int
	Spool   string
	// Cause says what kept the others: the end of Close's context, and what delivery was stuck on. Nil when there are no
	// others.
	Cause error
}

func (e *UndeliveredError) Error() string {
	text := fmt.Sprintf("%v: %s not stored", ErrUndelivered, countOf(e.Events))
	if e.Events == 0 {
		text = fmt.Sprintf("%v: the mark of the run's end is not stored", ErrUndelivered)
	}
	if e.Refused > 0 {
		text += fmt.Sprintf(", %d of them too large for the stream", e.Refused)
	}
	if e.Conflicting > 0 {
		text += fmt.Sprintf(", %d of them because their message's id was used twice", e.Conflicting)
	}
	text = withCause(text, e.Cause) + lies(e.Spooled, e.Events, e.Spool)
	if lost := e.Events - e.Refused - e.Conflicting - e.Spooled; lost > 0 {
		text += fmt.Sprintf("; %s lost with this process (in memory only)", countOf(lost))
	}
	return text
}

// Unwrap lets errors.Is find ErrUndelivered, ErrTooLarge, ErrDuplicateID and the cause.
func (e *UndeliveredError) Unwrap() []error {
	return present(ErrUndelivered, when(e.Refused > 0, ErrTooLarge), when(e.Conflicting > 0, ErrDuplicateID), e.Cause)
}

// when is err if that is the case.
func when(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

// causes are several reasons in one line.
type causes []error

func (c causes) Error() string {
	text := c[0].Error()
	for _, err := range c[1:] {
		text += "; " + err.Error()
	}
	return text
}

func (c causes) Unwrap() []error { return c }

// because joins the errors that are there into one; nil when there is none.
func because(errs ...error) error {
	if errs = present(errs...); len(errs) > 0 {
		return causes(errs)
	}
	return nil
}

func present(errs ...error) []error {
	var there []error
	for _, err := range errs {
		if err != nil {
			there = append(there, err)
		}
	}
	return there
}

func withCause(text string, cause error) string {
	if cause == nil {
		return text
	}
	return text + ": " + cause.Error()
}

func countOf(events int) string {
	if events == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", events)
}
