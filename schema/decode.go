package schema

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Stored is a message as the stream KATIB_METRICS holds it.
type Stored struct {
	Subject string
	Header  map[string][]string
	Body    []byte
	// Epoch is the stream's, from its metadata.
	Epoch string
	// Sequence and Time are those under which the stream stored the message.
	Sequence uint64
	Time     time.Time
}

// Message is a decoded message: one or more events of one trial, from one producer.
type Message struct {
	Subject  Subject
	Identity Identity
	// Final says that the producer's run ended with this message.
	Final  bool
	Events []Event
}

// Decode reads a stored message. Events without a time get the message's stream time.
//
// It returns an *Error for what breaks the contract, and then still the identity and, where the subject could be read,
// the subject: what a dead letter is recorded under. It never panics.
func Decode(m Stored) (Message, error) {
	msgID := first(m.Header, HeaderMsgID)
	subject, err := ParseSubject(m.Subject)
	if err != nil {
		return Message{Identity: IdentityOf("", "", m.Epoch, m.Sequence)}, err
	}
	decoded := Message{
		Subject:  subject,
		Identity: IdentityOf(subject.Producer, msgID, m.Epoch, m.Sequence),
		Final:    first(m.Header, HeaderFinal) == "true",
	}
	decoded.Events, err = DecodeEvents(m.Body)
	if err != nil {
		return decoded, err
	}
	if len(decoded.Events) == 0 && !decoded.Final {
		return decoded, refuse(CodeEmpty, "the message holds no event")
	}
	for i := range decoded.Events {
		if decoded.Events[i].Time.IsZero() {
			decoded.Events[i].Time = m.Time
		}
	}
	return decoded, nil
}

func first(header map[string][]string, name string) string {
	if values := header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// DecodeEvents reads a message's body: one event a line; blank lines are passed over. An *Error names the line.
func DecodeEvents(body []byte) ([]Event, error) {
	var events []Event
	text := string(body) // copied once: names and values are parts of it
	for number, start := 1, 0; start < len(text); number++ {
		end := len(text)
		if i := strings.IndexByte(text[start:], '\n'); i >= 0 {
			end = start + i
		}
		event, blank, err := decodeLine(body[start:end], text[start:end])
		if err != nil {
			var broken *Error
			if errors.As(err, &broken) {
				broken.Line = number
			}
			return nil, err
		}
		if !blank {
			events = append(events, event)
		}
		start = end + 1
	}
	return events, nil
}

// decodeLine takes the line twice, as bytes for the standard library's validity check and as the text to cut from.
func decodeLine(line []byte, text string) (event Event, blank bool, err error) {
	if skipSpace(text) == "" {
		return Event{}, true, nil
	}
	if !utf8.Valid(line) {
		return Event{}, false, refuse(CodeUTF8, "the text is not valid UTF-8")
	}
	if !json.Valid(line) {
		return Event{}, false, refuse(CodeJSON, "%s is not a JSON object%s", quote(text), hintNaN(text))
	}
	event, err = decodeEvent(text)
	return event, false, err
}

// hintNaN helps those whose language writes what JSON has no number for; Python's does.
func hintNaN(text string) string {
	if strings.Contains(text, ":NaN") || strings.Contains(text, ": NaN") || strings.Contains(text, "Infinity") {
		return `; JSON has no NaN and no Infinity, write them as strings`
	}
	return ""
}

// decodeEvent reads an event out of one valid JSON value.
func decodeEvent(text string) (Event, error) {
	var event Event
	var seen fieldSet
	err := eachField(text, CodeJSON, "the line", func(name, value string) error {
		err := seen.add(name)
		if err != nil {
			return err
		}
		switch name {
		case "time":
			event.Time, err = decodeTime(value)
		case "step":
			event.Step, err = decodeStep(value)
		case "metrics":
			event.Metrics, err = decodeMetrics(value)
		}
		return err
	})
	if err == nil && len(event.Metrics) == 0 {
		err = refuse(CodeMetrics, "the event has no metrics")
	}
	return event, err
}

// fieldSet is the names of the fields that a line had so far: the first few in an array, since lines have few.
type fieldSet struct {
	few  [4]string
	n    int
	many map[string]bool
}

func (s *fieldSet) add(name string) error {
	if slices.Contains(s.few[:s.n], name) || s.many[name] {
		return refuse(CodeDuplicate, "field %s stands twice", quote(name))
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return nil
	}
	if s.many == nil {
		s.many = map[string]bool{}
	}
	s.many[name] = true
	return nil
}

func decodeTime(value string) (time.Time, error) {
	if value == "null" {
		return time.Time{}, nil
	}
	if value[0] != '"' {
		return time.Time{}, refuse(CodeTime, "time %s is not a string", quote(value))
	}
	text, err := unquote(value)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || !strictTime(text) {
		return time.Time{}, refuse(CodeTime, "time %s is not RFC 3339 with up to nanoseconds, like 2026-11-24T12:00:00.123456Z", quote(text))
	}
	return t.UTC(), validateTime(t)
}

// strictTime looks for what time.Parse takes although RFC 3339 does not (https://go.dev/issue/54580): an hour of one
// digit, a comma before the fraction, an offset of a day or more. It also holds the fraction to nanoseconds.
func strictTime(parsed string) bool {
	const point = len("2006-01-02T15:04:05")
	zone := len(parsed) - len("Z")
	if parsed[zone] != 'Z' {
		zone = len(parsed) - len("+07:00")
		if parsed[zone+1:zone+3] > "23" || parsed[zone+4:] > "59" {
			return false
		}
	}
	return parsed[len("2006-01-02T15")] == ':' && (zone == point || (parsed[point] == '.' && zone-point <= len(".999999999")))
}

func decodeStep(value string) (*int64, error) {
	if value == "null" {
		return nil, nil
	}
	step, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return nil, refuse(CodeStep, "step %s is not an integer from 0 to 2^63-1", quote(value))
	}
	return new(int64(step)), nil
}

func decodeMetrics(value string) ([]Metric, error) {
	var metrics []Metric
	err := eachField(value, CodeMetrics, "metrics", func(name, raw string) error {
		m := Metric{Name: name, Value: raw}
		switch raw[0] {
		case '"':
			text, err := unquote(raw)
			if err != nil {
				return err
			}
			m.Value = text
		case 't', 'f', 'n', '{', '[':
			return refuse(CodeMetricValue, "the value of %s is %s, neither a number nor a string", quote(name), quote(raw))
		}
		metrics = append(metrics, m)
		return m.validate()
	})
	if err == nil {
		err = validateUnique(metrics)
	}
	return metrics, err
}
