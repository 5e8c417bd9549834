package katibdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// DeleteTrial deletes a trial's rows and receipts, and marks its producers and everything that the stream holds so far:
// what is from before never comes back, however late it is delivered. A new trial of the same name, from new producers,
// works. Repeating it is harmless: it deletes what came since.
//
// look is called under the trial's lock, at each attempt, and returns the stream's epoch, its last sequence and the server's
// time. When its error is ErrNoStream the trial is deleted by our own clock. That the messages are to be purged is noted
// in the same transaction, see PendingPurges.
func (db *DB) DeleteTrial(ctx context.Context, trial string, look func(context.Context) (epoch string, sequence uint64, at time.Time, err error)) error {
	err := db.retry(ctx, func() error { return db.deleteTrial(ctx, trial, look) })
	if err != nil {
		return fmt.Errorf("delete trial %s: %w", trial, err)
	}
	return nil
}

func (db *DB) deleteTrial(ctx context.Context, trial string, look func(context.Context) (string, uint64, time.Time, error)) error {
	if !nameable(trial) {
		return db.transaction(ctx, func(ctx context.Context, s *session) error { return s.deleteRows(ctx, trial) })
	}
	row := keys{trials: []string{trial}}
	if err := db.ensure(ctx, row); err != nil {
		return err
	}
	return db.transaction(ctx, func(ctx context.Context, s *session) error {
		trials, err := db.lock(ctx, s, row)
		if err != nil {
			return err
		}
		epoch, sequence, at, err := look(ctx)
		if errors.Is(err, ErrNoStream) {
			epoch, sequence, at, err = "", 0, time.Time{}, nil
		}
		if err != nil {
			return err
		}
		if at.IsZero() {
			at = time.Now()
		}
		before := trials[trial].deletion
		if err := s.mark(ctx, trial, before, before.next(epoch, sequence, at)); err != nil {
			return err
		}
		if err := s.exec(ctx, "delete receipts", "DELETE FROM stream_receipts WHERE trial_name = ?", trial); err != nil {
			return err
		}
		return s.deleteRows(ctx, trial)
	})
}

// mark notes a deletion. What an earlier one had purged is not purged again while the stream got nothing since.
func (s *session) mark(ctx context.Context, trial string, before, now Deletion) error {
	purge := now.Epoch == "" || now.Epoch != before.Epoch || now.Sequence != before.Sequence
	err := s.exec(ctx, "mark trial", `UPDATE stream_trials SET namespace = '', deleted_at = ?, deleted_epoch = ?, deleted_sequence = ?,
		purge_pending = purge_pending OR ? WHERE trial_name = ?`, now.At.UnixMilli(), now.Epoch, int64(now.Sequence), purge, trial)
	if err != nil {
		return err
	}
	return s.exec(ctx, "mark producers", "UPDATE stream_producers SET deleted = ?, receipts = 0 WHERE trial_name = ? AND deleted = ?", true, trial, false)
}

// deletePage is how many rows are looked for at a time.
const deletePage = 20_000

// deleteRows deletes in chunks by primary key: Katib's table has no index on the trial's name, and one large DELETE would
// lock every row that it passes.
func (s *session) deleteRows(ctx context.Context, trial string) error {
	for last, found := int64(0), deletePage; found == deletePage; {
		var ids []int64
		found = 0
		query := "SELECT id, trial_name FROM observation_logs WHERE trial_name = ? AND id > ? ORDER BY id LIMIT ?"
		err := s.query(ctx, "find rows", query, []any{trial, last, deletePage}, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&last, &name)
			if name == trial { // Katib's column may compare without case
				ids = append(ids, last)
			}
			found++
			return err
		})
		if err != nil {
			return err
		}
		err = chunks(ids, chunkIn, func(ids []int64) error {
			return s.exec(ctx, "delete rows", "DELETE FROM observation_logs WHERE id IN "+list(len(ids)), anys(ids)...)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
