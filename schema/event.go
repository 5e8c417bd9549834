package schema

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxMetricName  = 255
	maxMetricValue = 65_535
)

// Event is what one report says. On the wire it is one line of JSON.
type Event struct {
	// Time is when it happened, to the nanosecond; Katib DB keeps microseconds. Zero means the time at which the stream
	// stored the message, also on the wire, where 0001-01-01T00:00:00Z is what a Go program makes of a time it never set.
	// Years 1 to 9999 in UTC.
	Time time.Time
	// Step is the training step, 0 or more; nil when there is none. It stays in the stream: Katib DB has no place for it.
	Step *int64
	// Metrics holds at least one metric; no name stands twice.
	Metrics []Metric
}

// Metric is one name and its value.
type Metric struct {
	// Name is 1 to 255 characters, none of them a control character.
	Name string
	// Value is the text that Katib DB gets, to the letter: a number as it was written, or any string of at most 65,535
	// bytes without NUL.
	Value string
}

// Number makes a Metric of a float: the shortest text that reads back as the same value, and "NaN", "+Inf" or "-Inf".
func Number(name string, value float64) Metric {
	return Metric{Name: name, Value: strconv.FormatFloat(value, 'g', -1, 64)}
}

// Validate returns an *Error when the event breaks the contract.
func (e Event) Validate() error {
	if err := validateTime(e.Time); err != nil {
		return err
	}
	if e.Step != nil && *e.Step < 0 {
		return refuse(CodeStep, "step %d is negative", *e.Step)
	}
	if len(e.Metrics) == 0 {
		return refuse(CodeMetrics, "the event has no metrics")
	}
	for _, m := range e.Metrics {
		if err := m.validate(); err != nil {
			return err
		}
	}
	return validateUnique(e.Metrics)
}

func (m Metric) validate() error {
	if !utf8.ValidString(m.Name) || !utf8.ValidString(m.Value) {
		return refuse(CodeUTF8, "metric %s is not valid UTF-8", quote(m.Name))
	}
	if m.Name == "" || utf8.RuneCountInString(m.Name) > maxMetricName || strings.ContainsFunc(m.Name, unicode.IsControl) {
		return refuse(CodeMetricName, "metric name %s is not 1 to %d characters without control characters", quote(m.Name), maxMetricName)
	}
	if len(m.Value) > maxMetricValue {
		return refuse(CodeMetricValue, "the value of %s has %d bytes; at most %d fit", quote(m.Name), len(m.Value), maxMetricValue)
	}
	if strings.ContainsRune(m.Value, 0) {
		return refuse(CodeMetricValue, "the value of %s contains NUL", quote(m.Name))
	}
	return nil
}

// validateUnique refuses a name that stands twice. Up to scan metrics a linear search beats a map.
func validateUnique(metrics []Metric) error {
	const scan = 16
	var seen map[string]bool
	if len(metrics) > scan {
		seen = make(map[string]bool, len(metrics))
	}
	for i, m := range metrics {
		twice := seen[m.Name]
		if seen == nil {
			twice = slices.ContainsFunc(metrics[:i], func(before Metric) bool { return before.Name == m.Name })
		} else {
			seen[m.Name] = true
		}
		if twice {
			return refuse(CodeDuplicate, "metric %s stands twice", quote(m.Name))
		}
	}
	return nil
}

func validateTime(t time.Time) error {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return refuse(CodeTime, "time %s is outside of the years 1 to 9999", t.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// AppendEvent appends the event as one line of JSON, without the newline. It is meant for an event that Validate
// accepts. A value that is a JSON number is written as one, any other as a string.
func AppendEvent(line []byte, e Event) []byte {
	line = append(line, '{')
	if !e.Time.IsZero() {
		line = append(line, `"time":"`...)
		line = e.Time.UTC().AppendFormat(line, time.RFC3339Nano)
		line = append(line, `",`...)
	}
	if e.Step != nil {
		line = append(line, `"step":`...)
		line = strconv.AppendInt(line, *e.Step, 10)
		line = append(line, ',')
	}
	line = append(line, `"metrics":{`...)
	for i, m := range e.Metrics {
		if i > 0 {
			line = append(line, ',')
		}
		line = appendString(line, m.Name)
		line = append(line, ':')
		if isNumber(m.Value) {
			line = append(line, m.Value...)
		} else {
			line = appendString(line, m.Value)
		}
	}
	return append(line, "}}"...)
}

func isNumber(value string) bool {
	if value == "" || (value[0] != '-' && (value[0] < '0' || value[0] > '9')) {
		return false
	}
	last := value[len(value)-1]
	return last >= '0' && last <= '9' && json.Valid([]byte(value))
}

// appendString escapes only what JSON makes it escape, and as shortly as it can (so does RFC 8785). Every language can
// write the same bytes; encoding/json escapes more, for the sake of HTML.
func appendString(line []byte, s string) []byte {
	line = append(line, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ':
			escaped, _ := json.Marshal(string(c)) // a string always marshals
			line = append(line, escaped[1:len(escaped)-1]...)
		case c == '"' || c == '\\':
			line = append(line, '\\', c)
		default:
			line = append(line, c)
		}
	}
	return append(line, '"')
}
