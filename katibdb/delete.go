package katibdb

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// DeleteTrial deletes a trial's rows and receipts, and marks its producers and everything that the stream holds so far:
// what is from before never comes back, however late it is delivered. A new trial of the same name, from new producers,
// works. Repeating it is harmless.
//
// lastSequence is called under the trial's lock, at each attempt, and returns the stream's last sequence, and epoch its epoch. That the
// messages are to be purged is noted in the same transaction.
func (db *DB) DeleteTrial(ctx context.Context, trial, epoch string, lastSequence func(context.Context) (uint64, error)) error {
	err := db.retry(ctx, func() error { return db.deleteTrial(ctx, trial, epoch, lastSequence) })
	if err != nil {
		return fmt.Errorf("delete trial %s: %w", trial, err)
	}
	return nil
}

func (db *DB) deleteTrial(ctx context.Context, trial, epoch string, lastSequence func(context.Context) (uint64, error)) error {
	row := keys{trials: []string{trial}}
	if err := db.ensure(ctx, row); err != nil {
		return err
	}
	return db.transaction(ctx, func(ctx context.Context, s *session) error {
		if _, err := db.lock(ctx, s, row); err != nil {
			return err
		}
		last, err := lastSequence(ctx)
		if err != nil {
			return err
		}
		if err := s.exec(ctx, "mark trial", `UPDATE stream_trials SET namespace = '', deleted_at = ?, deleted_epoch = ?, deleted_sequence = ?, purge_pending = ?
			WHERE trial_name = ?`, time.Now().Unix(), epoch, int64(last), true, trial); err != nil {
			return err
		}
		if err := s.exec(ctx, "mark producers", "UPDATE stream_producers SET deleted = ? WHERE trial_name = ?", true, trial); err != nil {
			return err
		}
		if err := s.exec(ctx, "delete receipts", "DELETE FROM stream_receipts WHERE trial_name = ?", trial); err != nil {
			return err
		}
		return s.deleteRows(ctx, trial)
	})
}

// deleteRows deletes in chunks by primary key: Katib's table has no index on the trial's name, and one large DELETE would
// lock every row that it passes.
func (s *session) deleteRows(ctx context.Context, trial string) error {
	var ids []int64
	err := s.query(ctx, "find rows", "SELECT id, trial_name FROM observation_logs WHERE trial_name = ?", []any{trial}, func(rows *sql.Rows) error {
		var id int64
		var name string
		err := rows.Scan(&id, &name)
		if name == trial { // Katib's column may compare without case
			ids = append(ids, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	return chunks(ids, chunkIn, func(ids []int64) error {
		return s.exec(ctx, "delete rows", "DELETE FROM observation_logs WHERE id IN "+list(len(ids)), anys(ids)...)
	})
}
