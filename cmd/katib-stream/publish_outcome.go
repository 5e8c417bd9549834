package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

// notStored says how many events arrived, why the others may not have, and what to do.
func (o *publishOptions) notStored(ctx context.Context, nc *nats.Conn, stored uint64, accepted int, closeErr, reportErr error) error {
	reason := o.why(ctx, nc, closeErr)
	err := fmt.Errorf("stored %d of %s for certain: %w", stored, countOf(accepted), reason)
	if stored == uint64(accepted) {
		err = fmt.Errorf("stored %s, but not the mark that the run has ended: %w", countOf(accepted), reason)
	}
	if reportErr != nil {
		return fmt.Errorf("%w; nothing was sent after this: %w", err, reportErr)
	}
	return err
}

// why puts what kept events from the stream into words that say what to do.
func (o *publishOptions) why(ctx context.Context, nc *nats.Conn, err error) error {
	server := natsconn.Redact(nc.ConnectedUrl())
	var refused *jetstream.APIError
	var undelivered *producer.UndeliveredError
	switch {
	case errors.Is(err, producer.ErrNotPermitted):
		return fmt.Errorf("NATS at %s does not let this user publish to %s.%s.> and get the answer", server, schema.SubjectPrefix, schema.EncodeToken(o.subject.Namespace))
	case errors.Is(err, nats.ErrNoResponders):
		return o.noStream(ctx, nc)
	case errors.As(err, &refused) && isFull(refused):
		return fmt.Errorf("stream %s is full (%s): run a consumer, or make the stream larger with `nats stream edit`", schema.Stream, refused.Description)
	case !nc.IsConnected():
		return fmt.Errorf("the connection to NATS was lost, and was not back within %v; `katib-stream tail %s` shows what is stored", o.timeout, o.subject.Trial)
	case errors.Is(err, context.DeadlineExceeded) && errors.As(err, &undelivered):
		return fmt.Errorf("gave up after %v: %w; `katib-stream tail %s` shows what is stored", o.timeout, undelivered.Cause, o.subject.Trial)
	}
	return err
}

// noStream finds out whether the stream is missing or JetStream is, if this user may know.
func (o *publishOptions) noStream(ctx context.Context, nc *nats.Conn) error {
	asking := o.client
	asking.timeout = min(o.timeout, 2*time.Second)
	_, _, _, err := asking.stream(context.WithoutCancel(ctx), nc)
	if errors.Is(err, jetstream.ErrStreamNotFound) || isWithoutJetStream(err) {
		return err
	}
	return fmt.Errorf("no stream of NATS at %s takes it; `katib-stream up` or `katib-stream consumer` makes %s", natsconn.Redact(nc.ConnectedUrl()), schema.Stream)
}

// isFull says whether a stream, or the server's storage, has no room.
func isFull(refused *jetstream.APIError) bool {
	const storeFailed, noStorage, noResources = 10077, 10047, 10023
	switch refused.ErrorCode {
	case noStorage, noResources:
		return true
	case storeFailed:
		return strings.Contains(refused.Description, "maximum")
	}
	return false
}

// stoppedAt is the error of an event that was refused, when all before it is stored.
func stoppedAt(reportErr error, accepted int) error {
	switch accepted {
	case 0:
		return fmt.Errorf("%w; nothing was sent", reportErr)
	case 1:
		return fmt.Errorf("%w; the 1 event before that is stored, nothing after it was sent", reportErr)
	}
	return fmt.Errorf("%w; the %d events before that are stored, nothing after it was sent", reportErr, accepted)
}

func countOf(events int) string {
	if events == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", events)
}
