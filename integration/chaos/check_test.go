package chaos

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/katib-stream/katib-stream/integration/chaos/notes"
	"github.com/katib-stream/katib-stream/katibdb"
)

// expectation is what was promised of an event.
type expectation byte

const (
	never expectation = iota // it was refused, or not reported at all
	may                      // nobody answered, or it was in the memory of a process that was killed
	must                     // exactly once
	gone                     // its trial was deleted
)

// verdicts count events.
type verdicts struct {
	Promised, Once, Lost, Doubled, Altered, Unordered, Invented, Resurrected int
	// Unpromised are events that nobody was told of and that are there, once.
	Unpromised int
	// Restored is how many were stored more than once in the stream.
	Restored int
	Examples []string
}

func (v *verdicts) bad() int {
	return v.Lost + v.Doubled + v.Altered + v.Unordered + v.Invented + v.Resurrected
}

func (v *verdicts) string() string {
	return fmt.Sprintf("%d lost, %d doubled, %d altered, %d out of order, %d invented, %d resurrected of %d promised; %d once, %d promised to nobody",
		v.Lost, v.Doubled, v.Altered, v.Unordered, v.Invented, v.Resurrected, v.Promised, v.Once, v.Unpromised)
}

func (v *verdicts) example(format string, args ...any) {
	if len(v.Examples) < 20 {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// expected says what was promised of a trial's events: runs of producers, the first ones of which are deleted.
func expected(runs []*notes.Run, deleted int) map[int]expectation {
	all := map[int]expectation{}
	for i, run := range runs {
		for j, n := range run.Accepted {
			all[n] = may
			if run.Spool || run.Closed || j < run.Flushed {
				all[n] = must
			}
			if i < deleted {
				all[n] = gone
			}
		}
		for _, n := range run.Unsure {
			all[n] = may
			if i < deleted {
				all[n] = gone
			}
		}
	}
	return all
}

// found is an event as the database has it.
type found struct {
	n, check int // rows
	row      [2]string
	at       time.Time
	place    int
}

// check compares what was promised of a trial, what the stream held, and what the database has.
func (v *verdicts) check(trial string, promised map[int]expectation, stream map[int]*seen, rows []katibdb.Row, runs []*notes.Run) {
	events := map[int]*found{}
	for place, row := range rows {
		v.gather(trial, events, row, place)
	}
	pair(trial, rows, events)
	for n, e := range promised {
		v.judge(trial, n, e, events[n], stream[n])
	}
	for n := range events {
		if _, known := promised[n]; !known {
			v.Invented++
			v.example("%s: nobody reported event %d, and it is in the database", trial, n)
		}
	}
	for _, run := range runs {
		v.order(trial, run.Accepted, events)
	}
}

// gather takes a row in. Rows of an event have no order, so those with the other metric are found by what it says.
func (v *verdicts) gather(trial string, events map[int]*found, row katibdb.Row, place int) {
	if row.Metric != "n" {
		return
	}
	n, err := number(row.Value)
	if err != nil {
		v.Altered++
		v.example("%s: the database has %s=%q", trial, row.Metric, row.Value)
		return
	}
	if events[n] == nil {
		events[n] = &found{at: row.Time, place: place, row: [2]string{row.Value}}
	}
	events[n].n++
}

func (v *verdicts) judge(trial string, n int, e expectation, f *found, s *seen) {
	if s != nil && s.times > 1 {
		v.Restored++
	}
	if e == must {
		v.Promised++
	}
	switch {
	case f == nil && e == must:
		v.Lost++
		v.example("%s: event %d was promised and is not in the database; in the stream: %v", trial, n, s != nil)
		return
	case f == nil:
		return
	case e == gone:
		v.Resurrected++
		v.example("%s: event %d was deleted with its trial, and is there again", trial, n)
		return
	case f.n > 1 || f.check > 1:
		v.Doubled++
		v.example("%s: event %d is in the database %d times", trial, n, max(f.n, f.check))
		return
	}
	if problem := compare(trial, n, f, s); problem != "" {
		v.Altered++
		v.example("%s: event %d %s", trial, n, problem)
		return
	}
	if v.Once++; e != must {
		v.Unpromised++
	}
}

// compare says in what way an event is not the one that was reported, or not the one that the stream held.
func compare(trial string, n int, f *found, s *seen) string {
	switch check, err := number(f.row[1]); {
	case f.check == 0 || err != nil:
		return "is not whole"
	case check != notes.Check(trial, n):
		return fmt.Sprintf("has the check %d; want %d", check, notes.Check(trial, n))
	case s == nil:
		return "was never seen in the stream"
	case f.row != s.values:
		return fmt.Sprintf("has the values %v, and in the stream %v", f.row, s.values)
	case !f.at.Equal(s.at.Truncate(time.Microsecond)):
		return fmt.Sprintf("has the time %v, and in the stream %v", f.at, s.at)
	}
	return ""
}

// order demands that a producer's events are read in the order in which it reported them.
func (v *verdicts) order(trial string, accepted []int, events map[int]*found) {
	last := -1
	for _, n := range accepted {
		f := events[n]
		if f == nil {
			continue
		}
		if f.place < last {
			v.Unordered++
			v.example("%s: event %d is read before an event that was reported before it", trial, n)
		}
		last = max(last, f.place)
	}
}

// pair fills in the check metrics: they stand at the time of their event.
func pair(trial string, rows []katibdb.Row, events map[int]*found) {
	byTime := map[time.Time][]*found{}
	for _, f := range events {
		byTime[f.at] = append(byTime[f.at], f)
	}
	for _, row := range rows {
		if row.Metric == "check" {
			give(trial, row, byTime[row.Time])
		}
	}
}

// give finds the event at that time whose check it is; at equal times of several there may be one.
func give(trial string, row katibdb.Row, at []*found) {
	check, _ := number(row.Value)
	i := slices.IndexFunc(at, func(f *found) bool {
		n, _ := number(f.row[0])
		return len(at) == 1 || notes.Check(trial, n) == check
	})
	if i >= 0 {
		at[i].check++
		at[i].row[1] = row.Value
	}
}

// number reads a value that a producer may have written with a fraction.
func number(text string) (int, error) {
	value, err := strconv.ParseFloat(text, 64)
	return int(value), err
}
