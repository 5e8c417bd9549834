package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/katib-stream/katib-stream/internal/metricline"
	"github.com/katib-stream/katib-stream/producer"
	"github.com/katib-stream/katib-stream/schema"
)

const (
	// mostShown is how many lines are shown as examples; twice as many names are.
	mostShown = 3
	// shownOfLine is how much of such a line is shown, in bytes.
	shownOfLine = 120
)

// collector reports the metrics in the lines of several streams.
type collector struct {
	producer *producer.Producer

	mu         sync.Mutex
	reader     *metricline.Reader
	streams    []*metricline.Splitter
	found      uint64   // events
	unreadable uint64   // lines
	examples   []string // of them
	refused    uint64   // events for which there was no room
	why        error    // there was none
	full       bool     // there still is none
}

func newCollector(reader *metricline.Reader, p *producer.Producer) *collector {
	return &collector{producer: p, reader: reader}
}

// stream takes what one stream carries; not safe for concurrent use.
func (c *collector) stream() *metricline.Splitter {
	s := metricline.NewSplitter(c.line)
	c.streams = append(c.streams, s)
	return s
}

// close takes what was written last for a line.
func (c *collector) close() {
	for _, s := range c.streams {
		s.Close()
	}
}

// line reports what is in a line. Of one that is too long it reports nothing: it may be cut in the middle of a value.
func (c *collector) line(line []byte, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	events, unreadable := c.reader.Line(line)
	if !whole {
		events, unreadable = nil, unreadable || len(events) > 0
	}
	for _, event := range events {
		unreadable = !c.report(event) || unreadable
	}
	if unreadable {
		c.note(line)
	}
}

// report says whether the event can be reported at all.
func (c *collector) report(event schema.Event) bool {
	err := c.producer.Report(c.waiting(), event)
	if errors.Is(err, producer.ErrBufferFull) {
		c.refused++
		c.why, c.full = err, true
		return true
	}
	if err != nil {
		return false
	}
	c.found++
	c.full = false
	return true
}

// waiting lets the first report wait for room. When that was in vain the next ones do not, so that the command goes on.
func (c *collector) waiting() context.Context {
	if !c.full {
		return context.Background()
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return ended
}

func (c *collector) note(line []byte) {
	c.unreadable++
	if len(c.examples) == mostShown {
		return
	}
	text := string(line[:min(len(line), shownOfLine)])
	if len(line) > shownOfLine {
		text += "…"
	}
	c.examples = append(c.examples, strconv.Quote(text))
}

// dropped is how many events there was no room for.
func (c *collector) dropped() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// summary says what was not found, and what could not be read.
func (c *collector) summary() (lines []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unreadable > 0 {
		lines = append(lines, fmt.Sprintf("%s looked like metrics and could not be read: %s", countLines(c.unreadable), strings.Join(c.examples, ", ")))
	}
	missing, others := c.reader.Missing()
	switch {
	case len(others) > 0:
		lines = append(lines, fmt.Sprintf("no value was found for %s; the lines had %s", enumerate(missing), enumerate(others)))
	case len(missing) > 0:
		lines = append(lines, "no value was found for "+enumerate(missing))
	case c.found+c.refused == 0:
		lines = append(lines, "no metric was found")
	}
	if c.refused > 0 {
		lines = append(lines, fmt.Sprintf("%s dropped, for there was no room: %s", wereEvents(c.refused), oneLineOf(c.why)))
	}
	return lines
}

func countLines(n uint64) string {
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}

func wereEvents(n uint64) string {
	if n == 1 {
		return "1 event was"
	}
	return fmt.Sprintf("%d events were", n)
}

// enumerate shows the first names.
func enumerate(names []string) string {
	if len(names) > 2*mostShown {
		return strings.Join(names[:2*mostShown], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
