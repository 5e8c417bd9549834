package barrier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/pull"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// waitTrial waits for what the stream holds of a trial, and says what the database knows then.
func (b *Barrier) waitTrial(ctx context.Context, trial string) (Result, error) {
	found, pending, err := b.flights.join(ctx, question{schema.TrialFilter("*", trial), trial})
	if err != nil {
		return Result{Pending: pending}, fmt.Errorf("wait until trial %s is persisted: %w", trial, err)
	}
	result := Result{Deleted: found.deleted()}
	result.Unknown = found.last.sequence == 0 && len(found.trial.Producers) == 0 && !result.Deleted
	for _, producer := range found.trial.Producers {
		if !producer.Deleted && !result.Deleted {
			result.DeadLetters += producer.Dead
			result.Missing += producer.Missing
		}
	}
	return result, nil
}

// found is what there is when everything that the stream held is persisted.
type found struct {
	last  place // of the messages that were waited for
	trial katibdb.Trial
}

// deleted says whether nothing came after the trial's deletion.
func (f found) deleted() bool {
	if f.trial.DeletedAt.IsZero() || (f.last.sequence > 0 && !f.trial.DeletedAfter(f.last.epoch, f.last.sequence, f.last.time)) {
		return false
	}
	for _, producer := range f.trial.Producers {
		if !producer.Deleted && producer.Messages > 0 {
			return false
		}
	}
	return true
}

// waitSubject waits for what the stream holds of a producer, and finds out whether a number is among it.
func (b *Barrier) waitSubject(ctx context.Context, subject schema.Subject, number uint64) (Result, error) {
	found, pending, err := b.flights.join(ctx, question{subject.String(), subject.Trial})
	if err != nil {
		return Result{Pending: pending}, fmt.Errorf("wait until message %d of producer %s is persisted: %w", number, subject.Producer, err)
	}
	if found.deleted() {
		return Result{Deleted: true}, nil
	}
	ref := katibdb.Ref{Subject: subject, Identity: schema.Identity{Source: subject.Producer, Number: number}}
	persisted, err := b.db.Persisted(ctx, []katibdb.Ref{ref})
	if err != nil {
		return Result{}, fmt.Errorf("look up message %d of producer %s: %w", number, subject.Producer, err)
	}
	missing, err := b.db.Missing(ctx, subject, number)
	if err != nil {
		return Result{}, err
	}
	result := Result{Missing: missing}
	for _, producer := range found.trial.Producers {
		if producer.ID == subject.Producer && producer.Namespace == subject.Namespace {
			result.DeadLetters, result.Deleted = producer.Dead, producer.Deleted
		}
	}
	if result.Deleted {
		return Result{Deleted: true}, nil
	}
	if !persisted[0] {
		return result, fmt.Errorf("%w: number %d of producer %s", ErrMissing, number, subject.Producer)
	}
	return result, nil
}

// question is what is waited for: the messages of a trial under a filter.
type question struct{ filter, trial string }

// place is one in the stream; sequence 0 means none.
type place struct {
	epoch    string
	sequence uint64
	time     time.Time // zero where it does not matter
}

// mostRefs bounds how many messages are remembered while they are waited for.
const mostRefs = 10_000

// fly waits for what a question is about, and reads once, for all who ask, what is known of its trial then.
func (b *Barrier) fly(ctx context.Context, q question, pending *atomic.Uint64) (found, error) {
	last, err := b.waitHeld(ctx, q, pending)
	if err != nil {
		return found{}, err
	}
	known, err := b.db.Trial(ctx, q.trial)
	return found{last, known}, err
}

// waitHeld waits until everything that the stream's leader holds now under the filter is persisted. It gives the last
// message's place.
func (b *Barrier) waitHeld(ctx context.Context, q question, pending *atomic.Uint64) (last place, err error) {
	stream, err := b.js.Stream(ctx, schema.Stream)
	if err != nil {
		return last, failed(ctx, "look up stream "+schema.Stream, err)
	}
	last.epoch = epochOf(stream)
	if last.sequence, last.time, err = b.lastMessage(ctx, q.filter); err != nil {
		return last, err
	}
	reconnects := b.js.Conn().Stats().Reconnects
	patience := firstPatience
	for at := b.cursors.get(q, last, reconnects); at < last.sequence; {
		refs, reached, err := b.read(ctx, stream, q, place{epoch: last.epoch, sequence: at}, last.sequence, pending)
		if err != nil {
			return last, err
		}
		switch err := b.waitWhileHeld(ctx, refs, patience); {
		case errors.Is(err, errImpatient):
			patience = min(2*patience, lastPatience)
		case err != nil:
			return last, err
		default:
			at = reached
			b.cursors.set(q, place{epoch: last.epoch, sequence: at})
		}
	}
	return last, nil
}

