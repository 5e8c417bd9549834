package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/deadletter"
	"github.com/katib-stream/katib-stream/schema"
)

type letterShowOptions struct {
	client
	number uint64
	raw    bool
}

func newDeadLettersShowCommand(a *app) *cobra.Command {
	var o letterShowOptions
	command := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show a dead letter",
		Long: `Show all that is known of a dead letter: why it is one, the original's subject, headers and body, and what can be done. With
--raw it writes the body alone, as it is, to be mended and given to requeue --body.`,
		Example: `  katib-stream deadletters show 7
  katib-stream deadletters show 7 --raw > body.json`,
		RunE: func(command *cobra.Command, args []string) (err error) {
			if len(args) != 1 {
				return usagef("it takes the number of one dead letter; `katib-stream deadletters ls` shows them")
			}
			if o.number, err = numberOf(args[0]); err != nil {
				return err
			}
			return a.showLetter(command.Context(), o)
		},
	}
	o.addFlags(command.Flags(), "deadletters")
	command.Flags().BoolVar(&o.raw, "raw", false, "only the body, byte by byte")
	return command
}

func (a *app) showLetter(ctx context.Context, o letterShowOptions) error {
	nc, err := o.connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	_, letters, err := o.letters(ctx, nc)
	if err != nil {
		return err
	}
	reading, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	l, err := deadletter.Get(reading, letters, o.number)
	if err != nil {
		return explainLetters(nc, err)
	}
	if o.raw {
		_, err := a.stdout.Write(l.Body)
		return err
	}
	if o.output == cli.JSON {
		return cli.WriteJSON(a.stdout, newShownLetter(l))
	}
	return a.printLetter(l)
}

// shownLetter is a dead letter as JSON, with what it holds.
type shownLetter struct {
	printedLetter
	Header map[string][]string `json:"headers"`
	// Body is the body where it is text, otherwise BodyBytes, in base64.
	Body      *string `json:"body,omitempty"`
	BodyBytes []byte  `json:"body_base64,omitempty"`
	Advice    string  `json:"advice"`
}

func newShownLetter(l *deadletter.Letter) shownLetter {
	shown := shownLetter{printedLetter: newPrintedLetter(l), Header: l.Header, Advice: advice(l)}
	if utf8.Valid(l.Body) {
		shown.Body = new(string(l.Body))
	} else {
		shown.BodyBytes = l.Body
	}
	return shown
}

func (a *app) printLetter(l *deadletter.Letter) error {
	rows := [][]string{
		{"number", fmt.Sprint(l.Sequence)},
		{"died", l.At.Local().Format(time.DateTime)},
		{"stage", l.Stage},
		{"reason", l.Reason},
		{"subject", l.Subject},
		{"sequence", fmt.Sprintf("%d of %s", l.OriginalSequence, schema.Stream)},
	}
	if !l.Time.IsZero() {
		rows = append(rows, []string{"stored", l.Time.Local().Format("2006-01-02 15:04:05.000000")})
	}
	for _, name := range slices.Sorted(maps.Keys(l.Header)) {
		rows = append(rows, []string{"header", name + ": " + strings.Join(l.Header[name], ", ")})
	}
	rows = append(rows, []string{"what to do", advice(l)})
	if err := cli.WriteTable(a.stdout, nil, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s", printableBody(l.Body))
	return err
}

// printableBody shows lines of text as they are, and anything else as a dump.
func printableBody(body []byte) string {
	if len(body) == 0 {
		return "(no body)\n"
	}
	var text strings.Builder
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSuffix(line, "\n")
		if cli.Printable(line) != line {
			return hex.Dump(body)
		}
		text.WriteString(line + "\n")
	}
	return text.String()
}

// advice says in a sentence what can be done.
func advice(l *deadletter.Letter) string {
	_, err := l.Message(deadletter.Change{})
	_, hasPlace := l.Place()
	again := fmt.Sprintf("katib-stream deadletters requeue %d", l.Sequence)
	switch {
	case err != nil && l.Stage == schema.StageDecode && l.Of != "" && hasPlace:
		return fmt.Sprintf("mend it: katib-stream deadletters show %d --raw > body.json, then %s --body body.json", l.Sequence, again)
	case err != nil:
		return err.Error()
	case l.Stage == schema.StageNamespace:
		return fmt.Sprintf("if the trial is that namespace's by now, %s; to give it to another, add --to-namespace or --to-trial", again)
	case l.Stage == schema.StagePersist:
		return fmt.Sprintf("mend the database's columns or the body, then %s", again)
	case l.Stage == schema.StageQuarantine:
		return fmt.Sprintf("when consumers run that can handle it, %s", again)
	}
	return again
}
