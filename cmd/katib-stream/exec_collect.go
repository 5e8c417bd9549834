package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/metricline"
	"github.com/katib-stream/katib-stream/producer"
)

// mostShown is how many lines, or names, are shown as examples.
const mostShown = 3

// collector reports the metrics in the lines of several streams.
type collector struct {
	producer *producer.Producer

	mu         sync.Mutex
	reader     *metricline.Reader
	streams    []*metricline.Splitter
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

func (c *collector) line(line []byte, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	events, unreadable := c.reader.Line(line)
	for _, event := range events {
		switch err := c.producer.Report(c.waiting(), event); {
		case errors.Is(err, producer.ErrBufferFull):
			c.refused++
			c.why, c.full = err, true
		case err != nil:
			unreadable = true
		default:
			c.full = false
		}
	}
	if unreadable || (!whole && len(events) > 0) {
		c.note(line)
	}
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
	const shown = 120
	c.unreadable++
	if len(c.examples) == mostShown {
		return
	}
	text := cli.Printable(string(line[:min(len(line), shown)]))
	if len(line) > shown {
		text += "…"
	}
	c.examples = append(c.examples, fmt.Sprintf("%q", text))
}

// dropped is how many events there was no room for.
func (c *collector) dropped() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

// summary says what was not found, and what could not be read.
func (c *collector) summary(o execOptions) (lines []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unreadable > 0 {
		lines = append(lines, fmt.Sprintf("%s looked like metrics and could not be read: %s", countLines(c.unreadable), strings.Join(c.examples, ", ")))
	}
	missing, others := c.reader.Missing()
	if len(missing) > 0 {
		text := "no value was found for " + strings.Join(missing, ", ")
		if len(others) > 0 {
			text += "; the lines had " + strings.Join(others[:min(len(others), 2*mostShown)], ", ")
		}
		lines = append(lines, text)
	}
	if c.refused > 0 {
		lines = append(lines, fmt.Sprintf("%s were dropped, for there was no room: %s", countOf(int(c.refused)), oneLineOf(c.why)))
	}
	return lines
}

func countLines(n uint64) string {
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}
