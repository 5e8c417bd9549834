package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// consumer reads the trial from where the options say. For the last lines it goes back in the stream in ever larger
// steps, asking each time how many messages of the trial would come, so that a long history need not be read.
func (o *tailOptions) consumer(ctx context.Context, js jetstream.JetStream, state jetstream.StreamState) (jetstream.Consumer, error) {
	if o.since != "" {
		return o.from(ctx, js, 1)
	}
	for back := uint64(1 << 10); ; back *= 16 {
		first := max(1, state.FirstSeq)
		start := first
		if state.LastSeq > back {
			start = max(first, state.LastSeq-back)
		}
		consumer, err := o.from(ctx, js, start)
		if err != nil || start == first || consumer.CachedInfo().NumPending >= uint64(o.lines) {
			return consumer, err
		}
	}
}

// from reads the trial from a sequence, or from the start time if there is one.
func (o *tailOptions) from(ctx context.Context, js jetstream.JetStream, sequence uint64) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		FilterSubjects:    []string{schema.TrialFilter(o.namespace, o.trial)},
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       sequence,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: 30 * time.Second,
		Replicas:          1,
		MemoryStorage:     true,
	}
	if !o.start.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &o.start
	}
	consumer, err := js.CreateConsumer(ctx, schema.Stream, cfg)
	if err != nil {
		return nil, fmt.Errorf("read trial %s: %w", o.trial, err)
	}
	return consumer, nil
}

// entry is one line of what tail prints: an event, the end of a producer's run, or a message that is no report.
type entry struct {
	subject  schema.Subject
	sequence uint64
	stored   time.Time
	event    schema.Event
	final    bool
	broken   error
}

// entriesOf takes a message apart; there is at least one entry.
func entriesOf(msg jetstream.Msg) (entries []entry) {
	stored := schema.Stored{Subject: msg.Subject(), Header: msg.Headers(), Body: msg.Data()}
	if at, err := msg.Metadata(); err == nil {
		stored.Sequence, stored.Time = at.Sequence.Stream, at.Timestamp.UTC()
	}
	decoded, err := schema.Decode(stored)
	base := entry{subject: decoded.Subject, sequence: stored.Sequence, stored: stored.Time}
	if err != nil {
		base.broken = err
		return []entry{base}
	}
	for _, event := range decoded.Events {
		one := base
		one.event = event
		entries = append(entries, one)
	}
	if decoded.Final {
		base.final = true
		entries = append(entries, base)
	}
	return entries
}
