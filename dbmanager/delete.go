package dbmanager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// lookTimeout is how long a deletion waits for NATS, while it holds the trial's lock.
const lookTimeout = 2 * time.Second

// DeleteObservationLog deletes a trial's log, with everything that is on its way to it. It works while NATS is away, and
// can be repeated.
func (s *Server) DeleteObservationLog(ctx context.Context, r *katibapi.DeleteObservationLogRequest) (*katibapi.DeleteObservationLogReply, error) {
	if err := schema.ValidateTrial(r.GetTrialName()); err != nil {
		return nil, invalid(err)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	defer s.writers.forget(r.GetTrialName()) // also after an error: it may be deleted all the same
	if err := s.db.DeleteTrial(ctx, r.GetTrialName(), s.look); err != nil {
		return nil, databaseStatus(ctx, err)
	}
	return &katibapi.DeleteObservationLogReply{}, nil
}

// look asks the stream's leader where the stream ends.
func (s *Server) look(ctx context.Context) (epoch string, sequence uint64, at time.Time, err error) {
	if nc := s.js.Conn(); !nc.IsConnected() {
		return "", 0, time.Time{}, fmt.Errorf("%w: %w (%s)", katibdb.ErrNoStream, errAway, nc.Status())
	}
	asking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	stream, err := s.js.Stream(asking, schema.Stream)
	if err != nil && ctx.Err() != nil && !errors.Is(asking.Err(), context.DeadlineExceeded) {
		return "", 0, time.Time{}, ctx.Err()
	}
	if err != nil {
		return "", 0, time.Time{}, fmt.Errorf("%w: %w", katibdb.ErrNoStream, err)
	}
	info := stream.CachedInfo()
	if at = info.TimeStamp; at.IsZero() { // an old server
		at = time.Now()
	}
	return info.Config.Metadata[schema.MetadataEpoch], info.State.LastSeq, at, nil
}