func epochOf(stream jetstream.Stream) string {
	return stream.CachedInfo().Config.Metadata[schema.MetadataEpoch]
}

// A message that is purged before it is persisted never will be. So what is waited for is read again after a while.
const (
	firstPatience = 2 * time.Second
	lastPatience  = 10 * time.Second
)

var errImpatient = errors.New("not persisted yet")

func (b *Barrier) waitWhileHeld(ctx context.Context, refs []katibdb.Ref, patience time.Duration) error {
	if len(refs) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := b.poll.waitRefs(limited, refs)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return errImpatient
	}
	return err
}

// lastMessage asks the stream's leader for the last message under the filter; 0 when there is none. The client's own call
// would ask any replica, and one that lags behind does not know what was acknowledged to a producer.
func (b *Barrier) lastMessage(ctx context.Context, filter string) (sequence uint64, at time.Time, err error) {
	const what = "ask for the last message"
	request, err := json.Marshal(map[string]string{"last_by_subj": filter})
	if err != nil {
		return 0, at, err
	}
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	reply, err := b.js.Conn().RequestWithContext(limited, pull.APIPrefix(b.js.Options())+"STREAM.MSG.GET."+schema.Stream, request)
	if err != nil {
		return 0, at, failed(ctx, what, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Sequence uint64    `json:"seq"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return 0, at, failed(ctx, what, err)
	}
	if answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return 0, at, nil
	}
	if answer.Error != nil {
		return 0, at, failed(ctx, what, answer.Error)
	}
	return answer.Message.Sequence, answer.Message.Time, nil
}

// read reads headers after a place and up to a sequence, until it has met that or very many messages that are not persisted
// for certain. It gives those, and where it is.
func (b *Barrier) read(ctx context.Context, stream jetstream.Stream, q question, after place, upTo uint64, pending *atomic.Uint64) (refs []katibdb.Ref, at uint64, err error) {
	known, err := b.db.Trial(ctx, q.trial)
	if err != nil {
		return nil, 0, fmt.Errorf("look up trial %s: %w", q.trial, err)
	}
	if err := b.readers.Acquire(ctx, 1); err != nil {
		return nil, 0, fmt.Errorf("wait for others that read headers: %w", err)
	}
	defer b.readers.Release(1)
	headers, err := b.open(ctx, stream, q.filter, after.sequence+1)
	if err != nil {
		return nil, 0, err
	}
	defer headers.close(ctx)
	watermarks := map[schema.Subject]uint64{}
	for _, p := range known.Producers {
		watermarks[schema.Subject{Namespace: p.Namespace, Trial: q.trial, Producer: p.ID}] = p.Watermark
	}
	at = after.sequence
	for at < upTo && len(refs) < mostRefs {
		batch, err := headers.next(ctx)
		if err != nil {
			return nil, 0, err
		}
		if len(batch) == 0 { // the rest was purged meanwhile, or the replica that is read lags behind
			last, _, err := b.lastMessage(ctx, q.filter)
			if err != nil {
				return nil, 0, err
			}
			if last <= at {
				return refs, upTo, nil
			}
		}
		for _, ref := range refsOf(batch, after.epoch) {
			if ref.Sequence > upTo { // stored later; it must not be taken for looked at
				at = upTo
				break
			}
			at = ref.Sequence
			if !ref.Identity.Numbered() || ref.Identity.Number > watermarks[ref.Subject] {
				refs = append(refs, ref)
			}
		}
		pending.Store(uint64(len(refs)) + headers.pending)
	}
	return refs, at, nil
}

func refsOf(batch []jetstream.Msg, epoch string) []katibdb.Ref {
	refs := make([]katibdb.Ref, 0, len(batch))
	for _, msg := range batch {
		meta, err := msg.Metadata()
		if err != nil {
			continue // not one of the stream's
		}
		// Without its body the message does not decode, but it keeps its identity.
		decoded, _ := schema.Decode(schema.Stored{Subject: msg.Subject(), Header: msg.Headers(), Epoch: epoch, Sequence: meta.Sequence.Stream})
		refs = append(refs, katibdb.Ref{Subject: decoded.Subject, Identity: decoded.Identity, Epoch: epoch, Sequence: meta.Sequence.Stream, Time: meta.Timestamp})
	}
	return refs
}

// failed says that the stream could not be asked, or that ctx ended.
func failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	if errors.Is(err, nats.ErrNoResponders) {
		err = errors.New("nobody answers for JetStream")
	}
	return fmt.Errorf("%w: %s: %w", ErrStream, what, err)
}
