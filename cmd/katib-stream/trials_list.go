package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// trialList is what the stream holds.
type trialList struct {
	trials []trial
	strays uint64 // messages on subjects that are no trial's
}

// list reads how many messages each subject has, and of each subject the last message's headers.
func (c *client) list(ctx context.Context, nc *nats.Conn, filter string) (trialList, error) {
	js, _, info, err := c.stream(ctx, nc, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return trialList{}, err
	}
	found := map[schema.Subject]*trial{}
	list := trialList{trials: []trial{}}
	for name, messages := range info.State.Subjects {
		subject, err := schema.ParseSubject(name)
		if err != nil {
			list.strays += messages
			continue
		}
		t := trialOf(found, subject)
		t.Producers++
		t.Messages += messages
	}
	if len(found) > 0 {
		if err := c.lastMessages(ctx, js, filter, info.State.Subjects, found); err != nil {
			return trialList{}, err
		}
	}
	for _, t := range found {
		if t.Last.IsZero() {
			continue // purged since it was counted
		}
		t.Ended = t.EndedProducers == t.Producers
		list.trials = append(list.trials, *t)
	}
	slices.SortFunc(list.trials, func(a, b trial) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Trial, b.Trial))
	})
	return list, nil
}

func trialOf(found map[schema.Subject]*trial, subject schema.Subject) *trial {
	key := schema.Subject{Namespace: subject.Namespace, Trial: subject.Trial}
	if found[key] == nil {
		found[key] = &trial{Namespace: subject.Namespace, Trial: subject.Trial}
	}
	return found[key]
}

// lastMessages adds what the last message of each of the counted subjects says.
func (c *client) lastMessages(ctx context.Context, js jetstream.JetStream, filter string, counted map[string]uint64, found map[schema.Subject]*trial) error {
	consumer, err := js.OrderedConsumer(ctx, schema.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{filter},
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		HeadersOnly:       true,
		InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("read the trials' last messages: %w", err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read the trials' last messages: %w", err)
	}
	defer messages.Stop()
	for {
		reading, cancel := context.WithTimeout(ctx, c.timeout)
		msg, err := messages.Next(jetstream.NextContext(reading))
		cancel()
		if err != nil {
			return fmt.Errorf("read the trials' last messages: %w", err)
		}
		at, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read the trials' last messages: %w", err)
		}
		if counted[msg.Subject()] > 0 { // a producer that came later would make the numbers disagree
			note(found, msg, at.Timestamp.UTC())
		}
		if at.NumPending == 0 {
			return nil
		}
	}
}

func note(found map[schema.Subject]*trial, msg jetstream.Msg, stored time.Time) {
	subject, err := schema.ParseSubject(msg.Subject())
	if err != nil {
		return
	}
	t := trialOf(found, subject)
	if stored.After(t.Last) {
		t.Last = stored
	}
	if msg.Headers().Get(schema.HeaderFinal) == "true" {
		t.EndedProducers++
	}
}
