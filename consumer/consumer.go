// Package consumer takes messages from the stream KATIB_METRICS to Katib DB: it fetches them in batches, commits each
// batch in one transaction, and acknowledges only after the commit. What can never be persisted becomes a dead letter.
//
// Any number of workers, in any number of processes, share one durable consumer; the database decides what is news and
// what a duplicate, so a crash anywhere means redelivery and nothing else.
package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/katibdb"
)

// Store is what a worker needs of Katib DB. Persist commits a batch in one transaction: after an error nothing of it is
// committed for certain, and calling it again with the same messages is safe. An error that is katibdb.ErrData will come
// back whenever the batch does; any other may pass. Attempts and NoteAttempts keep count of attempts that did not end.
type Store interface {
	Persist(ctx context.Context, batch []katibdb.Message) ([]katibdb.Outcome, error)
	Attempts(ctx context.Context, epoch string, sequences []uint64) (unended map[uint64]uint64, err error)
	NoteAttempts(ctx context.Context, epoch string, unended map[uint64]uint64) error
	Ping(ctx context.Context) error
}

// History is what the janitor needs of Katib DB.
type History interface {
	Persisted(ctx context.Context, refs []katibdb.Ref) ([]bool, error)
	Forget(ctx context.Context, epoch string, below uint64) error
	Unbind(ctx context.Context, before time.Time) error
	PendingPurges(ctx context.Context) ([]katibdb.Purge, error)
	PurgeDone(ctx context.Context, p katibdb.Purge) error
}

// Database is Katib DB as the consumer sees it; *katibdb.DB is one.
type Database interface {
	Store
	History
}

var _ Database = (*katibdb.DB)(nil)

// Consumer persists the stream's messages. Make it with New, run it with Run.
type Consumer struct {
	js       jetstream.JetStream
	db       Database
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	health   *health
	sessions sessions
	verified verification
	busy     atomic.Int32 // deliveries that workers have in hand
}

// New returns a consumer that is not running yet. It returns an error when cfg is out of range; it does not touch the
// network.
func New(js jetstream.JetStream, db Database, cfg Config) (*Consumer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure consumer: %w", err)
	}
	return &Consumer{
		js:      js,
		db:      db,
		cfg:     cfg,
		log:     cfg.Logger,
		metrics: newMetrics(cfg.Registerer),
		health:  newHealth(cfg.Logger),
	}, nil
}

// Run works until ctx ends: it sets the streams and the durable consumer up, waiting for NATS as long as it takes, then
// runs a fetcher, the workers and the janitor. When ctx ends it stops fetching, finishes the batches that are under way within
// Config.StopTimeout, acknowledges them, and returns nil. Call it once.
func (c *Consumer) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	to := newDispatcher(c)
	group.Go(func() error {
		defer to.end()
		(&fetcher{Consumer: c}).run(ctx, to)
		return nil
	})
	for _, w := range to.workers {
		group.Go(func() error { w.run(ctx, to); return nil })
	}
	group.Go(func() error { to.suspects.runSuspects(ctx, to); return nil })
	group.Go(func() error { return c.watch(ctx) })
	group.Go(func() error { return c.keepHouse(ctx) })
	err := group.Wait()
	if c.currentSession() == nil {
		c.log.Info("consumer stopped")
		return err // it never had a message
	}
	// Acknowledgements are written without waiting; they must leave before the connection is closed.
	flush, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if flushErr := c.js.Conn().FlushWithContext(flush); flushErr != nil {
		c.log.Warn("acknowledgements may not have left; their messages will be delivered again", "error", flushErr)
	}
	c.log.Info("consumer stopped")
	return err
}

// Ready returns nil when messages can be taken to the database: NATS is connected, the streams are set up, and the
// database answers and takes what it is given. Otherwise it says what is wrong.
func (c *Consumer) Ready(ctx context.Context) error {
	if !c.js.Conn().IsConnected() {
		return fmt.Errorf("not connected to NATS: %s", c.js.Conn().Status())
	}
	if err := c.health.err(); err != nil {
		return err
	}
	if err := c.db.Ping(ctx); err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	return nil
}
