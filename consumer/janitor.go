package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/pull"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

const (
	janitorBatch   = 1_000
	janitorBytes   = 256 << 10 // of headers: a publisher's can have 64 KiB, and take twenty times that as a map
	janitorTimeout = 10 * time.Second
)

// keepHouse trims the stream until ctx ends. Each replica has a janitor; they don't mind each other, since a purge of
// what is gone does nothing.
func (c *Consumer) keepHouse(ctx context.Context) error {
	for {
		wait(ctx, c.cfg.JanitorEvery/2+rand.N(c.cfg.JanitorEvery))
		if ctx.Err() != nil {
			return nil
		}
		s := c.currentSession()
		if s == nil {
			continue
		}
		err := c.purgeDeleted(ctx, s)
		if err == nil {
			err = c.trim(ctx, s)
		}
		if err == nil {
			err = c.ask(ctx, func(ctx context.Context) error { return c.db.Unbind(ctx, time.Now().Add(-c.cfg.History)) })
		}
		if ctx.Err() == nil {
			c.health.set(partJanitor, everyWorker, err)
		}
	}
}

// ask asks the database something within the time that a commit may take, so that a janitor does not hang on it.
func (c *Consumer) ask(ctx context.Context, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CommitTimeout)
	defer cancel()
	return question(ctx)
}

// trim purges the oldest messages, as far as they are older than Config.History or in the way of new ones, and only up to
// the first that is not persisted or not yet acknowledged.
func (c *Consumer) trim(ctx context.Context, s *session) error {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", schema.Stream, err)
	}
	excess := excessBytes(info, s.largest)
	cutoff := time.Now().Add(-c.cfg.History)
	if info.State.Msgs == 0 || (excess <= 0 && info.State.FirstTime.After(cutoff)) {
		return nil
	}
	headers, err := s.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       info.State.FirstSeq,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		InactiveThreshold: 30 * time.Second,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return fmt.Errorf("read headers of stream %s: %w", schema.Stream, err)
	}
	name, pending := headers.CachedInfo().Name, headers.CachedInfo().NumPending
	defer func() { _ = s.stream.DeleteConsumer(context.WithoutCancel(ctx), name) }() // or it ends when it is idle
	from, err := pull.New(c.js, janitorBatch)
	if err != nil {
		return err
	}
	defer from.Close(false)
	t := trimmer{Consumer: c, session: s, from: from, headers: name, pending: pending, cutoff: cutoff, excess: excess}
	return t.run(ctx)
}

// excessBytes is how much must go so that the stream has room again: nothing, until less than a tenth of it, or less than
// two of the largest messages, is free; then down to a fifth.
func excessBytes(info *jetstream.StreamInfo, largest int) int64 {
	limit := info.Config.MaxBytes
	if limit <= 0 {
		return 0
	}
	high := max(limit-max(limit/10, 2*int64(largest)), limit/2)
	used := int64(info.State.Bytes)
	if used <= high {
		return 0
	}
	return used - (high - limit/10)
}

// trimmer is one pass of the janitor.
type trimmer struct {
	*Consumer
	session *session
	from    *pull.Puller
	headers string // the consumer that they are read with
	read    uint64 // how many messages were
	pending uint64 // and how many are not yet
	cutoff  time.Time
	excess  int64
}

func (t *trimmer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		refs, more, err := t.candidates(ctx)
		if err != nil || len(refs) == 0 {
			return err
		}
		var persisted []bool
		err = t.ask(ctx, func(ctx context.Context) (err error) {
			persisted, err = t.db.Persisted(ctx, refs)
			return err
		})
		if err != nil {
			return fmt.Errorf("look up what is persisted: %w", err)
		}
		n := slices.Index(persisted, false)
		if n < 0 {
			n = len(refs)
		}
		more = more && n == len(refs)
		if n == 0 {
			return nil
		}
		below, err := t.belowFloor(ctx, refs[n-1].Sequence+1)
		if err != nil {
			return err
		}
		if err := t.purge(ctx, refs[0].Sequence, below); err != nil {
			return err
		}
		if !more || below <= refs[n-1].Sequence {
			return nil
		}
	}
	return nil
}

// candidates reads the next messages that are old or in the way; more is false when it met one that is neither.
func (t *trimmer) candidates(ctx context.Context) (refs []katibdb.Ref, more bool, err error) {
	if t.pending == 0 {
		return nil, false, nil
	}
	batch, err := t.from.Pull(t.headers, int(min(t.pending, janitorBatch)), janitorBytes, time.Second)
	if err != nil {
		return nil, false, fmt.Errorf("read headers: %w", err)
	}
	more = true
	for _, msg := range batch {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, false, fmt.Errorf("read headers: %w", err)
		}
		t.pending = meta.NumPending
		if t.read++; meta.Sequence.Consumer != t.read {
			return nil, false, fmt.Errorf("read headers: message %d of the stream came after a gap", meta.Sequence.Stream)
		}
		if !more || (t.excess <= 0 && meta.Timestamp.After(t.cutoff)) {
			more = false
			continue
		}
		t.excess -= sizeOf(msg)
		refs = append(refs, t.refOf(msg, meta))
	}
	return refs, more, ctx.Err()
}

func (t *trimmer) refOf(msg jetstream.Msg, meta *jetstream.MsgMetadata) katibdb.Ref {
	// Without its body the message does not decode, but it keeps its identity.
	decoded, _ := schema.Decode(schema.Stored{
		Subject: msg.Subject(), Header: msg.Headers(), Epoch: t.session.epoch, Sequence: meta.Sequence.Stream,
	})
	return katibdb.Ref{
		Subject: decoded.Subject, Identity: decoded.Identity, Epoch: t.session.epoch, Sequence: meta.Sequence.Stream, Time: meta.Timestamp,
	}
}

// belowFloor lowers a sequence to what is acknowledged: purging messages in flight has confused servers.
func (t *trimmer) belowFloor(ctx context.Context, below uint64) (uint64, error) {
	info, err := t.session.consumer.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look at consumer %s: %w", schema.Consumer, err)
	}
	return min(below, info.AckFloor.Stream+1), nil
}

func (t *trimmer) purge(ctx context.Context, first, below uint64) error {
	if below <= first {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, janitorTimeout)
	defer cancel()
	if err := t.session.stream.Purge(limited, jetstream.WithPurgeSequence(below)); err != nil {
		return fmt.Errorf("trim stream %s below %d: %w", schema.Stream, below, err)
	}
	t.metrics.trimmed.Add(float64(below - first))
	t.log.Info("trimmed persisted history", "stream", schema.Stream, "from", first, "below", below)
	err := t.ask(ctx, func(ctx context.Context) error { return t.db.Forget(ctx, t.session.epoch, below) })
	return wrap(err, "forget receipts below %d", below)
}

// sizeOf estimates what a message takes in the stream: its record, subject, headers and body.
func sizeOf(msg jetstream.Msg) int64 {
	const record = 40
	size := record + len(msg.Subject())
	for name, values := range msg.Headers() {
		for _, value := range values {
			size += len(name) + len(value) + 4
		}
	}
	sizes := msg.Headers()["Nats-Msg-Size"]
	if len(sizes) == 0 {
		return int64(size) // the headers cannot be read
	}
	body, _ := strconv.Atoi(sizes[len(sizes)-1]) // the server's word stands last; a publisher can write one, too
	return int64(size + body)
}
