package flushclient

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// ErrUnanswered says that no consumer took the question, or answered it in time.
var ErrUnanswered = errors.New("no consumer answers")

var errDisconnected = fmt.Errorf("not connected: %w", nats.ErrDisconnected)

// DeniedError says what the NATS server does not permit this user.
type DeniedError struct {
	// What is not permitted, like "publish to katib.flush.default.my-trial".
	What string
	// Err is what the server said.
	Err error
}

func (e *DeniedError) Error() string { return "not permitted to " + e.What }

// Unwrap gives what the server said.
func (e *DeniedError) Unwrap() error { return e.Err }

// RefusedError is an error that the service answered with.
type RefusedError struct {
	// Code is 4xx when the question cannot be answered, and 5xx when it cannot now.
	Code int
	// Description is in words.
	Description string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the consumer answers with error %d: %s", e.Code, e.Description)
}

// isFinal says that asking again is of no use.
func isFinal(err error) bool {
	var denied *DeniedError
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Code >= 400 && refused.Code < 500
	}
	return errors.As(err, &denied) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining)
}

// isSilence says that nobody answered.
func isSilence(err error) bool {
	return errors.Is(err, ErrUnanswered) || errors.Is(err, nats.ErrDisconnected)
}
