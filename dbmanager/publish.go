package dbmanager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

const (
	// attemptTimeout is how long an attempt to publish waits for its answer.
	attemptTimeout = 3 * time.Second
	// outage is how long a report waits for a stream that is away or full, while it is certain that it is not stored: as
	// long as NATS needs for a restart. After that the caller is told to come again.
	outage = 5 * time.Second

	// What JetStream says of a message that is larger than the stream takes, of a full stream, and of a full disk.
	codeTooLarge      jetstream.ErrorCode = 10054
	codeStoreFailed   jetstream.ErrorCode = 10077
	codeOutOfStorage  jetstream.ErrorCode = 10023
	codeStorageExceed jetstream.ErrorCode = 10047
)

var (
	errAway     = errors.New("NATS is away")
	errQueue    = errors.New("reports before this one could not be stored yet")
	errConflict = errors.New("the message id was used twice")
	errForeign  = errors.New("another stream takes the subject")
)

// publishError says why a message is not known to be stored.
type publishError struct {
	cause error
	// uncertain says that its number may be used all the same, now or later.
	uncertain bool
	// unanswered says that there is more to that than caution: an attempt got no answer.
	unanswered bool
}

// publish tries, always under the same id, until the stream has the message, ctx ends, or it is no use.
func (s *Server) publish(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, *publishError) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, time.Second
	failed := &publishError{}
	for began := time.Now(); ; {
		ack, err := s.attempt(ctx, m)
		if err == nil && ack.Duplicate && !failed.uncertain {
			return nil, &publishError{cause: errConflict, uncertain: true}
		}
		if err == nil {
			return ack, nil
		}
		failed.note(err)
		if isFinal(err) || !failed.unanswered && time.Since(began) > outage {
			return nil, failed
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return nil, failed
		}
	}
}

// note takes in what became of an attempt. A refusal is an answer, but in a cluster not a promise.
func (e *publishError) note(err error) {
	var refused *jetstream.APIError
	e.cause = err
	e.uncertain = e.uncertain || !isNotStored(err)
	e.unanswered = e.unanswered || !isNotStored(err) && !errors.As(err, &refused)
}

func (s *Server) attempt(ctx context.Context, m *nats.Msg) (*jetstream.PubAck, error) {
	if nc := s.js.Conn(); !nc.IsConnected() { // the client would keep the message, and send it when nobody wants it any longer
		return nil, fmt.Errorf("%w (%s)", errAway, nc.Status())
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", schema.Stream, err)
	}
	if ack.Stream != schema.Stream {
		return nil, fmt.Errorf("%w: %s", errForeign, ack.Stream)
	}
	return ack, nil
}

// isNotStored says that an attempt certainly stored nothing.
func isNotStored(err error) bool {
	return errors.Is(err, errAway) || errors.Is(err, jetstream.ErrNoStreamResponse) || isTooLarge(err)
}

// isFinal says that another attempt would end like this one.
func isFinal(err error) bool {
	return isTooLarge(err) || errors.Is(err, errForeign) || errors.Is(err, nats.ErrConnectionClosed)
}

func isTooLarge(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || hasCode(err, codeTooLarge)
}

func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && slices.Contains(codes, refused.ErrorCode)
}

// maxBody is how many bytes a message's body may have.
func (s *Server) maxBody() int {
	const byContract = 1 << 20 // until a server says what it takes
	limit := int(s.js.Conn().MaxPayload())
	if limit <= schema.PayloadReserve+headerBytes {
		limit = byContract
	}
	return limit - schema.PayloadReserve - headerBytes
}
