package katibdb

import (
	"context"
	"fmt"
	"time"
)

// Forget deletes the receipts of messages without a number, and attempts at messages, that have left the stream: those of
// the epoch whose sequence is below the given one. Nothing delivers them again.
func (db *DB) Forget(ctx context.Context, epoch string, below uint64) error {
	if err := db.forgetAttempts(ctx, epoch, below); err != nil {
		return fmt.Errorf("forget attempts: %w", err)
	}
	const page = 1_000
	for {
		keys, err := db.forgettable(ctx, epoch, below, page)
		if err != nil {
			return fmt.Errorf("forget receipts: %w", err)
		}
		err = chunks(keys, chunkRows, func(keys []receiptKey) error {
			return db.retry(ctx, func() error { return db.deleteReceiptRows(ctx, keys) })
		})
		if err != nil {
			return fmt.Errorf("forget receipts: %w", err)
		}
		if len(keys) < page {
			return nil
		}
	}
}

// forgetAttempts also forgets those of other epochs: that stream is gone. There are only ever a few.
func (db *DB) forgetAttempts(ctx context.Context, epoch string, below uint64) error {
	return db.changeAttempts(ctx, func(ctx context.Context, s *session) error {
		return s.exec(ctx, "delete attempts", "DELETE FROM stream_attempts WHERE epoch <> ? OR sequence < ?", epoch, int64(below))
	})
}

func (db *DB) forgettable(ctx context.Context, epoch string, below uint64, limit int) ([]receiptKey, error) {
	query := db.dialect.rebind(`SELECT trial_name, namespace, source, number FROM stream_receipts
		WHERE epoch = ? AND sequence < ? AND source LIKE '*%' LIMIT ?`)
	rows, err := db.pool.QueryContext(ctx, query, epoch, int64(below), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []receiptKey
	for rows.Next() {
		var k receiptKey
		if err := rows.Scan(&k.trial, &k.namespace, &k.producer, &k.number); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// deleteReceiptRows deletes by primary key, in transactions of a few rows, so that workers hardly wait for it.
func (db *DB) deleteReceiptRows(ctx context.Context, keys []receiptKey) error {
	return db.transaction(ctx, func(ctx context.Context, s *session) error {
		args := make([]any, 0, 4*len(keys))
		for _, k := range keys {
			args = append(args, k.trial, k.namespace, k.producer, int64(k.number))
		}
		where := anyOf("trial_name = ? AND namespace = ? AND source = ? AND number = ?", len(keys))
		return s.exec(ctx, "delete receipts", "DELETE FROM stream_receipts WHERE "+where, args...)
	})
}

// Unbind ends the binding to a namespace of the trials that had no event since before.
func (db *DB) Unbind(ctx context.Context, before time.Time) error {
	query := db.dialect.rebind("SELECT trial_name FROM stream_trials WHERE namespace <> '' AND seen_at < ?")
	names, err := db.strings(ctx, query, before.Unix())
	if err != nil {
		return fmt.Errorf("end bindings: %w", err)
	}
	for _, name := range names {
		err := db.retry(ctx, func() error { return db.unbind(ctx, name, before) })
		if err != nil {
			return fmt.Errorf("end bindings: %w", err)
		}
	}
	return nil
}

func (db *DB) unbind(ctx context.Context, trial string, before time.Time) error {
	return db.transaction(ctx, func(ctx context.Context, s *session) error {
		return s.exec(ctx, "end binding", "UPDATE stream_trials SET namespace = '' WHERE trial_name = ? AND seen_at < ?", trial, before.Unix())
	})
}

// strings gives the only column of a query.
func (db *DB) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := db.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, rows.Err()
}
