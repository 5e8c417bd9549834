package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// result is what a run came to.
type result struct {
	*nemesis
	watch    *watcher
	took     time.Duration
	trials   int
	stored   uint64 // messages
	rows     int
	verdicts verdicts
	other    []string // violations that are no event's
}

// conclude reads the database, and compares.
func conclude(n *nemesis, rec *recorder, watch *watcher, problems []string) *result {
	c := &result{nemesis: n, watch: watch, took: time.Since(n.begun), other: problems}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	c.stored = rec.last
	trials := map[string]bool{}
	for trial := range n.notes {
		trials[trial] = true
	}
	for trial := range n.told {
		trials[trial] = true
	}
	for _, trial := range slices.Sorted(maps.Keys(trials)) {
		c.checkTrial(ctx, trial, rec)
	}
	c.other = append(c.other, rec.strange...)
	c.other = append(c.other, n.broken...)
	c.other = append(c.other, n.errors...)
	for _, f := range n.faults {
		if r := n.records[f.name]; r == nil || r.Bites == 0 {
			c.other = append(c.other, fmt.Sprintf("the fault %q never bit, so the run proves nothing of it", f.name))
		}
	}
	c.checkLetters(ctx, rec.letters)
	return c
}

func (c *result) checkTrial(ctx context.Context, trial string, rec *recorder) {
	rows, err := c.db.Rows(ctx, trial)
	if err != nil {
		c.other = append(c.other, fmt.Sprintf("read the rows of %s: %v", trial, err))
		return
	}
	runs, err := runsOf(c.workload, trial)
	if err != nil {
		c.other = append(c.other, err.Error())
		return
	}
	promised := c.told[trial]
	if runs != nil {
		deleted := 0
		if trial == victim {
			deleted = c.deleted
		}
		promised = expected(runs, deleted)
	}
	c.trials++
	c.rows += len(rows)
	c.verdicts.check(trial, promised, rec.events[trial], rows, runs)
}

// checkLetters demands a dead letter for each message that does not decode, and no other.
func (c *result) checkLetters(ctx context.Context, undecodable uint64) {
	letters, err := c.letters(ctx)
	if err != nil {
		c.other = append(c.other, fmt.Sprintf("look at the dead letters: %v", err))
		return
	}
	if letters < uint64(c.poisons) || letters > undecodable {
		c.other = append(c.other, fmt.Sprintf("%d dead letters; want %d, one of each message that does not decode", letters, undecodable))
	}
}

// problems are all violations, a line each.
func (c *result) problems() []string {
	problems := c.other
	if c.verdicts.bad() > 0 {
		problems = append(problems, fmt.Sprintf("%d events", c.verdicts.bad()))
	}
	return problems
}

// verdictsOnly are the violations that are no fault's failure to bite.
func (c *result) verdictsOnly() []string {
	problems := append([]string(nil), c.verdicts.Examples...)
	for _, problem := range c.other {
		if !strings.Contains(problem, "never bit") {
			problems = append(problems, problem)
		}
	}
	return problems
}

func (c *result) text() string {
	var b strings.Builder
	v := c.verdicts
	fmt.Fprintf(&b, "\nchaos: %s, %d of NATS, seed %d, %v, %d events a second and trainer\n", c.topology.database, c.topology.size, *seed, c.took.Round(time.Second), *rate)
	fmt.Fprintf(&b, "  %-48s %5s %5s %9s  %s\n", "fault", "times", "bit", "recovery", "the last time")
	for _, f := range c.faults {
		if r := c.records[f.name]; r != nil {
			fmt.Fprintf(&b, "  %-48s %5d %5d %9s  %s\n", f.name, r.Times, r.Bites, r.Recovery.Round(10*time.Millisecond), r.Evidence)
		}
	}
	fmt.Fprintf(&b, "  %s\n", v.string())
	fmt.Fprintf(&b, "  %d trials, %d messages, %d rows; %d events stored more than once; %d promises looked at when they were made; %d dead letters\n",
		c.trials, c.stored, c.rows, v.Restored, c.audits, c.poisons)
	fmt.Fprintf(&b, "  longest time without a commit: %v (%s)\n", c.watch.longest.Round(10*time.Millisecond), c.watch.during)
	for _, line := range slices.Concat(v.Examples, c.other[:min(len(c.other), 40)]) {
		fmt.Fprintf(&b, "  VIOLATION %s\n", line)
	}
	return b.String()
}
