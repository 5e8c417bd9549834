package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/guptarohit/asciigraph"
)

// printDemo prints the result for people, on 80 columns.
func (a *app) printDemo(r demoResult) error {
	var text strings.Builder
	r.printTable(&text)
	r.printBest(&text)
	r.printKill(&text)
	r.printVerdict(&text)
	r.printNext(&text)
	_, err := io.WriteString(a.stdout, text.String())
	return err
}

const demoRow = "%-9s %7v %5v %6v %5v %5v %6v %6v %4v %7v %7v\n"

func (r *demoResult) printTable(w io.Writer) {
	fmt.Fprintln(w)
	fmt.Fprintf(w, demoRow, "TRIAL", "RATE", "BATCH", "HIDDEN", "BEST", "LAST", "EVENTS", "ROWS", "LOST", "DOUBLED", "ALTERED")
	for _, t := range r.Trials {
		fmt.Fprintf(w, demoRow, t.Name, t.LearningRate, t.BatchSize, t.Hidden, fmt.Sprintf("%.3f", t.Best), fmt.Sprintf("%.3f", t.Last),
			t.Events, t.Rows, t.Lost, t.Doubled, t.Altered)
	}
	fmt.Fprintf(w, demoRow, "all", "", "", "", "", "", r.Events, r.Rows, r.Lost, r.Doubled, r.Altered)
	fmt.Fprint(w, `
BEST and LAST are accuracies on images that were not trained on. EVENTS is what
each trainer noted in a file of its own; an event has two metrics, and so two
ROWS in observation_logs. LOST, DOUBLED and ALTERED compare the two.
`)
}

func (r *demoResult) printBest(w io.Writer) {
	for _, t := range r.Trials {
		if t.Name == r.Best {
			fmt.Fprintf(w, "\nBest trial: %s with rate %g, batch %d and %d hidden units.\n\n", t.Name, t.LearningRate, t.BatchSize, t.Hidden)
		}
	}
	if len(r.curve) > 0 {
		fmt.Fprintln(w, asciigraph.Plot(r.curve, asciigraph.Width(64), asciigraph.Height(8), asciigraph.Precision(2),
			asciigraph.XAxisRange(0, float64(len(r.curve))), asciigraph.XAxisTickCount(5),
			asciigraph.XAxisValueFormatter(func(step float64) string { return fmt.Sprintf("%.0f", step) }),
			asciigraph.Caption("accuracy of "+r.Best+" by step, from observation_logs")))
	}
}

func (r *demoResult) printKill(w io.Writer) {
	if !r.Killed {
		return
	}
	fmt.Fprintf(w, `
The kill: the consumer died after a commit, before it acknowledged. The next one
was given %s again, and found %d of them in the database already.
`, messages(r.Redeliveries), r.Duplicates)
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

func (r *demoResult) printVerdict(w io.Writer) {
	if !r.Passed {
		fmt.Fprintf(w, "\nFAILED after %.0f s: %s.\n", r.Seconds, strings.Join(r.Problems, "; "))
		return
	}
	fmt.Fprintf(w, "\nPASSED in %.0f s: each of %d events is in the database once, as reported.\n", r.Seconds, r.Events)
}

func (r *demoResult) printNext(w io.Writer) {
	data, trial := "", "my-trial"
	if r.Folder != "" {
		data, trial = " --data "+r.Folder, r.Best
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(arguments, what string) { fmt.Fprintf(table, "  %s %s\t%s\n", calledAs(), arguments, what) }
	fmt.Fprintln(w, "\nTry next:")
	line("up"+data, "everything on this machine")
	line("publish my-trial loss=0.5", "report by hand, in a new terminal")
	line("trials", "who reported, and who ended")
	line("tail "+trial, "what a trial reports")
	if r.Folder == "" {
		line("demo --dir demo-data", "this again, with all files kept")
	}
	table.Flush() // w takes everything
	fmt.Fprintln(w, "How code in Go reports: examples/digits/train.go")
}
