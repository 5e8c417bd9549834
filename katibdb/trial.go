package katibdb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// Trial is what the database knows of a trial, beside its rows.
type Trial struct {
	// Namespace is the one that the trial is bound to, "" while there is none.
	Namespace string
	// DeletedAt is when a trial of this name was last deleted, zero when never; DeletedEpoch and DeletedSequence are the last
	// message that the stream held then, "" and 0 when it could not be asked.
	DeletedAt       time.Time
	DeletedEpoch    string
	DeletedSequence uint64
	// Producers are sorted by namespace and id; those of deleted trials of the name are among them.
	Producers []Producer
}

// Producer is what the database knows of one.
type Producer struct {
	Namespace, ID string
	// Up to Watermark everything is persisted. Highest is the greatest number that is, and Missing says how many below it
	// are not.
	Watermark, Highest, Missing uint64
	// Messages counts what was persisted, Events the events in it, and Dead the dead letters among the messages.
	Messages, Events, Dead uint64
	// Final is the number of the producer's last message, 0 while that is not persisted.
	Final uint64
	// Deleted says that its trial was deleted. What it sends is discarded, so nothing is missing.
	Deleted bool
}

// nameable reports whether our tables can hold a trial's name, as they can every one that a message has. Katib's table may
// hold others; MySQL would take a blank at the end for none, and refuse to compare letters beyond ASCII.
func nameable(trial string) bool {
	return len(trial) <= 255 && !strings.ContainsFunc(trial, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Trial returns what is known of a trial: of an unknown one, a zero Trial.
func (db *DB) Trial(ctx context.Context, name string) (Trial, error) {
	var trial Trial
	if !nameable(name) {
		return trial, nil
	}
	err := db.read(ctx, func(s *session) error {
		rows, err := s.readTrials(ctx, []string{name}, "")
		if err != nil {
			return err
		}
		row := rows[name]
		trial = Trial{
			Namespace: row.namespace,
			DeletedAt: row.deletion.At, DeletedEpoch: row.deletion.Epoch, DeletedSequence: row.deletion.Sequence,
		}
		trial.Producers, err = s.producersOf(ctx, name)
		return err
	})
	if err != nil {
		return Trial{}, fmt.Errorf("look up trial %s: %w", name, err)
	}
	return trial, nil
}

// producersOf reads a trial's producers with one statement, so that their watermarks and receipts fit together.
func (s *session) producersOf(ctx context.Context, trial string) ([]Producer, error) {
	const query = `SELECT namespace, producer, watermark, receipts, final_number, messages, events, dead, deleted,
		CASE WHEN receipts > 0 THEN COALESCE((SELECT r.number FROM stream_receipts r
			WHERE r.trial_name = p.trial_name AND r.namespace = p.namespace AND r.source = p.producer
			ORDER BY r.number DESC LIMIT 1), 0) ELSE 0 END
		FROM stream_producers p WHERE trial_name = ? ORDER BY namespace, producer`
	var producers []Producer
	err := s.query(ctx, "read producers", query, []any{trial}, func(rows *sql.Rows) error {
		var p Producer
		var receipts, highest uint64
		err := rows.Scan(&p.Namespace, &p.ID, &p.Watermark, &receipts, &p.Final, &p.Messages, &p.Events, &p.Dead, &p.Deleted, &highest)
		p.Highest = max(p.Watermark, highest)
		if said := p.Watermark + receipts; !p.Deleted {
			p.Missing = max(p.Highest, p.Final, said) - said
		}
		producers = append(producers, p)
		return err
	})
	return producers, err
}

// Missing counts the numbers of a producer, up to one of them, that are not persisted.
func (db *DB) Missing(ctx context.Context, producer schema.Subject, upTo uint64) (uint64, error) {
	missing := upTo
	err := db.read(ctx, func(s *session) error {
		const query = `SELECT watermark, (SELECT COUNT(*) FROM stream_receipts r
				WHERE r.trial_name = p.trial_name AND r.namespace = p.namespace AND r.source = p.producer
					AND r.number > p.watermark AND r.number <= ?)
			FROM stream_producers p WHERE trial_name = ? AND namespace = ? AND producer = ?`
		args := []any{int64(upTo), producer.Trial, producer.Namespace, producer.Producer}
		return s.query(ctx, "count receipts", query, args, func(rows *sql.Rows) error {
			var watermark, receipts uint64
			err := rows.Scan(&watermark, &receipts)
			missing = upTo - min(upTo, watermark+receipts)
			return err
		})
	})
	if err != nil {
		return 0, fmt.Errorf("look up what is missing of producer %s: %w", producer.Producer, err)
	}
	return missing, nil
}

// Watermarks returns what is known of many producers, in the order asked; of an unknown one only its name. Highest and
// Missing are not filled in, see Trial.
func (db *DB) Watermarks(ctx context.Context, asked []schema.Subject) ([]Producer, error) {
	batch := make([]Message, len(asked))
	for i, subject := range asked {
		batch[i].Subject, batch[i].Identity.Source = subject, subject.Producer
	}
	var known map[producerKey]producerRow
	err := db.read(ctx, func(s *session) (err error) {
		known, err = s.readProducers(ctx, keysOf(batch).producers)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up producers: %w", err)
	}
	producers := make([]Producer, len(asked))
	for i, subject := range asked {
		row := known[producerKey{subject.Trial, subject.Namespace, subject.Producer}]
		producers[i] = Producer{
			Namespace: subject.Namespace, ID: subject.Producer, Watermark: row.watermark, Messages: row.messages,
			Events: row.events, Dead: row.dead, Final: row.final, Deleted: row.deleted,
		}
	}
	return producers, nil
}
