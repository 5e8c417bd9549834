package katibdb

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// allTables are Katib's table and ours.
var allTables = []string{"observation_logs", "stream_trials", "stream_producers", "stream_receipts", "stream_attempts", versionTable}

// tables compares what the query finds with allTables, and reads the migrations' state.
func (i *inspector) tables(ctx context.Context, query string) {
	found := i.list(ctx, "the tables", query)
	if i.Unknown["the tables"] != nil {
		return
	}
	for _, name := range allTables {
		if !slices.Contains(found, name) {
			i.MissingTables = append(i.MissingTables, name)
		}
	}
	if i.has(versionTable) {
		i.read(ctx, "the migrations", "SELECT COALESCE(MAX(version_id), 0) FROM "+versionTable+" WHERE is_applied", &i.Migration)
	}
}

func (i *inspector) has(table string) bool {
	return i.Unknown["the tables"] == nil && !slices.Contains(i.MissingTables, table)
}

// quotedTables is allTables for an IN list.
func quotedTables() string { return "'" + strings.Join(allTables, "', '") + "'" }

// columns compares "name type" of each column of Katib's table with what it may be; the first is how Katib makes it.
func (i *inspector) columns(ctx context.Context, query string, want map[string][]string) {
	found := i.list(ctx, "the columns", query)
	if i.Unknown["the columns"] != nil {
		return
	}
	have := map[string]string{}
	for _, column := range found {
		name, kind, _ := strings.Cut(column, " ")
		have[name] = kind
	}
	for _, name := range []string{"trial_name", "id", "time", "metric_name", "value"} {
		kind, there := have[name]
		switch {
		case !there:
			i.WrongColumns = append(i.WrongColumns, name+" is missing")
		case !slices.Contains(want[name], kind):
			i.WrongColumns = append(i.WrongColumns, name+" is "+kind+", not "+want[name][0])
		}
	}
}

// rate tells from the times of two rows, the last and one some way before, how many ids went a day.
func (i *inspector) rate(ctx context.Context) {
	const span = 100_000
	last, at := i.row(ctx, "id <= "+strconv.FormatUint(i.LastID, 10), "DESC")
	first, from := i.row(ctx, "id <= "+strconv.FormatUint(i.LastID-min(i.LastID, span), 10), "DESC")
	if first == 0 {
		first, from = i.row(ctx, "id > 0", "ASC")
	}
	if passed := at.Sub(from); first > 0 && last > first && passed >= time.Minute {
		i.IDsPerDay = float64(last-first) / passed.Hours() * 24
	}
}

// row is the first row that the condition and the order give, 0 when there is none. Katib writes one of the year 1 for a
// trial without metrics, which tells nothing.
func (i *inspector) row(ctx context.Context, condition, order string) (id uint64, at time.Time) {
	query := "SELECT id, time FROM observation_logs WHERE " + condition + " AND time > '1971-01-01' ORDER BY id " + order + " LIMIT 1"
	if err := i.conn.QueryRowContext(ctx, query).Scan(&id, &at); err != nil {
		return 0, time.Time{} // no row, or no time left to look for one
	}
	return id, at
}

// newestMigration is the highest number that a file of ours begins with.
func newestMigration(d dialect) (int64, error) {
	_, files, err := d.migrations()
	if err != nil {
		return 0, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return 0, err
	}
	newest := int64(0)
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("the name of migration %s: %w", name, err)
		}
		newest = max(newest, n)
	}
	return newest, nil
}
