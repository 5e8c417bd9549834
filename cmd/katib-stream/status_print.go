package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/katib-stream/katib-stream/internal/cli"
)

func (a *app) printStatus(found trialStatus) error {
	header := []string{"NAMESPACE", "PRODUCER", "STORED"}
	if found.Persisted != nil {
		header = append(header, "PERSISTED", "PENDING", "WATERMARK", "MISSING", "DEAD", "EVENTS")
	}
	rows := make([][]string, 0, len(found.Producers))
	for _, p := range found.Producers {
		rows = append(rows, p.row())
	}
	if len(rows) > 0 {
		if err := cli.WriteTable(a.stdout, append(header, "STATE"), rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(a.stdout, found.inWords())
	return err
}

func (p *producerStatus) row() []string {
	cells := []string{p.Namespace, p.Producer, strconv.FormatUint(p.Stored, 10)}
	if p.databaseStatus != nil {
		for _, n := range []uint64{p.Persisted, p.Pending, p.Watermark, p.Missing, p.DeadLetters, p.Events} {
			cells = append(cells, strconv.FormatUint(n, 10))
		}
	}
	return append(cells, p.state())
}

func (p *producerStatus) state() string {
	switch {
	case p.databaseStatus != nil && p.Deleted:
		return "deleted"
	case p.Ended:
		return "ended"
	}
	return "open"
}

// inWords says whether everything is persisted, and what else there is to know.
func (t trialStatus) inWords() string {
	if t.Persisted == nil {
		return areMany(t.Stored, "message") + " stored of trial " + t.Trial
	}
	var missing, dead uint64
	deleted := t.DeletedAt != nil
	for _, p := range t.Producers {
		missing, dead, deleted = missing+p.Missing, dead+p.DeadLetters, deleted && p.Deleted
	}
	var words []string
	switch {
	case t.Pending > 0:
		words = append(words, areMany(t.Pending, "message")+" on the way to the database")
	case deleted:
		return "trial " + t.Trial + " was deleted at " + t.DeletedAt.UTC().Format(time.RFC3339) + ", with everything that was reported of it"
	default:
		words = append(words, "everything that the stream holds of trial "+t.Trial+" is persisted")
	}
	if missing > 0 {
		words = append(words, areMany(missing, "message")+" missing, for they never reached the stream")
	}
	if dead > 0 {
		words = append(words, diedOf(dead))
	}
	if t.strays > 0 {
		words = append(words, areMany(t.strays, "message")+" on a subject that is no producer's")
	}
	return strings.Join(words, "; ")
}
