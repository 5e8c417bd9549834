// Package metricline reads metrics out of the lines that programs print, as Katib's metrics collector does: from output
// that somebody else wrote to the events that a producer reports.
package metricline

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/katib-stream/katib-stream/schema"
)

// DefaultFilter is Katib's own for the text format: name=value.
const DefaultFilter = `([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)`

// The formats of lines, as an Experiment names them.
const (
	Text = "text"
	JSON = "json"
)

// Config says what a metric looks like.
type Config struct {
	// Format is Text or JSON.
	Format string
	// Filters are regular expressions for the text format; the first group is the name, the second the value. Default:
	// DefaultFilter.
	Filters []string
	// Metrics are the names that are kept; none means all.
	Metrics []string
	// Step is the name of a value that is an event's step, where the line has one. Default: none.
	Step string
}

// Reader reads lines. It is not safe for concurrent use.
type Reader struct {
	cfg     Config
	filters []*regexp.Regexp  // none means DefaultFilter
	wanted  map[string]string // each name under itself
	names   [][]byte          // the wanted ones, to be searched for
	used    map[string]bool   // names of the event that is being made
	seen    seen
}

// New returns a reader. The error says what in cfg cannot be used.
func New(cfg Config) (*Reader, error) {
	if cfg.Format != Text && cfg.Format != JSON {
		return nil, fmt.Errorf("the format is %q, neither %s nor %s", cfg.Format, Text, JSON)
	}
	if cfg.Format == JSON && len(cfg.Filters) > 0 {
		return nil, errors.New("filters are for the text format")
	}
	r := &Reader{cfg: cfg, wanted: map[string]string{}, used: map[string]bool{}, seen: newSeen()}
	for _, name := range cfg.Metrics {
		if name == "" {
			return nil, errors.New("a metric's name is empty")
		}
		r.wanted[name] = name
		r.names = append(r.names, []byte(name))
	}
	for _, filter := range cfg.Filters {
		compiled, err := regexp.Compile(filter)
		if err != nil {
			return nil, fmt.Errorf("filter %q is no regular expression: %w", filter, err)
		}
		if compiled.NumSubexp() < 2 {
			return nil, fmt.Errorf("filter %q has too few groups, %d; it needs one for the name and one for the value", filter, compiled.NumSubexp())
		}
		r.filters = append(r.filters, compiled)
	}
	return r, nil
}

// Line reads a line, without its end. What has no time is left without one. A metric that stands in a line several times
// makes several events. Unreadable says that the line looks like a metric that is wanted, and has no number for it.
func (r *Reader) Line(line []byte) (events []schema.Event, unreadable bool) {
	if !r.may(line) {
		if r.seen.spend(len(line)) {
			_ = r.read(line)
		}
		return nil, false
	}
	f := r.read(line)
	return r.events(f), f.unreadable
}

// may is a cheap look at whether there can be anything in a line.
func (r *Reader) may(line []byte) bool {
	if len(r.names) == 0 {
		return len(line) > 0
	}
	return slices.ContainsFunc(r.names, func(name []byte) bool { return bytes.Contains(line, name) })
}

// found is what a line says.
type found struct {
	time       time.Time
	step       *int64
	metrics    []schema.Metric
	unreadable bool
}

func (r *Reader) read(line []byte) found {
	if r.cfg.Format == JSON {
		return r.readJSON(line)
	}
	return r.readText(line)
}

// take takes a name with its value in, if it is wanted.
func (r *Reader) take(f *found, name []byte, value string) {
	isStep := len(name) > 0 && string(name) == r.cfg.Step
	if isStep {
		if step, err := strconv.ParseInt(value, 10, 64); err == nil && step >= 0 {
			f.step = &step
		}
	}
	kept, wanted := r.wanted[string(name)]
	if !wanted && len(r.names) > 0 {
		if !isStep {
			r.seen.other(name)
		}
		return
	}
	if !isNumber(value) || !utf8.Valid(name) {
		f.unreadable = f.unreadable || wanted
		return
	}
	if wanted {
		r.seen.wanted[kept] = true
	} else {
		kept = string(name)
	}
	f.metrics = append(f.metrics, schema.Metric{Name: kept, Value: value})
}

// isNumber says whether it is one, be it NaN, infinite, or too large for a float.
func isNumber(value string) bool {
	_, err := strconv.ParseFloat(value, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

// events puts the metrics of a line into as few events as possible.
func (r *Reader) events(f found) (events []schema.Event) {
	begin := 0
	cut := func(end int) {
		if end > begin {
			events = append(events, schema.Event{Time: f.time, Step: f.step, Metrics: f.metrics[begin:end:end]})
		}
		begin = end
		clear(r.used)
	}
	for i, metric := range f.metrics {
		if r.used[metric.Name] {
			cut(i)
		}
		r.used[metric.Name] = true
	}
	cut(len(f.metrics))
	return events
}
