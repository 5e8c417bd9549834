package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/schema"
)

// printer writes entries one a line: aligned for people, or as JSON.
type printer struct {
	w      io.Writer
	json   bool
	step   int            // width of the column
	widths map[string]int // of "name=value", by name
}

func newPrinter(w io.Writer, json bool) *printer {
	return &printer{w: w, json: json, step: 1, widths: map[string]int{}}
}

func (p *printer) all(entries []entry) error {
	var out bytes.Buffer
	if !p.json {
		p.measure(entries)
	}
	for _, e := range entries {
		if p.json {
			out.Write(cli.PrintableJSON(jsonLine(e)))
		} else {
			out.WriteString(p.textLine(e))
		}
		out.WriteByte('\n')
	}
	_, err := p.w.Write(out.Bytes())
	return err
}

// measure lets columns grow to what stands in them; they never shrink.
func (p *printer) measure(entries []entry) {
	for _, e := range entries {
		p.step = max(p.step, len(stepText(e.event)))
		for _, m := range e.event.Metrics {
			p.widths[m.Name] = max(p.widths[m.Name], utf8.RuneCountInString(metricText(m)))
		}
	}
}

func (p *printer) textLine(e entry) string {
	const microseconds = "2006-01-02T15:04:05.000000Z"
	switch {
	case e.broken != nil:
		return e.stored.Format(microseconds) + "  dead letter: " + cli.Printable(e.broken.Error())
	case e.final:
		return e.stored.Format(microseconds) + "  producer " + cli.Printable(e.subject.Producer) + " ended"
	}
	line := fmt.Sprintf("%s  %*s", e.event.Time.UTC().Format(microseconds), p.step, stepText(e.event))
	for _, m := range e.event.Metrics {
		text := metricText(m)
		line += "  " + text + strings.Repeat(" ", p.widths[m.Name]-utf8.RuneCountInString(text))
	}
	return strings.TrimRight(line, " ")
}

func stepText(e schema.Event) string {
	if e.Step == nil {
		return "-"
	}
	return strconv.FormatInt(*e.Step, 10)
}

func metricText(m schema.Metric) string {
	return cli.Printable(m.Name) + "=" + cli.Printable(m.Value)
}

// jsonLine is the event as the wire has it, numbers as they were written, after where it comes from.
func jsonLine(e entry) []byte {
	head := struct {
		Namespace string    `json:"namespace,omitempty"`
		Trial     string    `json:"trial,omitempty"`
		Producer  string    `json:"producer,omitempty"`
		Sequence  uint64    `json:"sequence"`
		Stored    time.Time `json:"stored"`
		Final     bool      `json:"final,omitempty"`
		Dead      string    `json:"dead,omitempty"`
	}{e.subject.Namespace, e.subject.Trial, e.subject.Producer, e.sequence, e.stored, e.final, ""}
	if e.broken != nil {
		head.Dead = e.broken.Error()
	}
	line, _ := json.Marshal(head) // no field of it can fail
	if e.broken != nil || e.final {
		return line
	}
	line[len(line)-1] = ','
	return append(line, schema.AppendEvent(nil, e.event)[1:]...)
}
