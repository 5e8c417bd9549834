package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// idleFetch is how long a worker waits for the first message of a batch before it asks again. It bounds how long a stop
// waits for a worker that has nothing to do, and how long a worker waits for a server that has forgotten it.
const idleFetch = time.Second

// errAnew says that the durable consumer counts its deliveries from 1 again: it, and perhaps the stream, was made anew.
var errAnew = errors.New("the durable consumer was made anew")

// fetch gets the next batch: it waits for a first message, then takes what comes within Config.BatchWait, as far as the
// batch's limits go. An empty batch is no error. After an error the next call works on a new session.
func (w *worker) fetch(ctx context.Context) (batch []jetstream.Msg, err error) {
	if err := w.join(ctx); err != nil {
		return nil, err
	}
	if !w.more {
		batch, err = w.receive(nil, 1, idleFetch)
	}
	if err == nil && (w.more || len(batch) > 0) {
		batch, err = w.receive(batch, w.cfg.BatchMessages, w.cfg.BatchWait)
	}
	if err != nil {
		w.stale, w.more = w.session, false
	}
	if errors.Is(err, errAnew) {
		return nil, err // their identities would be of the wrong epoch; they will be delivered again
	}
	if len(batch) > 0 {
		return batch, nil // what was wrong will be met again by the next fetch, if it is still wrong
	}
	return nil, err
}

// join makes the current session the worker's.
func (w *worker) join(ctx context.Context) error {
	s, err := w.open(ctx, w.stale)
	if err != nil {
		return err
	}
	if s != w.session {
		w.session, w.last = s, 0
		w.health.started(w.id)
	}
	return nil
}

// receive appends up to n messages to batch. It is the server that ends the wait: if we did, and left, messages that are
// already on their way would lie until Config.AckWait is over.
func (w *worker) receive(batch []jetstream.Msg, n int, wait time.Duration) ([]jetstream.Msg, error) {
	w.more = false
	fetched, err := w.session.consumer.Fetch(n, jetstream.FetchMaxWait(wait), jetstream.FetchMaxBytes(w.session.batchBytes))
	if err != nil {
		return batch, fmt.Errorf("fetch: %w", err)
	}
	for msg := range fetched.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return batch, fmt.Errorf("fetch: read a message's metadata: %w", err)
		}
		if meta.Sequence.Consumer <= w.last {
			return batch, errAnew
		}
		w.last = meta.Sequence.Consumer
		w.more = meta.NumPending > 0
		if meta.NumDelivered > 1 {
			w.metrics.redeliveries.Inc()
		}
		batch = append(batch, msg)
	}
	if err := fetched.Error(); err != nil {
		return batch, fmt.Errorf("fetch: %w", err)
	}
	return batch, nil
}
