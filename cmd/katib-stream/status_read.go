package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// refsAtOnce is how many messages the database is asked about at once.
const refsAtOnce = 5_000

// statusReading gathers what is known of a trial: first from the headers of its messages in the stream, each of which the
// database is asked about, then from the database's own counts. In this order what moves meanwhile is not taken for missing.
type statusReading struct {
	statusOptions
	db        *katibdb.DB // nil when only the stream is asked
	found     trialStatus
	producers map[schema.Subject]*producerStatus
	refs      []katibdb.Ref // to ask the database about
}

func (r *statusReading) read(ctx context.Context, nc *nats.Conn) (trialStatus, error) {
	js, _, info, err := r.stream(ctx, nc)
	if err != nil {
		return trialStatus{}, err
	}
	r.found.Trial = r.trial
	if err := r.readStream(ctx, js, info); err != nil {
		return trialStatus{}, err
	}
	known := r.found.Stored > 0
	if r.db != nil {
		inDatabase, err := r.readDatabase(ctx)
		if err != nil {
			return trialStatus{}, err
		}
		known = known || inDatabase
	}
	if !known {
		return trialStatus{}, r.unknownTrial(r.db != nil)
	}
	r.found.Producers = make([]*producerStatus, 0, len(r.producers))
	for _, p := range r.producers {
		r.found.Producers = append(r.found.Producers, p)
	}
	slices.SortFunc(r.found.Producers, func(a, b *producerStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Producer, b.Producer))
	})
	return r.found, nil
}

// readStream reads the headers of what the stream holds of the trial now.
func (r *statusReading) readStream(ctx context.Context, js jetstream.JetStream, info *jetstream.StreamInfo) error {
	consumer, err := js.OrderedConsumer(ctx, schema.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{schema.TrialFilter("*", r.trial)},
		HeadersOnly:       true,
		InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("read trial %s: %w", r.trial, err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read trial %s: %w", r.trial, err)
	}
	defer messages.Stop()
	for {
		reading, cancel := context.WithTimeout(ctx, r.timeout)
		msg, err := messages.Next(jetstream.NextContext(reading))
		cancel()
		if err != nil {
			return fmt.Errorf("read trial %s: %w", r.trial, err)
		}
		at, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read trial %s: %w", r.trial, err)
		}
		if at.Sequence.Stream <= info.State.LastSeq {
			r.note(msg, at, info.Config.Metadata[schema.MetadataEpoch])
		}
		last := at.NumPending == 0 || at.Sequence.Stream >= info.State.LastSeq
		if last || len(r.refs) == refsAtOnce {
			if err := r.ask(ctx); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func (r *statusReading) note(msg jetstream.Msg, at *jetstream.MsgMetadata, epoch string) {
	r.found.Stored++
	// Without its body the message does not decode, but it keeps its identity.
	m, _ := schema.Decode(schema.Stored{Subject: msg.Subject(), Header: msg.Headers(), Epoch: epoch, Sequence: at.Sequence.Stream})
	ref := katibdb.Ref{Subject: m.Subject, Identity: m.Identity, Epoch: epoch, Sequence: at.Sequence.Stream, Time: at.Timestamp}
	r.refs = append(r.refs, ref)
	subject, err := schema.ParseSubject(msg.Subject())
	if err != nil {
		r.found.strays++
		return
	}
	p := r.producer(subject)
	p.Stored++
	p.Ended = p.Ended || msg.Headers().Get(schema.HeaderFinal) == "true"
	if m.Identity.Numbered() {
		p.highest = max(p.highest, m.Identity.Number)
	}
}

func (r *statusReading) producer(subject schema.Subject) *producerStatus {
	p := r.producers[subject]
	if p == nil {
		p = r.newProducer(subject)
		r.producers[subject] = p
	}
	return p
}

func (r *statusReading) newProducer(subject schema.Subject) *producerStatus {
	p := &producerStatus{Namespace: subject.Namespace, Producer: subject.Producer, pending: map[uint64]struct{}{}}
	if r.db != nil {
		p.databaseStatus = &databaseStatus{}
	}
	return p
}
