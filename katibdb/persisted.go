package katibdb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/katib-stream/katib-stream/schema"
)

// Persisted says of each of the messages whether it is persisted. Dead letters that are recorded, and messages of a trial
// that was deleted after them, count.
func (db *DB) Persisted(ctx context.Context, refs []Ref) ([]bool, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	var answers []bool
	err := db.read(ctx, func(s *session) (err error) {
		answers, err = s.persisted(ctx, messagesOf(refs))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up what is persisted: %w", err)
	}
	return answers, nil
}

func messagesOf(refs []Ref) []Message {
	batch := make([]Message, len(refs))
	for i, ref := range refs {
		batch[i] = Message{
			Message: schema.Message{Subject: ref.Subject, Identity: ref.Identity},
			Epoch:   ref.Epoch, Sequence: ref.Sequence, Time: ref.Time,
		}
	}
	return batch
}

// persisted reads without locks: what is persisted stays so.
func (s *session) persisted(ctx context.Context, batch []Message) ([]bool, error) {
	keys := keysOf(batch)
	trials, err := s.readTrials(ctx, keys.trials, "")
	if err != nil {
		return nil, err
	}
	known, err := s.lookUp(ctx, keys, batch)
	if err != nil {
		return nil, err
	}
	known.trials = trials
	answers := make([]bool, len(batch))
	var again []int
	for i := range batch {
		key, numbered := keyOf(batch[i].Subject, batch[i].Identity), batch[i].Identity.Numbered()
		answers[i] = known.settled(&batch[i])
		if !answers[i] && onlyReceipt(key, numbered, known.producers[key.producerKey]) {
			again = append(again, i)
		}
	}
	if len(again) == 0 {
		return answers, nil
	}
	// A receipt that isn't there may have gone since its producer was read: the watermark passed it, or the trial was deleted.
	if known.trials, err = s.readTrials(ctx, keys.trials, ""); err != nil {
		return nil, err
	}
	if known.producers, err = s.readProducers(ctx, keys.producers); err != nil {
		return nil, err
	}
	for _, i := range again {
		answers[i] = known.settled(&batch[i])
	}
	return answers, nil
}

// settled reports whether a message is persisted or was deleted with its trial.
func (s state) settled(m *Message) bool {
	key := keyOf(m.Subject, m.Identity)
	return s.has(key, m.Identity.Numbered()) || deleted(m, s.trials[key.trial], s.producers[key.producerKey])
}

// Dead reports whether a message is recorded as a dead letter, of a trial that was not deleted since.
func (db *DB) Dead(ctx context.Context, ref Ref) (bool, error) {
	key, dead := keyOf(ref.Subject, ref.Identity), false
	err := db.read(ctx, func(s *session) error {
		query := "SELECT dead FROM stream_receipts WHERE trial_name = ? AND namespace = ? AND source = ? AND number = ?"
		args := []any{key.trial, key.namespace, key.producer, int64(key.number)}
		return s.query(ctx, "read receipt", query, args, func(rows *sql.Rows) error { return rows.Scan(&dead) })
	})
	if err != nil {
		return false, fmt.Errorf("look up a dead letter: %w", err)
	}
	return dead, nil
}
