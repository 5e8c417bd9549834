package main

import (
	"context"
	"fmt"

	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// ask asks the database which of the messages read so far are persisted.
func (r *statusReading) ask(ctx context.Context) error {
	refs := r.refs
	r.refs = r.refs[:0]
	if r.db == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	persisted, err := r.db.Persisted(ctx, refs)
	if err != nil {
		return r.withoutDatabase(err)
	}
	for i, ref := range refs {
		p := r.producers[ref.Subject]
		if p == nil {
			p = r.newProducer(ref.Subject) // a stray counts only in the sum
		}
		p.count(ref.Identity, persisted[i])
		if !persisted[i] {
			r.found.Pending++
		}
	}
	return nil
}

// count takes in what the database says of a message that the stream holds.
func (p *producerStatus) count(id schema.Identity, persisted bool) {
	switch {
	case !persisted:
		p.Pending++
		if id.Numbered() {
			p.pending[id.Number] = struct{}{}
		}
	case !id.Numbered():
		p.Persisted++ // the database counts only what has a number
	}
}

// readDatabase adds what the database says of the trial, and says whether it knows it.
func (r *statusReading) readDatabase(ctx context.Context) (known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	trial, err := r.db.Trial(ctx, r.trial)
	if err != nil {
		return false, r.withoutDatabase(err)
	}
	producers := map[schema.Subject]katibdb.Producer{}
	for _, producer := range trial.Producers {
		subject := schema.Subject{Namespace: producer.Namespace, Trial: r.trial, Producer: producer.ID}
		producers[subject] = producer
		r.producer(subject)
	}
	for subject, p := range r.producers {
		p.add(producers[subject])
	}
	everything := r.found.Pending == 0
	r.found.Persisted = &everything
	if !trial.DeletedAt.IsZero() {
		r.found.DeletedAt = &trial.DeletedAt
	}
	return trial.Namespace != "" || r.found.DeletedAt != nil || len(trial.Producers) > 0, nil
}

// add takes in what the database says of the producer; in is zero when it does not know it. Missing is what has neither
// been persisted nor is on its way, below the greatest number.
func (p *producerStatus) add(in katibdb.Producer) {
	p.Persisted += in.Messages
	p.Watermark, p.DeadLetters, p.Events, p.Deleted = in.Watermark, in.Dead, in.Events, in.Deleted
	p.Ended = p.Ended || in.Final > 0
	if p.Deleted {
		return
	}
	greatest := max(in.Highest, in.Final)
	arrived := greatest - in.Missing
	for number := range p.pending {
		if number > in.Watermark {
			arrived++
		}
	}
	greatest = max(greatest, p.highest)
	p.Missing = greatest - min(greatest, arrived)
}

func (r *statusReading) withoutDatabase(err error) error {
	return fmt.Errorf("%w; check --db, or Katib's variables DB_NAME, DB_USER, DB_PASSWORD and the like", err)
}
