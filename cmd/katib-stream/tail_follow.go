package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/schema"
)

// follower reads a trial's messages and keeps its place in the stream. When it loses its consumer it begins again from
// there, with another. The library's ordered consumer does that too, but without a word, and whatever ctx says.
type follower struct {
	*tailOptions
	js        jetstream.JetStream
	log       *slog.Logger
	messages  jetstream.MessagesContext
	delivered uint64 // by this consumer
	sequence  uint64 // in the stream: everything up to this is read, or not wanted; 0 while start alone says so
}

// open begins to read; the caller stops it.
func (f *follower) open(consumer jetstream.Consumer) (err error) {
	f.messages, err = consumer.Messages(jetstream.PullExpiry(10*time.Second), jetstream.PullHeartbeat(time.Second))
	f.delivered = 0
	if err != nil {
		return fmt.Errorf("read trial %s: %w", f.trial, err)
	}
	return nil
}

// next waits for a message until ctx ends; more says that the stream held further ones when it was sent.
func (f *follower) next(ctx context.Context) (entries []entry, more bool, err error) {
	for {
		msg, err := f.messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		if err == nil {
			at, err := msg.Metadata()
			if err == nil && at.Sequence.Consumer == f.delivered+1 {
				f.delivered, f.sequence = at.Sequence.Consumer, at.Sequence.Stream
				return entriesOf(msg), at.NumPending > 0, nil
			}
		}
		f.resume(ctx)
	}
}

// follow prints what comes until ctx ends, whatever becomes of NATS and of the stream meanwhile.
func (f *follower) follow(ctx context.Context, print *printer) error {
	for {
		entries, _, err := f.next(ctx)
		if err != nil {
			return err
		}
		if err := print.all(entries); err != nil {
			return err
		}
	}
}

// resume begins to read again where it was, as soon as that can be done, and says once why it cannot.
func (f *follower) resume(ctx context.Context) {
	f.messages.Stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	reason := ""
	for {
		err := f.reopen(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if err.Error() != reason {
			reason = err.Error()
			f.log.Warn("the trial cannot be read; trying again until it can", "trial", f.trial, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (f *follower) reopen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	stream, err := f.js.Stream(ctx, schema.Stream)
	if err != nil {
		return explain(f.js.Conn(), err)
	}
	if stream.CachedInfo().State.LastSeq < f.sequence {
		f.sequence = 0 // a new stream, which counts from 1 again
	}
	begin := *f.tailOptions
	if f.sequence > 0 {
		begin.start = time.Time{}
	}
	consumer, err := begin.from(ctx, f.js, f.sequence+1)
	if err != nil {
		return err
	}
	return f.open(consumer)
}

// watch says why nothing comes for a while.
func (f *follower) watch(nc *nats.Conn) {
	nc.SetDisconnectErrHandler(func(nc *nats.Conn, _ error) {
		if !nc.IsClosed() {
			f.log.Warn("NATS is away; going on when it is back")
		}
	})
	nc.SetReconnectHandler(func(nc *nats.Conn) {
		f.log.Info("connected to NATS again", "server", natsconn.Redact(nc.ConnectedUrl()))
	})
}
