package dbmanager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

const (
	// callLimit is how long a call without a deadline may take.
	callLimit = time.Minute
	// answerTime is what is kept back of a caller's deadline, so that it still gets the answer.
	answerTime = 200 * time.Millisecond
)

// within bounds a call: by a little less than the caller's deadline, or by callLimit.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithTimeout(ctx, callLimit)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(answerTime, time.Until(deadline)/4)))
}

func invalid(err error) error { return status.Error(codes.InvalidArgument, err.Error()) }

// ended is the status of a call whose time is over, or whose caller has gone.
func ended(ctx context.Context, format string, args ...any) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return status.Errorf(codes.Canceled, format, args...)
	}
	return status.Errorf(codes.DeadlineExceeded, format, args...)
}

// databaseStatus is the status of a call that the database did not answer.
func databaseStatus(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx, "%v", err)
	}
	return status.Errorf(codes.Unavailable, "%v", err)
}

// status is what a caller is told of a message that is not known to be stored. Everything that passes is UNAVAILABLE, a
// full stream too: RESOURCE_EXHAUSTED is what gRPC's clients, and their retry policies, do not try again.
func (e *publishError) status(ctx context.Context) error {
	switch {
	case isTooLarge(e.cause):
		return status.Errorf(codes.InvalidArgument, "not stored: it is too large for the stream: %v", e.cause)
	case errors.Is(e.cause, errConflict), errors.Is(e.cause, errForeign):
		return status.Errorf(codes.Internal, "not stored: %v", e.cause)
	case e.unanswered:
		return ended(ctx, "not known to be stored: %v", e.cause)
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(e.cause, context.DeadlineExceeded):
		return ended(ctx, "not stored: %v", e.cause)
	case errors.Is(e.cause, jetstream.ErrNoStreamResponse):
		return status.Errorf(codes.Unavailable, "not stored: NATS has no stream %s yet, or the stream has no leader; a consumer makes it: %v", schema.Stream, e.cause)
	case hasCode(e.cause, codeStoreFailed, codeOutOfStorage, codeStorageExceed):
		return status.Errorf(codes.Unavailable, "not stored: the stream is full: %v", e.cause)
	}
	return status.Errorf(codes.Unavailable, "not stored: %v", e.cause)
}

// unpersisted is what a caller is told of a message that is stored, and not yet known to be persisted.
func unpersisted(ctx context.Context, ref katibdb.Ref, err error) error {
	stored := fmt.Sprintf("stored as message %s, sequence %d, and not yet persisted: it will be, do not report again", ref.Identity.Source, ref.Sequence)
	return ended(ctx, "%s (%v)", stored, err)
}
