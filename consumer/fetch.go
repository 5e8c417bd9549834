package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/pull"
	"github.com/katib-stream/katib-stream/schema"
)

// idleFetch is how long the fetcher waits for the first message of a batch before it asks again. It bounds how long a stop
// waits for it, and how long it waits for a server that has forgotten it.
const idleFetch = time.Second

// backlogWait is how long messages that the stream holds may take to come.
const backlogWait = 50 * time.Millisecond

// errAnew says that the stream was made anew: its messages are not those that the session is about.
var errAnew = errors.New("the stream was made anew")

// fetcher gets messages from the stream and hands them to the workers.
type fetcher struct {
	*Consumer
	from    *pull.Puller
	session *session
	stale   *session // the session that failed last
	pending int      // how many more the stream holds, so there is no need to wait for a first message
}

// run fetches until ctx ends.
func (f *fetcher) run(ctx context.Context, to *dispatcher) {
	pause := newBackOff()
	defer func() {
		if f.from != nil {
			f.from.Close(true)
		}
	}()
	for ctx.Err() == nil {
		batch, err := f.fetch(ctx)
		if ctx.Err() == nil {
			f.health.set(partStream, fetching, err)
		}
		if err != nil {
			wait(ctx, pause.NextBackOff())
			continue
		}
		pause.Reset()
		if err := to.dispatch(ctx, f.session, batch); err != nil {
			return
		}
	}
}

// fetch gets the next batch: it waits for a first message, then takes what comes within Config.BatchWait, as far as the
// batch's limits go. An empty batch is no error. After an error the next call works on a new session.
func (f *fetcher) fetch(ctx context.Context) (batch []jetstream.Msg, err error) {
	if err := f.join(ctx); err != nil {
		return nil, err
	}
	if f.pending == 0 {
		batch, err = f.receive(nil, 1, idleFetch)
	}
	if n := f.cfg.BatchMessages - len(batch); err == nil && n > 0 {
		switch {
		case f.pending > 0: // they are on their way at once, unless others take them
			batch, err = f.receive(batch, min(n, f.pending), max(f.cfg.BatchWait, backlogWait))
		case len(batch) > 0:
			batch, err = f.receive(batch, n, f.cfg.BatchWait)
		}
	}
	if len(batch) > 0 {
		if verifyErr := f.verify(); verifyErr != nil {
			f.giveBack(batch)
			batch, err = nil, verifyErr
		}
	}
	if err != nil {
		f.stale, f.pending = f.session, 0
	}
	if len(batch) > 0 {
		return batch, nil // what was wrong will be met again by the next fetch, if it is still wrong
	}
	return nil, err
}

// join makes the current session the fetcher's, with a puller of its own: what is still on its way to the last one may be
// of a stream that was made anew since.
func (f *fetcher) join(ctx context.Context) error {
	s, err := f.open(ctx, f.stale)
	if err != nil {
		return err
	}
	if s == f.session {
		return nil
	}
	if f.from != nil {
		f.from.Close(s.epoch == f.session.epoch)
		f.from = nil
	}
	from, err := pull.New(f.js, f.cfg.BatchMessages)
	if err != nil {
		return err
	}
	f.from, f.session = from, s
	f.health.started(fetching)
	return nil
}

// receive appends up to n messages to batch.
func (f *fetcher) receive(batch []jetstream.Msg, n int, wait time.Duration) ([]jetstream.Msg, error) {
	f.pending = 0
	messages, err := f.from.Pull(schema.Consumer, n, f.session.batchBytes, wait)
	if errors.Is(err, pull.ErrLarger) { // it was stored when the stream took larger messages
		var one []jetstream.Msg
		one, err = f.from.Pull(schema.Consumer, 1, 0, wait)
		messages = append(messages, one...)
	}
	for _, msg := range messages {
		meta, metaErr := msg.Metadata()
		if metaErr != nil {
			return batch, fmt.Errorf("fetch: read a message's metadata: %w", metaErr)
		}
		f.pending = int(min(meta.NumPending, uint64(f.cfg.BatchMessages)))
		if meta.NumDelivered > 1 {
			f.metrics.redeliveries.Inc()
		}
		batch = append(batch, msg)
	}
	if err != nil {
		return batch, fmt.Errorf("fetch: %w", err)
	}
	return batch, nil
}

// verify makes sure, after messages were received, that they are the session's stream's.
func (f *fetcher) verify() error {
	epoch, err := f.currentEpoch()
	if err == nil && epoch != f.session.epoch {
		err = errAnew
	}
	return err
}

// giveBack has messages delivered again at once, as far as the server hears it.
func (c *Consumer) giveBack(batch []jetstream.Msg) {
	for _, msg := range batch {
		if err := msg.Nak(); err != nil {
			c.log.Debug("give a message back", "error", err)
			return // they will be delivered again after the acknowledgement wait
		}
	}
}
