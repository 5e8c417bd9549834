package dbmanager

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// askAgain is the pause after which a barrier that could not answer is asked again.
const askAgain = 200 * time.Millisecond

// ReportObservationLog adds a log to a trial's, and returns when it is persisted, or stored with Config.ReportAccepted. A
// log that takes several messages is sent part by part, each when the one before is persisted, so that rows of equal time
// keep their order; an error then says how much is persisted.
func (s *Server) ReportObservationLog(ctx context.Context, r *katibapi.ReportObservationLogRequest) (*katibapi.ReportObservationLogReply, error) {
	if err := schema.ValidateTrial(r.GetTrialName()); err != nil {
		return nil, invalid(err)
	}
	log, err := newEntries(r.GetObservationLog().GetMetricLogs(), s.maxBody())
	if err != nil {
		return nil, invalid(err)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	if err := s.report(ctx, r.GetTrialName(), log); err != nil {
		return nil, err
	}
	return &katibapi.ReportObservationLogReply{}, nil
}

func (s *Server) report(ctx context.Context, trial string, log *entries) error {
	w := s.writers.take(trial)
	defer s.writers.giveBack(w)
	if s.cfg.ReportAccepted {
		s.writers.refresh(ctx, w, s.isRetired)
	}
	for log.rest() {
		before := log.taken
		if err := s.reportPart(ctx, w, log); err != nil {
			return log.progress(before, err)
		}
		s.metrics.reported.Add(float64(log.taken - before))
	}
	return nil
}

// isRetired says whether a producer's trial was deleted, perhaps by another replica: what it sends is discarded. When the
// database cannot say, it is as if it were: a new producer is always listened to.
func (s *Server) isRetired(ctx context.Context, producer schema.Subject) bool {
	retired, err := s.db.Retired(ctx, producer)
	return err != nil || retired
}

func (s *Server) reportPart(ctx context.Context, w *writer, log *entries) error {
	before := log.taken
	body := log.next()
	ref, failed := s.writers.store(ctx, w, body)
	if failed != nil && isTooLarge(failed.cause) && log.taken-before > 1 {
		log.taken, log.limit = before, len(body)/2 // the stream takes less than the server
		return nil
	}
	if failed != nil {
		return failed.status(ctx)
	}
	if s.cfg.ReportAccepted && !log.rest() {
		return nil
	}
	err := s.awaitPersisted(ctx, ref)
	if errors.Is(err, barrier.ErrRetired) {
		// Another replica deleted a trial of this name, so this one's producer is not listened to any longer. The report came
		// after that: it is one of a new trial.
		s.writers.retire(ctx, w, ref.Identity.Source)
		log.taken = before
		return log.again(ref.Identity.Source)
	}
	return err
}

// again lets a part be sent once more, from a new producer, unless that cannot help.
func (e *entries) again(retired string) error {
	switch {
	case e.taken > 0:
		return status.Error(codes.Aborted, "the trial was deleted meanwhile")
	case e.retired != "":
		return status.Errorf(codes.Unavailable, "producers %s and %s both count as made before the trial of this name was deleted: is this machine's clock more than a minute behind?", e.retired, retired)
	}
	e.retired = retired
	return nil
}

// progress adds to the error of a part what became of the others.
func (e *entries) progress(before int, err error) error {
	if before == 0 && !e.rest() {
		return err
	}
	code := status.Code(err)
	if before > 0 && code == codes.Unavailable {
		code = codes.Aborted // to try all of it again would report a part twice
	}
	return status.Errorf(code, "of %d entries, the first %d are persisted, and %d were not sent; for those between: %s",
		len(e.log), before, len(e.log)-e.taken, status.Convert(err).Message())
}

// awaitPersisted waits until a stored message is persisted. Whatever is away meanwhile, it waits on: a caller that came
// again would report twice.
func (s *Server) awaitPersisted(ctx context.Context, ref katibdb.Ref) error {
	for {
		dead, err := s.waitMessage(ctx, ref)
		switch {
		case err == nil && dead:
			s.log.Warn("a report became a dead letter", "trial", ref.Subject.Trial, "sequence", ref.Sequence)
			return status.Errorf(codes.FailedPrecondition, "it is a dead letter: sequence %d of %s; %s has the reason", ref.Sequence, schema.Stream, schema.DeadLetterStream)
		case err == nil:
			return nil
		case errors.Is(err, barrier.ErrRetired):
			return err
		case errors.Is(err, barrier.ErrStopped):
			return status.Error(codes.Canceled, "the db-manager stops; what it was given is stored and will be persisted, do not report again")
		}
		select {
		case <-ctx.Done():
			return unpersisted(ctx, ref, err)
		case <-time.After(askAgain):
		}
		if ref.Epoch == "" {
			ref.Epoch, ref.Time = s.locate(ctx, ref.Sequence) // NATS may be away; then in the next round
		}
	}
}

// locate gives the stream's epoch, and when the message was stored.
func (s *Server) locate(ctx context.Context, sequence uint64) (epoch string, at time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, schema.Stream)
	if err != nil {
		return "", at
	}
	msg, err := stream.GetMsg(ctx, sequence)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", at
	}
	if err == nil {
		at = msg.Time
	}
	return stream.CachedInfo().Config.Metadata[schema.MetadataEpoch], at
}

// waitMessage waits for a message, for a moment only as long as its epoch is not known. It is needed for nothing but to
// tell that the trial was deleted before anything of its producer was persisted; so most reports need not ask for it.
func (s *Server) waitMessage(ctx context.Context, ref katibdb.Ref) (dead bool, err error) {
	if ref.Epoch == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Second)
		defer cancel()
	}
	return s.barrier.WaitMessage(ctx, ref)
}
