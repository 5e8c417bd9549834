package dbmanager

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// Trailers of a read.
const (
	// TrailerMissing is how many messages were numbered and never reached the stream: their producers died before.
	TrailerMissing = "katib-stream-missing"
	// TrailerThinned is "<kept>/<total>" when only a part of a long log is given.
	TrailerThinned = "katib-stream-thinned"
	// TrailerWarning says in words that rows may be missing, because NATS is away.
	TrailerWarning = "katib-stream-warning"
)

// GetObservationLog reads a trial's log. It waits until everything that the stream holds of the trial is persisted, and is
// UNAVAILABLE rather than give less: for Katib's controller an empty log is the end of the trial.
func (s *Server) GetObservationLog(ctx context.Context, r *katibapi.GetObservationLogRequest) (*katibapi.GetObservationLogReply, error) {
	q, err := queryOf(r)
	if err != nil {
		return nil, invalid(err)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	if err := s.awaitComplete(ctx, q.Trial); err != nil {
		return nil, err
	}
	log, err := s.read(ctx, q)
	if err != nil {
		return nil, err
	}
	return &katibapi.GetObservationLogReply{ObservationLog: log}, nil
}

func queryOf(r *katibapi.GetObservationLogRequest) (q katibdb.LogQuery, err error) {
	q = katibdb.LogQuery{Trial: r.GetTrialName(), Metric: r.GetMetricName()}
	if err := schema.ValidateTrial(q.Trial); err != nil {
		return q, err
	}
	if text := r.GetStartTime(); text != "" {
		if q.From, err = parseTime(text); err != nil {
			return q, fmt.Errorf("start time: %w", err)
		}
	}
	if text := r.GetEndTime(); text != "" {
		if q.To, err = parseTime(text); err != nil {
			return q, fmt.Errorf("end time: %w", err)
		}
	}
	return q, nil
}

// awaitComplete waits until the database has all of the trial.
func (s *Server) awaitComplete(ctx context.Context, trial string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadWait)
	defer cancel()
	for {
		if s.cfg.ReadDatabase && !s.js.Conn().IsConnected() {
			s.warnIncomplete(ctx, trial, errAway)
			return nil
		}
		result, err := s.barrier.WaitTrial(ctx, trial)
		if err == nil {
			s.noteMissing(ctx, trial, result.Missing)
			return nil
		}
		away := errors.Is(err, barrier.ErrStream) || !s.js.Conn().IsConnected()
		switch {
		case away && s.cfg.ReadDatabase:
			s.warnIncomplete(ctx, trial, err)
			return nil
		case ctx.Err() != nil || errors.Is(err, barrier.ErrStopped):
			return incomplete(trial, result, away, err)
		}
		select {
		case <-ctx.Done():
			return incomplete(trial, result, away, err)
		case <-time.After(askAgain):
		}
	}
}

func (s *Server) warnIncomplete(ctx context.Context, trial string, reason error) {
	s.log.Warn("NATS is away; a read gets what the database has", "trial", trial, "error", reason)
	setTrailer(ctx, TrailerWarning, "NATS is away; reports that are not persisted yet are not here")
}

func incomplete(trial string, result barrier.Result, away bool, err error) error {
	switch {
	case away && errors.Is(err, jetstream.ErrStreamNotFound):
		return status.Errorf(codes.Unavailable, "NATS has no stream %s yet; a consumer makes it: %v", schema.Stream, err)
	case away:
		return status.Errorf(codes.Unavailable, "NATS is away, so the log of trial %s may not be complete; ask again: %v", trial, err)
	case result.Pending > 0:
		return status.Errorf(codes.Unavailable, "messages of trial %s on their way to the database: %d; ask again: %v", trial, result.Pending, err)
	}
	return status.Errorf(codes.Unavailable, "the log of trial %s is not known to be complete; ask again: %v", trial, err)
}

func (s *Server) noteMissing(ctx context.Context, trial string, missing uint64) {
	if missing == 0 {
		return
	}
	s.log.Warn("messages of a trial never reached the stream; its log is without them", "trial", trial, "missing", missing)
	setTrailer(ctx, TrailerMissing, strconv.FormatUint(missing, 10))
}

// read gives the rows as Katib does, of a long log a part.
func (s *Server) read(ctx context.Context, q katibdb.LogQuery) (*katibapi.ObservationLog, error) {
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
	case <-ctx.Done():
		return nil, ended(ctx, "wait for other reads: %v", ctx.Err())
	}
	thin := newThinner(s.cfg.ReadMax)
	err := s.db.Log(ctx, q, thin.add)
	if errors.Is(err, errTooMany) {
		return nil, status.Errorf(codes.ResourceExhausted, "the log of trial %s: %v", q.Trial, errTooMany)
	}
	if err != nil {
		return nil, databaseStatus(ctx, err)
	}
	log := logOf(thin.rows())
	if kept := len(log.MetricLogs); kept < thin.total {
		s.metrics.thinned.Inc()
		s.log.Warn("a log is too long for one reply; a part of its points is given", "trial", q.Trial, "kept", kept, "total", thin.total, "read_max", s.cfg.ReadMax)
		setTrailer(ctx, TrailerThinned, fmt.Sprintf("%d/%d", kept, thin.total))
	}
	return log, nil
}

func logOf(rows []katibdb.Row) *katibapi.ObservationLog {
	log := &katibapi.ObservationLog{MetricLogs: make([]*katibapi.MetricLog, len(rows))}
	for i, row := range rows {
		log.MetricLogs[i] = &katibapi.MetricLog{
			TimeStamp: row.Time.UTC().Format(time.RFC3339Nano),
			Metric:    &katibapi.Metric{Name: row.Metric, Value: row.Value},
		}
	}
	return log
}

// setTrailer fails only outside of a gRPC call, where nobody would read it.
func setTrailer(ctx context.Context, name, value string) {
	_ = grpc.SetTrailer(ctx, metadata.Pairs(name, value))
}
