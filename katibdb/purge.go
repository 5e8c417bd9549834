package katibdb

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Purge is a deleted trial whose messages the stream may still hold: those up to Sequence, while its epoch is Epoch, and
// otherwise those that it stored up to DeletedAt.
type Purge struct {
	Trial     string
	DeletedAt time.Time
	Epoch     string
	Sequence  uint64
}

// PendingPurges returns the purges that deletions have asked for and PurgeDone has not ended, the oldest first.
func (db *DB) PendingPurges(ctx context.Context) ([]Purge, error) {
	var pending []Purge
	err := db.read(ctx, func(s *session) error {
		query := `SELECT trial_name, deleted_at, deleted_epoch, deleted_sequence FROM stream_trials
			WHERE purge_pending = TRUE ORDER BY deleted_at, trial_name`
		return s.query(ctx, "read purges", query, nil, func(rows *sql.Rows) error {
			var p Purge
			var deletedAt int64
			err := rows.Scan(&p.Trial, &deletedAt, &p.Epoch, &p.Sequence)
			p.DeletedAt = fromMillis(deletedAt)
			pending = append(pending, p)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look up what is to be purged: %w", err)
	}
	return pending, nil
}

// PurgeDone ends a purge. It does nothing when the trial was deleted again meanwhile: that is to be purged, too.
func (db *DB) PurgeDone(ctx context.Context, p Purge) error {
	err := db.retry(ctx, func() error {
		return db.transaction(ctx, func(ctx context.Context, s *session) error {
			return s.exec(ctx, "end purge", `UPDATE stream_trials SET purge_pending = ?
				WHERE trial_name = ? AND deleted_at = ? AND deleted_epoch = ? AND deleted_sequence = ?`,
				false, p.Trial, p.DeletedAt.UnixMilli(), p.Epoch, int64(p.Sequence))
		})
	})
	if err != nil {
		return fmt.Errorf("end the purge of trial %s: %w", p.Trial, err)
	}
	return nil
}
