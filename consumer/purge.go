package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// purgeDeleted purges the messages of trials that were deleted. It is for the room alone: the database knows them.
func (c *Consumer) purgeDeleted(ctx context.Context, s *session) error {
	var pending []katibdb.Purge
	err := c.ask(ctx, func(ctx context.Context) (err error) {
		pending, err = c.db.PendingPurges(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range pending {
		if err := c.purgeTrial(ctx, s, p); err != nil {
			return fmt.Errorf("purge what is left of deleted trial %s: %w", p.Trial, err)
		}
	}
	return nil
}

// purgeTrial purges what is acknowledged of it, and comes back for the rest at the next look.
func (c *Consumer) purgeTrial(ctx context.Context, s *session, p katibdb.Purge) error {
	ctx, cancel := context.WithTimeout(ctx, janitorTimeout)
	defer cancel()
	filter := schema.TrialFilter("*", p.Trial)
	below := p.Sequence + 1
	if p.Epoch != s.epoch {
		var err error
		if below, err = firstAfter(ctx, s, filter, p.DeletedAt); err != nil {
			return err
		}
	}
	info, err := s.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at consumer %s: %w", schema.Consumer, err)
	}
	floor := info.AckFloor.Stream + 1
	if below > 1 && floor > 1 {
		err := s.stream.Purge(ctx, jetstream.WithPurgeSubject(filter), jetstream.WithPurgeSequence(min(below, floor)))
		if err != nil {
			return err
		}
	}
	if floor < below {
		return nil // the rest is in flight
	}
	c.log.Info("purged a deleted trial", "trial", p.Trial, "below", below)
	return c.ask(ctx, func(ctx context.Context) error { return c.db.PurgeDone(ctx, p) })
}

// firstAfter is the sequence of the first message under the filter that was stored after a time, else that after the last
// of the stream.
func firstAfter(ctx context.Context, s *session, filter string, at time.Time) (uint64, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	after := at.Add(time.Millisecond) // deletions are to the millisecond
	found, err := s.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject:     filter,
		DeliverPolicy:     jetstream.DeliverByStartTimePolicy,
		OptStartTime:      &after,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		InactiveThreshold: 10 * time.Second,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.stream.DeleteConsumer(context.WithoutCancel(ctx), found.CachedInfo().Name) }() // or it ends when it is idle
	if found.CachedInfo().NumPending == 0 {
		return info.State.LastSeq + 1, nil
	}
	msg, err := found.Next(jetstream.FetchContext(ctx))
	if err != nil {
		return 0, err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return 0, err
	}
	return meta.Sequence.Stream, nil
}
