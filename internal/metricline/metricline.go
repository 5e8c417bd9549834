// Package metricline reads metrics out of the lines that programs print, as Katib's metrics collector does: from output
// that somebody else wrote to the events that a producer reports.
package metricline

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
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

// mostNames is how many names are remembered that nobody asked for.
const mostNames = 100

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
	filters []*regexp.Regexp
	wanted  map[string]bool
	names   [][]byte // the wanted ones, to be searched for
	seen    map[string]bool
}

// New returns a reader. The error says what in cfg cannot be used.
func New(cfg Config) (*Reader, error) {
	if cfg.Format != Text && cfg.Format != JSON {
		return nil, fmt.Errorf("the format is %q, neither %s nor %s", cfg.Format, Text, JSON)
	}
	if cfg.Format == JSON && len(cfg.Filters) > 0 {
		return nil, errors.New("filters are for the text format")
	}
	r := &Reader{cfg: cfg, wanted: map[string]bool{}, seen: map[string]bool{}}
	for _, name := range cfg.Metrics {
		r.wanted[name] = true
		r.names = append(r.names, []byte(name))
	}
	if len(cfg.Filters) == 0 {
		cfg.Filters = []string{DefaultFilter}
	}
	for _, filter := range cfg.Filters {
		compiled, err := regexp.Compile(filter)
		if err != nil {
			return nil, fmt.Errorf("filter %q is no regular expression: %w", filter, err)
		}
		if compiled.NumSubexp() < 2 {
			return nil, fmt.Errorf("filter %q has %d groups; it needs one for the name and one for the value", filter, compiled.NumSubexp())
		}
		r.filters = append(r.filters, compiled)
	}
	return r, nil
}

// Line reads a line, without its end. What has no time is left without one. A metric that stands in a line several times
// makes several events. Unreadable says that the line looks like a metric that is wanted, and has no number for it.
func (r *Reader) Line(line []byte) (events []schema.Event, unreadable bool) {
	if !r.may(line) {
		return nil, false
	}
	var found found
	if r.cfg.Format == JSON {
		found = r.readJSON(line)
	} else {
		found = r.readText(line)
	}
	return r.events(found), found.unreadable
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

// take takes a name with its value in, if it is wanted.
func (r *Reader) take(f *found, name, value string) {
	if name == r.cfg.Step && name != "" {
		if step, err := strconv.ParseInt(value, 10, 64); err == nil && step >= 0 {
			f.step = &step
		}
	}
	if len(r.wanted) > 0 && !r.wanted[name] {
		if len(r.seen) < mostNames {
			r.seen[name] = true
		}
		return
	}
	if !isNumber(value) || !utf8.ValidString(name) {
		f.unreadable = f.unreadable || len(r.wanted) > 0
		return
	}
	r.seen[name] = true
	f.metrics = append(f.metrics, schema.Metric{Name: name, Value: value})
}

// isNumber says whether it is one for Katib's controller: also NaN and infinities.
func isNumber(value string) bool {
	_, err := strconv.ParseFloat(value, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

// events puts the metrics of a line into as few events as possible.
func (r *Reader) events(f found) (events []schema.Event) {
	var event schema.Event
	names := map[string]bool{}
	cut := func() {
		if len(event.Metrics) > 0 {
			events = append(events, event)
		}
		event = schema.Event{Time: f.time, Step: f.step}
		clear(names)
	}
	cut()
	for _, metric := range f.metrics {
		if names[metric.Name] {
			cut()
		}
		names[metric.Name] = true
		event.Metrics = append(event.Metrics, metric)
	}
	cut()
	return events
}

// Missing are the wanted names that no line had a number for, and Others the names that stood in lines beside them; both
// sorted.
func (r *Reader) Missing() (missing, others []string) {
	for name := range maps.Keys(r.wanted) {
		if !r.seen[name] {
			missing = append(missing, name)
		}
	}
	for name := range r.seen {
		if !r.wanted[name] {
			others = append(others, name)
		}
	}
	slices.Sort(missing)
	slices.Sort(others)
	return missing, others
}
