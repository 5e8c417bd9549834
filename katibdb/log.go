package katibdb

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// LogQuery says which rows of a trial to read.
type LogQuery struct {
	Trial string
	// Metric is the name of the only one to read, "" for all.
	Metric string
	// From and To bound the rows' times, both included, truncated to the column's microseconds; zero is no bound.
	From, To time.Time
}

// Log calls each for a trial's rows as Katib reads them: by time, and of equal times in the order of their insertion. It
// keeps none of them. An error of each ends it and is returned.
func (db *DB) Log(ctx context.Context, q LogQuery, each func(Row) error) error {
	query, args := q.statement()
	ctx, cancel := context.WithCancel(ctx)
	found, err := db.pool.QueryContext(ctx, db.dialect.rebind(query), args...)
	if err != nil {
		cancel()
		return fmt.Errorf("read rows of %s: %w", q.Trial, err)
	}
	defer found.Close()
	defer cancel() // first, or else closing would read all that is left
	for found.Next() {
		var trial string
		var at sql.NullTime
		var row Row
		if err := found.Scan(&trial, &at, &row.Metric, &row.Value); err != nil {
			return fmt.Errorf("read rows of %s: %w", q.Trial, err)
		}
		if trial != q.Trial || (q.Metric != "" && row.Metric != q.Metric) {
			continue // Katib's columns may compare without case
		}
		row.Time = at.Time.UTC()
		if err := each(row); err != nil {
			return err
		}
	}
	if err := found.Err(); err != nil {
		return fmt.Errorf("read rows of %s: %w", q.Trial, err)
	}
	return nil
}

func (q LogQuery) statement() (query string, args []any) {
	query, args = "SELECT trial_name, time, metric_name, value FROM observation_logs WHERE trial_name = ?", []any{q.Trial}
	if q.Metric != "" {
		query, args = query+" AND metric_name = ?", append(args, q.Metric)
	}
	if !q.From.IsZero() {
		query, args = query+" AND time >= ?", append(args, boundText(q.From))
	}
	if !q.To.IsZero() {
		query, args = query+" AND time <= ?", append(args, boundText(q.To))
	}
	return query + " ORDER BY time, id", args
}

// boundText writes a bound as the databases take a time. They refuse years that their columns don't hold.
func boundText(at time.Time) string {
	switch at = at.UTC().Truncate(time.Microsecond); {
	case at.Year() < 1:
		at = time.Time{}
	case at.Year() > 9999:
		at = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	}
	return formatTime(at)
}

// Rows returns all of a trial's rows, in the order of Log.
func (db *DB) Rows(ctx context.Context, trial string) ([]Row, error) {
	var rows []Row
	err := db.Log(ctx, LogQuery{Trial: trial}, func(row Row) error {
		rows = append(rows, row)
		return nil
	})
	return rows, err
}
