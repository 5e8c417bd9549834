// Package barrier waits until what the stream KATIB_METRICS holds is persisted in Katib DB: a message, what a producer has
// sent, or all of a trial. The answer comes from the database; a consumer's acknowledgements say less.
//
// However many wait, the database is asked for all of them together, at most 200 times a second.
package barrier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

var (
	// ErrStream says that the stream could not be asked.
	ErrStream = errors.New("the stream cannot be asked")
	// ErrStopped says that Run has ended.
	ErrStopped = errors.New("the barrier has stopped")
	// ErrRetired says that what a producer sends is discarded, because its trial was deleted. Another may report of a new
	// trial of the same name.
	ErrRetired = errors.New("the producer's trial was deleted")
	// ErrMissing says that neither the stream nor the database has the message.
	ErrMissing = errors.New("the stream does not hold the message")
)

// Database is what a barrier asks Katib DB; *katibdb.DB is one.
type Database interface {
	// Persisted says of each of the messages whether it is persisted.
	Persisted(ctx context.Context, refs []katibdb.Ref) ([]bool, error)
	// Watermarks says how far each of the producers is.
	Watermarks(ctx context.Context, asked []schema.Subject) ([]katibdb.Producer, error)
	// Trial says what is known of a trial.
	Trial(ctx context.Context, name string) (katibdb.Trial, error)
	// Missing counts the numbers of a producer, up to one of them, that are not persisted.
	Missing(ctx context.Context, producer schema.Subject, upTo uint64) (uint64, error)
	// Dead says whether a message is persisted as a dead letter.
	Dead(ctx context.Context, ref katibdb.Ref) (bool, error)
}

var _ Database = (*katibdb.DB)(nil)

// Result is what is known of what was waited for.
type Result struct {
	// Pending is about how many messages are on their way, when the wait ended before they were persisted.
	Pending uint64
	// DeadLetters is how many messages became dead letters.
	DeadLetters uint64
	// Missing is how many numbers, below the greatest that arrived, the stream never got.
	Missing uint64
	// Unknown says that neither the stream nor the database has anything of the trial.
	Unknown bool
	// Deleted says that the trial was deleted, and nothing came after that.
	Deleted bool
}

// Barrier waits for many callers. Make it with New, and let Run run while they wait.
type Barrier struct {
	js      jetstream.JetStream
	db      Database
	poll    *poller
	flights *flights
	cursors *cursors
	readers *semaphore.Weighted // bounds the consumers that headers are read with
}

const mostReaders = 8

// New makes a barrier that does not run yet.
func New(js jetstream.JetStream, db Database) *Barrier {
	b := &Barrier{js: js, db: db, poll: newPoller(db), cursors: newCursors(), readers: semaphore.NewWeighted(mostReaders)}
	b.flights = newFlights(b.fly)
	return b
}

// Run asks the database, while anybody waits, until ctx ends; who waits then gets ErrStopped.
func (b *Barrier) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.poll.run(ctx) })
	group.Go(func() error { return b.flights.run(ctx) })
	return group.Wait()
}

// WaitMessage waits until a message is persisted, and says whether that is as a dead letter. When ctx ends first its error
// is that of ctx, with what was wrong meanwhile. It is ErrRetired when the message was discarded, because its producer's
// trial had been deleted, although it was sent after that.
func (b *Barrier) WaitMessage(ctx context.Context, ref katibdb.Ref) (dead bool, err error) {
	producer, err := b.poll.waitRef(ctx, ref)
	switch {
	case err != nil:
		return false, fmt.Errorf("wait until the message is persisted: %w", err)
	case !ref.Identity.Numbered():
		return b.db.Dead(ctx, ref)
	case producer.Deleted || producer.Messages == 0:
		return false, b.discarded(ctx, ref)
	case producer.Dead == 0:
		return false, nil
	default:
		return b.db.Dead(ctx, ref)
	}
}

// discarded gives ErrRetired when a message that was discarded with its trial's deletion came after that.
func (b *Barrier) discarded(ctx context.Context, ref katibdb.Ref) error {
	trial, err := b.db.Trial(ctx, ref.Subject.Trial)
	if err != nil {
		return fmt.Errorf("look up trial %s: %w", ref.Subject.Trial, err)
	}
	stream, err := b.js.Stream(ctx, schema.Stream)
	if err != nil {
		return failed(ctx, "look up stream "+schema.Stream, err)
	}
	msg, err := stream.GetMsg(ctx, ref.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // what was purged is from before the deletion
	}
	if err != nil {
		return failed(ctx, "look at the message", err)
	}
	if trial.DeletedAfter(epochOf(stream), ref.Sequence, msg.Time) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrRetired, ref.Subject.Producer)
}

// quick is how long a producer's watermark is waited for before the stream is asked what the producer sent.
const quick = time.Second

// WaitProducer waits until all messages of a producer up to the number are persisted. A number that the stream does not
// hold is not waited for: Result.Missing counts them, and when the last itself is one the error is ErrMissing. When ctx ends
// first the error is that of ctx, with what was wrong meanwhile, and Result.Pending is set.
func (b *Barrier) WaitProducer(ctx context.Context, subject schema.Subject, number uint64) (Result, error) {
	soon, cancel := context.WithTimeout(ctx, quick)
	producer, err := b.poll.waitNumber(soon, subject, number)
	cancel()
	switch {
	case err == nil:
		return Result{DeadLetters: producer.Dead, Deleted: producer.Deleted}, nil
	case ctx.Err() != nil || errors.Is(err, ErrStopped):
		return Result{Pending: min(number-min(number, producer.Watermark), mostRefs)}, err
	}
	return b.waitSubject(ctx, subject, number)
}

// WaitTrial waits until every message of the trial, of whatever namespace, that the stream's leader held at the time of the
// call is persisted. When ctx ends first the error is that of ctx, and Result.Pending is set. It is ErrStream when the stream cannot be asked.
func (b *Barrier) WaitTrial(ctx context.Context, trial string) (Result, error) {
	return b.waitTrial(ctx, trial)
}
