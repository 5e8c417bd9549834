package chaos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/katib-stream/katib-stream/integration/chaos/notes"
)

// values are the numbers of a trial's events that the database has, from a row's id on.
func (w *world) values(ctx context.Context, trial string, above int64) ([]int, error) {
	query := fmt.Sprintf("SELECT value FROM observation_logs WHERE id > %d AND trial_name = '%s' AND metric_name = 'n'", above, trial)
	rows, err := w.sql.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []int
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		found = append(found, int(n))
	}
	return found, rows.Err()
}

// lastRow is the highest id of a row.
func (w *world) lastRow(ctx context.Context) (id int64, err error) {
	err = w.sql.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM observation_logs").Scan(&id)
	return id, err
}

// audit looks at once whether what is promised to be persisted is. A database that cannot be asked says nothing.
func (l *workload) audit(ctx context.Context, trial string, promised []int, above int64, whose string) {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := l.values(limited, trial, above)
	if err != nil {
		return
	}
	slices.Sort(found)
	l.mu.Lock()
	l.audits++
	l.mu.Unlock()
	for _, n := range promised {
		if _, ok := slices.BinarySearch(found, n); !ok {
			l.violated("%s: %s, and event %d was not persisted", trial, whose, n)
			return
		}
	}
}

// auditFlushes follows a trial's notes, and looks after each flush.
func (l *workload) auditFlushes(ctx context.Context, trial string) {
	var lines *notes.Lines
	opened := poll(ctx, 50*time.Millisecond, func(context.Context) bool {
		var err error
		lines, err = notes.Follow(l.notes[trial])
		return err == nil
	})
	if !opened {
		return
	}
	defer lines.Close()
	a := auditor{workload: l, trial: trial}
	for sleep(ctx, 5*time.Millisecond) {
		more, err := lines.Next()
		if err != nil {
			l.violated("follow the notes of %s: %v", trial, err)
			return
		}
		for _, line := range more {
			a.take(ctx, line)
		}
	}
}

// auditor looks at one trial.
type auditor struct {
	*workload
	trial    string
	accepted []int
	bases    []int64 // highest ids, of the audits before
}

// margin is by how much a row that is committed later may have a lower id.
const margin = 20_000

func (a *auditor) take(ctx context.Context, line string) {
	kind, text, _ := strings.Cut(line, " ")
	n, _ := strconv.Atoi(text)
	switch kind {
	case "s":
		a.accepted = nil
	case "a":
		a.accepted = append(a.accepted, n)
	case "f":
		base, err := a.lastRow(ctx)
		if err == nil {
			above := int64(0)
			if len(a.bases) > 1 {
				above = a.bases[len(a.bases)-2] - margin
			}
			a.audit(ctx, a.trial, a.accepted, above, "a flush returned")
			a.bases = append(a.bases, base)
		}
		a.accepted = nil
	}
}
