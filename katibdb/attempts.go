package katibdb

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
)

// Attempts returns, for each of the messages of a stream, how many attempts at it have begun, in any process, whose end
// nobody has told: the process was killed, or is still at it.
func (db *DB) Attempts(ctx context.Context, epoch string, sequences []uint64) (unended map[uint64]uint64, err error) {
	unended = make(map[uint64]uint64, len(sequences))
	for _, sequence := range sequences {
		unended[sequence] = 0
	}
	err = db.read(ctx, func(s *session) error {
		return chunks(sequences, chunkRows, func(sequences []uint64) error {
			query := "SELECT sequence, unended FROM stream_attempts WHERE epoch = ? AND sequence IN " + list(len(sequences))
			return s.query(ctx, "read attempts", query, attemptArgs(epoch, sequences), func(rows *sql.Rows) error {
				var sequence, n uint64
				err := rows.Scan(&sequence, &n)
				unended[sequence] = n
				return err
			})
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look up attempts at %d messages: %w", len(sequences), err)
	}
	return unended, nil
}

// NoteAttempts notes durably how many attempts at each of the messages are unended; 0 forgets the message. That it
// succeeds before an attempt also shows that the database works.
func (db *DB) NoteAttempts(ctx context.Context, epoch string, unended map[uint64]uint64) error {
	err := db.changeAttempts(ctx, func(ctx context.Context, s *session) error { return s.writeAttempts(ctx, epoch, unended) })
	if err != nil {
		return fmt.Errorf("note attempts at %d messages: %w", len(unended), err)
	}
	return nil
}

func (db *DB) changeAttempts(ctx context.Context, f func(context.Context, *session) error) error {
	return db.retry(ctx, func() error { return db.transaction(ctx, f) })
}

func (s *session) writeAttempts(ctx context.Context, epoch string, unended map[uint64]uint64) error {
	var begun, ended []uint64
	for _, sequence := range slices.Sorted(maps.Keys(unended)) { // all in one order, or they would wait for each other
		if unended[sequence] > 0 {
			begun = append(begun, sequence)
		} else {
			ended = append(ended, sequence)
		}
	}
	err := chunks(begun, chunkRows, func(sequences []uint64) error {
		query := s.dialect.upsert("stream_attempts", "epoch, sequence, unended", values(len(sequences), 3), "epoch, sequence", []string{"unended"})
		args := make([]any, 0, 3*len(sequences))
		for _, sequence := range sequences {
			args = append(args, epoch, int64(sequence), int64(unended[sequence]))
		}
		return s.exec(ctx, "write attempts", query, args...)
	})
	if err != nil {
		return err
	}
	return chunks(ended, chunkRows, func(sequences []uint64) error {
		query := "DELETE FROM stream_attempts WHERE epoch = ? AND sequence IN " + list(len(sequences))
		return s.exec(ctx, "delete attempts", query, attemptArgs(epoch, sequences)...)
	})
}

func attemptArgs(epoch string, sequences []uint64) []any {
	args := make([]any, 0, 1+len(sequences))
	args = append(args, epoch)
	for _, sequence := range sequences {
		args = append(args, int64(sequence))
	}
	return args
}
