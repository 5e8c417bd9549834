package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/deadletter"
)

type lettersListOptions struct {
	client
	letterFilter
	lines   int
	summary bool
}

func newDeadLettersListCommand(a *app) *cobra.Command {
	var o lettersListOptions
	command := &cobra.Command{
		Use:   "ls",
		Short: "List dead letters",
		Long: `List dead letters, the newest last. The number is what show, requeue and rm take.

With -o json each is one line of JSON, and --lines counts only when it is given.`,
		Example: `  katib-stream deadletters ls
  katib-stream deadletters ls --trial my-trial --since 24h
  katib-stream deadletters ls --summary`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.check(time.Now()); err != nil {
				return usageError{err}
			}
			if o.lines < 0 {
				return usagef("--lines is %d, less than 0", o.lines)
			}
			if o.output == cli.JSON && !changed(command.Flags(), "lines") {
				o.lines = 0
			}
			return a.listLetters(command.Context(), o)
		},
	}
	flags := command.Flags()
	o.client.addFlags(flags, "deadletters")
	o.letterFilter.addFlags(flags)
	flags.IntVarP(&o.lines, "lines", "n", 50, "how many to show, of the newest; 0 for all")
	flags.BoolVar(&o.summary, "summary", false, "count them by stage and reason instead")
	return command
}

func (a *app) listLetters(ctx context.Context, o lettersListOptions) error {
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, _, err := o.letters(ctx, nc)
	if err != nil {
		return err
	}
	if o.summary {
		return a.summarizeLetters(ctx, o, js)
	}
	var last []*deadletter.Letter
	count := 0
	err = deadletter.Each(ctx, js, o.Filter, o.timeout, func(l *deadletter.Letter) error {
		count++
		if o.output == cli.JSON && o.lines == 0 {
			return a.printLetterLine(l)
		}
		l.Header = nil // nobody looks at it here
		last = append(last, l)
		if o.lines > 0 && len(last) > 2*o.lines+1024 {
			last = append(last[:0], last[len(last)-o.lines:]...)
		}
		return nil
	})
	if err != nil {
		return explainLetters(nc, err)
	}
	if o.lines > 0 && len(last) > o.lines {
		last = last[len(last)-o.lines:]
	}
	if o.output == cli.JSON {
		for _, l := range last {
			if err := a.printLetterLine(l); err != nil {
				return err
			}
		}
		return nil
	}
	if count == 0 {
		_, err := fmt.Fprintln(a.stdout, "no dead letters")
		return err
	}
	if err := cli.WriteTable(a.stdout, []string{"NUMBER", "DIED", "NAMESPACE", "TRIAL", "STAGE", "SIZE", "REASON"}, letterRows(last)); err != nil {
		return err
	}
	if older := count - len(last); older > 0 {
		fmt.Fprintf(a.stderr, "katib-stream: deadletters: %d older ones are not shown; -n 0 shows all, --summary counts them\n", older)
	}
	return nil
}

func letterRows(letters []*deadletter.Letter) [][]string {
	rows := make([][]string, 0, len(letters))
	for _, l := range letters {
		namespace, trial := "-", l.Subject
		if place, ok := l.Place(); ok {
			namespace, trial = place.Namespace, place.Trial
		}
		rows = append(rows, []string{
			strconv.FormatUint(l.Sequence, 10), l.At.Local().Format(time.DateTime), namespace, trial, l.Stage, humanize.IBytes(uint64(l.Size)), l.Reason,
		})
	}
	return rows
}

// printedLetter is a dead letter as JSON.
type printedLetter struct {
	Number    uint64    `json:"number"`
	Died      time.Time `json:"died"`
	Stage     string    `json:"stage"`
	Reason    string    `json:"reason"`
	Namespace string    `json:"namespace,omitempty"`
	Trial     string    `json:"trial,omitempty"`
	// Subject, Sequence and Stored are the original's.
	Subject  string     `json:"subject"`
	Sequence uint64     `json:"sequence"`
	Stored   *time.Time `json:"stored,omitempty"`
	Size     int        `json:"size"`
}

func newPrintedLetter(l *deadletter.Letter) printedLetter {
	p := printedLetter{Number: l.Sequence, Died: l.At.UTC(), Stage: l.Stage, Reason: l.Reason, Subject: l.Subject, Sequence: l.OriginalSequence, Size: l.Size}
	if place, ok := l.Place(); ok {
		p.Namespace, p.Trial = place.Namespace, place.Trial
	}
	if !l.Time.IsZero() {
		p.Stored = new(l.Time.UTC())
	}
	return p
}

func (a *app) printLetterLine(l *deadletter.Letter) error {
	line, err := json.Marshal(newPrintedLetter(l))
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(append(cli.PrintableJSON(line), '\n'))
	return err
}

// letterCount counts the dead letters of one stage and reason.
type letterCount struct {
	Count  int       `json:"count"`
	Stage  string    `json:"stage"`
	Reason string    `json:"reason"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	// Newest is the number of the newest.
	Newest uint64 `json:"newest"`
}

// summarizeLetters counts by stage and reason; when there are very many reasons, the later ones together.
func (a *app) summarizeLetters(ctx context.Context, o lettersListOptions, js jetstream.JetStream) error {
	const most = 10_000
	counts := map[[2]string]*letterCount{}
	err := deadletter.Each(ctx, js, o.Filter, o.timeout, func(l *deadletter.Letter) error {
		key := [2]string{l.Stage, l.Reason}
		if len(counts) >= most && counts[key] == nil {
			key[1] = "(other reasons)"
		}
		c := counts[key]
		if c == nil {
			c = &letterCount{Stage: key[0], Reason: key[1], First: l.At.UTC()}
			counts[key] = c
		}
		c.Count++
		c.Last, c.Newest = l.At.UTC(), l.Sequence
		return nil
	})
	if err != nil {
		return explainLetters(js.Conn(), err)
	}
	sorted := make([]*letterCount, 0, len(counts))
	for _, c := range counts {
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(a, b *letterCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Reason, b.Reason))
	})
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, sorted)
	}
	if len(sorted) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no dead letters")
		return err
	}
	rows := make([][]string, 0, len(sorted))
	for _, c := range sorted {
		rows = append(rows, []string{strconv.Itoa(c.Count), c.Stage, c.Last.Local().Format(time.DateTime), strconv.FormatUint(c.Newest, 10), c.Reason})
	}
	return cli.WriteTable(a.stdout, []string{"COUNT", "STAGE", "LAST", "NEWEST", "REASON"}, rows)
}
