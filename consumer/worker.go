package consumer

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// worker takes one batch after the other from the stream to the database.
type worker struct {
	*Consumer
	id      int
	log     *slog.Logger
	session *session
	stale   *session // the session that failed last
	last    uint64   // delivery sequence of the session's last message
	more    bool     // the stream holds more, so there is no need to wait for a first message
	// stopping is closed when no new batch is to be begun, and what fails is not to be tried again.
	stopping <-chan struct{}
}

func newWorker(c *Consumer, id int) *worker {
	return &worker{Consumer: c, id: id, log: c.log.With("worker", id)}
}

// run fetches and settles batches until ctx ends.
func (w *worker) run(ctx context.Context) error {
	work, stop := outlive(ctx, w.cfg.StopTimeout)
	defer stop()
	w.stopping = ctx.Done()
	pause := newBackOff()
	for ctx.Err() == nil {
		batch, err := w.fetch(ctx)
		if ctx.Err() == nil {
			w.health.set(partStream, w.id, err)
		}
		if err != nil {
			wait(ctx, pause.NextBackOff())
			continue
		}
		pause.Reset()
		if len(batch) > 0 {
			w.settle(work, batch)
		}
	}
	return nil
}

// outlive gives a context for work that may go on for a while after ctx ended.
func outlive(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		wait(work, while)
		cancel()
	})
	return work, func() { stop(); cancel() }
}

// newBackOff pauses 0.1 s at first and 15 s at most, a random half of it more or less.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	b.MaxInterval = 15 * time.Second
	return b
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
