package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// point is a metric of an event, as a trainer noted it, or as a row of observation_logs.
type point struct {
	micros int64 // since 1970; Katib DB keeps no more of a time
	metric string
	value  string
}

// notes are what a trainer noted in its own file: the truth that the database is compared with.
type notes struct {
	events int
	points []point
}

// readNotes reads a trainer's file. It does so with nothing of katib-stream's own, so that a mistake there is found.
func readNotes(path string) (notes, error) {
	file, err := os.Open(path)
	if err != nil {
		return notes{}, fmt.Errorf("read what a trainer noted: %w", err)
	}
	defer file.Close()
	var noted notes
	lines := json.NewDecoder(file)
	for {
		var event struct {
			Time    time.Time
			Metrics map[string]string
		}
		err := lines.Decode(&event)
		if errors.Is(err, io.EOF) {
			return noted, nil
		}
		if err != nil {
			return notes{}, fmt.Errorf("read what a trainer noted: %s, event %d: %w", path, noted.events+1, err)
		}
		noted.events++
		for metric, value := range event.Metrics {
			noted.points = append(noted.points, point{micros: event.Time.UnixMicro(), metric: metric, value: value})
		}
	}
}

// accuracy is the best one and the last one.
func (n notes) accuracy() (best, last float64) {
	for _, value := range series(n.points, "accuracy") {
		best, last = max(best, value), value
	}
	return best, last
}

// series are the values of one metric. What is no number is left out.
func series(points []point, metric string) (values []float64) {
	for _, p := range points {
		if value, err := strconv.ParseFloat(p.value, 64); err == nil && p.metric == metric {
			values = append(values, value)
		}
	}
	return values
}

// readRows reads a trial's rows, as Katib does.
func readRows(ctx context.Context, db *sql.DB, trial string) (points []point, err error) {
	rows, err := db.QueryContext(ctx, "SELECT time, metric_name, value FROM observation_logs WHERE trial_name = ? ORDER BY time, id", trial)
	if err != nil {
		return nil, fmt.Errorf("read observation_logs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at time.Time
		var p point
		if err := rows.Scan(&at, &p.metric, &p.value); err != nil {
			return nil, fmt.Errorf("read observation_logs: %w", err)
		}
		p.micros = at.UnixMicro()
		points = append(points, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read observation_logs: %w", err)
	}
	return points, nil
}

// countRows counts the rows of all trials.
func countRows(ctx context.Context, db *sql.DB) (n int, err error) {
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM observation_logs").Scan(&n); err != nil {
		return 0, fmt.Errorf("count the rows of observation_logs: %w", err)
	}
	return n, nil
}
