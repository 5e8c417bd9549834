package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// comparison is what a trial's rows are, beside what its trainer noted. All of it counts rows, one for each metric of an
// event.
type comparison struct {
	// Rows is how many there are in the database.
	Rows int `json:"rows"`
	// Lost were reported and are not there. Doubled are there once more than reported. Altered have another value, or
	// another time, than reported. Unexpected are nothing of the sort.
	Lost       int `json:"lost"`
	Doubled    int `json:"doubled"`
	Altered    int `json:"altered"`
	Unexpected int `json:"unexpected"`
}

// compare finds for every row what was reported, and the other way round.
func compare(reported, rows []point) comparison {
	result := comparison{Rows: len(rows)}
	owed, known := map[point]int{}, map[point]bool{}
	for _, p := range reported {
		owed[p]++
		known[p] = true
	}
	var strange []point
	for _, row := range rows {
		switch {
		case owed[row] > 0:
			owed[row]--
		case known[row]:
			result.Doubled++
		default:
			strange = append(strange, row)
		}
	}
	var missing []point
	for _, p := range reported {
		if owed[p] > 0 {
			owed[p]--
			missing = append(missing, p)
		}
	}
	// A strange row that agrees with a missing one in all but one thing is that one, altered.
	before := len(strange)
	strange, missing = pair(strange, missing, func(p point) point { p.value = ""; return p })
	strange, missing = pair(strange, missing, func(p point) point { p.micros = 0; return p })
	result.Lost, result.Unexpected = len(missing), len(strange)
	result.Altered = before - len(strange)
	return result
}

// pair takes out of both lists what agrees in the key.
func pair(strange, missing []point, key func(point) point) (strangeLeft, missingLeft []point) {
	at := map[point][]int{}
	for i, p := range missing {
		at[key(p)] = append(at[key(p)], i)
	}
	gone := map[int]bool{}
	for _, row := range strange {
		k := key(row)
		if len(at[k]) == 0 {
			strangeLeft = append(strangeLeft, row)
			continue
		}
		gone[at[k][0]] = true
		at[k] = at[k][1:]
	}
	for i, p := range missing {
		if !gone[i] {
			missingLeft = append(missingLeft, p)
		}
	}
	return strangeLeft, missingLeft
}

// check compares a trial's notes with its rows.
func (t *demoTrial) check(ctx context.Context, db *sql.DB) (rows []point, err error) {
	noted, err := readNotes(t.notes)
	if err != nil {
		return nil, err
	}
	if rows, err = readRows(ctx, db, t.Name); err != nil {
		return nil, err
	}
	t.comparison = compare(noted.points, rows)
	return rows, nil
}

// demoResult is what came of a run.
type demoResult struct {
	Passed bool `json:"passed"`
	// Problems says in sentences what is not as promised.
	Problems []string     `json:"problems"`
	Trials   []*demoTrial `json:"trials"`
	Best     string       `json:"best_trial"`
	// Events and the comparison are those of all trials. Rows of trials that nobody ran are unexpected.
	Events int `json:"events"`
	comparison
	// Killed says that the consumer was. Redeliveries are the messages that the next one was given again, and Duplicates
	// those of them that were persisted already; both are that consumer's own metrics.
	Killed       bool    `json:"consumer_killed"`
	Redeliveries int     `json:"redeliveries"`
	Duplicates   int     `json:"duplicates"`
	Seconds      float64 `json:"seconds"`
	// Folder is where everything is, when it is kept.
	Folder string `json:"folder,omitempty"`

	curve []float64 // the best trial's accuracy, as the database has it
}

// conclude waits until the consumer is done, and compares.
func (d *demoRun) conclude(ctx context.Context, trials []*demoTrial) (demoResult, error) {
	result := demoResult{Trials: trials, Problems: []string{}}
	if err := d.settle(ctx); ctx.Err() != nil {
		return result, err
	} else if err != nil {
		result.Problems = append(result.Problems, err.Error())
	}
	d.show.say("comparing what the trainers noted with SQL on observation_logs")
	best, err := d.best(ctx, trials)
	if err != nil {
		return result, err
	}
	result.Best = best.Name
	for _, t := range trials {
		rows, err := t.check(ctx, d.db.SQL())
		if err != nil {
			return result, err
		}
		if t == best {
			result.curve = series(rows, "accuracy")
		}
		result.add(t)
	}
	all, err := countRows(ctx, d.db.SQL())
	if err != nil {
		return result, err
	}
	result.Unexpected += all - result.Rows
	result.Rows = all
	consumer, killed := d.presentConsumer()
	result.Killed = killed
	if result.Redeliveries, result.Duplicates, err = consumer.counts(ctx); err != nil {
		return result, err
	}
	result.Seconds = d.show.elapsed().Seconds()
	result.judge()
	return result, nil
}

func (r *demoResult) add(t *demoTrial) {
	r.Events += t.Events
	r.Rows += t.Rows
	r.Lost += t.Lost
	r.Doubled += t.Doubled
	r.Altered += t.Altered
	r.Unexpected += t.Unexpected
}

// judge says what is not as promised.
func (r *demoResult) judge() {
	for _, wrong := range []struct {
		rows int
		what string
	}{
		{r.Lost, "lost"}, {r.Doubled, "doubled"}, {r.Altered, "altered"}, {r.Unexpected, "there although nobody reported them"},
	} {
		if wrong.rows > 0 {
			r.Problems = append(r.Problems, fmt.Sprintf("rows %s: %d", wrong.what, wrong.rows))
		}
	}
	switch {
	case !r.Killed:
		r.Problems = append(r.Problems, "the consumer was not killed, so this run proves nothing")
	case r.Redeliveries == 0:
		r.Problems = append(r.Problems, "the kill caused no redelivery, so this run proves nothing")
	}
	r.Passed = len(r.Problems) == 0
}

// verdict is an error that says all problems, nil without any.
func (r *demoResult) verdict() error {
	if r.Passed {
		return nil
	}
	return errors.New(strings.Join(r.Problems, "; "))
}
