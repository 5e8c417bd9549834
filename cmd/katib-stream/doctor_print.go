package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/doctor"
)

// statusWords are the statuses for people; a failure is to be seen.
var statusWords = map[doctor.Status]string{doctor.OK: "ok", doctor.Note: "note", doctor.Skip: "skip", doctor.Warn: "warn", doctor.Fail: "FAIL"}

// printReport writes a line for each finding, under its group, and beneath it how to mend it.
func (a *app) printReport(report doctor.Report) error {
	var page strings.Builder
	for _, fixed := range report.Fixed {
		if fixed.Error != "" {
			fmt.Fprintf(&page, "could not %s: %s\n", cli.Printable(fixed.Says), cli.Printable(fixed.Error))
			continue
		}
		fmt.Fprintf(&page, "done: %s\n", cli.Printable(fixed.Says))
	}
	width := 0
	for _, f := range report.Findings {
		width = max(width, utf8.RuneCountInString(f.Check))
	}
	group := ""
	for _, f := range report.Findings {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&page, "%s\n", group)
		}
		fmt.Fprintf(&page, "  %-4s  %-*s  %s\n", statusWords[f.Status], width, f.Check, cli.Printable(f.Detail))
		if f.Mend != "" {
			fmt.Fprintf(&page, "  %-4s  %-*s  -> %s\n", "", width, "", cli.Printable(f.Mend))
		}
	}
	var sums []string
	for _, status := range []doctor.Status{doctor.Fail, doctor.Warn, doctor.Note, doctor.Skip, doctor.OK} {
		if n := report.Count(status); n > 0 {
			sums = append(sums, fmt.Sprintf("%d %s", n, statusWords[status]))
		}
	}
	fmt.Fprintln(&page, strings.Join(sums, ", "))
	_, err := fmt.Fprint(a.stdout, page.String())
	return err
}
