package katibdb

import (
	"context"
	"database/sql"
)

// The statements on our own tables. Lists are cut so that statements stay under every database's limit on arguments, and
// short enough that MariaDB does not turn an IN list into a derived table and lock what is outside of it.
const (
	chunkRows = 200
	chunkIn   = 500
)

const (
	trialColumns    = "trial_name, namespace, seen_at, deleted_at, deleted_epoch, deleted_sequence"
	producerColumns = "trial_name, namespace, producer, watermark, receipts, final_number, messages, events, dead, deleted"
	receiptColumns  = "trial_name, namespace, source, number, dead, epoch, sequence"
)

func (s *session) makeTrials(ctx context.Context, names []string) error {
	return chunks(names, chunkRows, func(names []string) error {
		query := s.dialect.insertIgnore("stream_trials", "trial_name", values(len(names), 1))
		return s.exec(ctx, "make trials", query, anys(names)...)
	})
}

func (s *session) makeProducers(ctx context.Context, keys []producerKey) error {
	return chunks(keys, chunkRows, func(keys []producerKey) error {
		query := s.dialect.insertIgnore("stream_producers", "trial_name, namespace, producer", values(len(keys), 3))
		return s.exec(ctx, "make producers", query, producerArgs(keys)...)
	})
}

// lockTrials locks the rows of the trials, in the order of their names, and reads them.
func (s *session) lockTrials(ctx context.Context, names []string) (map[string]trialRow, error) {
	return s.readTrials(ctx, names, s.dialect.lock())
}

func (s *session) readTrials(ctx context.Context, names []string, lock string) (map[string]trialRow, error) {
	trials := make(map[string]trialRow, len(names))
	err := chunks(names, chunkIn, func(names []string) error {
		query := "SELECT " + trialColumns + " FROM stream_trials WHERE trial_name IN " + list(len(names)) + " ORDER BY trial_name" + lock
		return s.query(ctx, "read trials", query, anys(names), func(rows *sql.Rows) error {
			var t trialRow
			var deletedAt int64
			err := rows.Scan(&t.name, &t.namespace, &t.seenAt, &deletedAt, &t.deletion.Epoch, &t.deletion.Sequence)
			t.deletion.At = fromMillis(deletedAt)
			trials[t.name] = t
			return err
		})
	})
	return trials, err
}

func (s *session) writeTrials(ctx context.Context, trials []trialRow) error {
	return chunks(trials, chunkRows, func(trials []trialRow) error {
		query := s.dialect.upsert("stream_trials", "trial_name, namespace, seen_at", values(len(trials), 3), "trial_name",
			[]string{"namespace", "seen_at"})
		args := make([]any, 0, 3*len(trials))
		for _, t := range trials {
			args = append(args, t.name, t.namespace, t.seenAt)
		}
		return s.exec(ctx, "bind trials", query, args...)
	})
}

func (s *session) readProducers(ctx context.Context, keys []producerKey) (map[producerKey]producerRow, error) {
	producers := make(map[producerKey]producerRow, len(keys))
	err := chunks(keys, chunkRows, func(keys []producerKey) error {
		query := "SELECT " + producerColumns + " FROM stream_producers WHERE " + anyOf("trial_name = ? AND namespace = ? AND producer = ?", len(keys))
		return s.query(ctx, "read producers", query, producerArgs(keys), func(rows *sql.Rows) error {
			var p producerRow
			err := rows.Scan(&p.trial, &p.namespace, &p.producer, &p.watermark, &p.receipts, &p.final, &p.messages, &p.events, &p.dead, &p.deleted)
			producers[p.producerKey] = p
			return err
		})
	})
	return producers, err
}

func (s *session) writeProducers(ctx context.Context, producers []*producerRow) error {
	return chunks(producers, chunkRows, func(producers []*producerRow) error {
		query := s.dialect.upsert("stream_producers", producerColumns, values(len(producers), 10), "trial_name, namespace, producer",
			[]string{"watermark", "receipts", "final_number", "messages", "events", "dead", "deleted"})
		args := make([]any, 0, 10*len(producers))
		for _, p := range producers {
			args = append(args, p.trial, p.namespace, p.producer, int64(p.watermark), int64(p.receipts), int64(p.final),
				int64(p.messages), int64(p.events), int64(p.dead), p.deleted)
		}
		return s.exec(ctx, "move watermarks", query, args...)
	})
}

// readReceipts gives those of the messages that have a receipt.
func (s *session) readReceipts(ctx context.Context, keys []receiptKey) (map[receiptKey]bool, error) {
	receipts := make(map[receiptKey]bool)
	err := chunks(keys, chunkRows, func(keys []receiptKey) error {
		query := "SELECT trial_name, namespace, source, number FROM stream_receipts WHERE " +
			anyOf("trial_name = ? AND namespace = ? AND source = ? AND number = ?", len(keys))
		args := make([]any, 0, 4*len(keys))
		for _, k := range keys {
			args = append(args, k.trial, k.namespace, k.producer, int64(k.number))
		}
		return s.query(ctx, "read receipts", query, args, func(rows *sql.Rows) error {
			var k receiptKey
			err := rows.Scan(&k.trial, &k.namespace, &k.producer, &k.number)
			receipts[k] = true
			return err
		})
	})
	return receipts, err
}

func (s *session) receiptsAbove(ctx context.Context, key producerKey, number uint64, limit int) ([]uint64, error) {
	var numbers []uint64
	query := "SELECT number FROM stream_receipts WHERE trial_name = ? AND namespace = ? AND source = ? AND number > ? ORDER BY number LIMIT ?"
	err := s.query(ctx, "read receipts", query, []any{key.trial, key.namespace, key.producer, int64(number), limit}, func(rows *sql.Rows) error {
		var number uint64
		err := rows.Scan(&number)
		numbers = append(numbers, number)
		return err
	})
	return numbers, err
}

func (s *session) insertReceipts(ctx context.Context, receipts []receiptRow) error {
	return chunks(receipts, chunkRows, func(receipts []receiptRow) error {
		query := "INSERT INTO stream_receipts (" + receiptColumns + ") VALUES " + values(len(receipts), 7)
		args := make([]any, 0, 7*len(receipts))
		for _, r := range receipts {
			args = append(args, r.trial, r.namespace, r.producer, int64(r.number), r.dead, r.epoch, int64(r.sequence))
		}
		return s.exec(ctx, "insert receipts", query, args...)
	})
}

// deleteReceipts deletes what a watermark that moved from above to upTo says as well; receipts of dead letters stay.
func (s *session) deleteReceipts(ctx context.Context, key producerKey, above, upTo uint64) error {
	return s.exec(ctx, "delete receipts",
		"DELETE FROM stream_receipts WHERE trial_name = ? AND namespace = ? AND source = ? AND number > ? AND number <= ? AND dead = ?",
		key.trial, key.namespace, key.producer, int64(above), int64(upTo), false)
}

func anys[T any](items []T) []any {
	args := make([]any, len(items))
	for i, item := range items {
		args[i] = item
	}
	return args
}

func producerArgs(keys []producerKey) []any {
	args := make([]any, 0, 3*len(keys))
	for _, k := range keys {
		args = append(args, k.trial, k.namespace, k.producer)
	}
	return args
}
