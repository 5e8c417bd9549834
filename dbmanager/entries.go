package dbmanager

import (
	"fmt"
	"slices"
	"time"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/schema"
)

const (
	// maxEvents is how many events a message gets: a consumer commits each message whole.
	maxEvents = 5_000
	// headerBytes is what the headers of a message can need; they count against the limit of its size.
	headerBytes = 128
)

// entries is a reported log on its way into messages.
type entries struct {
	log     []*katibapi.MetricLog
	limit   int // of a message's body
	taken   int
	retired string // the producer that turned out not to be listened to, when a part was sent
}

// newEntries checks a log before anything of it is sent. Entries without a time are passed over, as Katib does.
func newEntries(log []*katibapi.MetricLog, limit int) (*entries, error) {
	for i, entry := range log {
		if entry.GetTimeStamp() == "" {
			continue
		}
		if err := check(entry, limit); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	log = slices.DeleteFunc(log, func(entry *katibapi.MetricLog) bool { return entry.GetTimeStamp() == "" })
	return &entries{log: log, limit: limit}, nil
}

func check(entry *katibapi.MetricLog, limit int) error {
	at, err := parseTime(entry.GetTimeStamp())
	if err != nil {
		return err
	}
	event := eventOf(entry, at)
	if err := event.Validate(); err != nil {
		return err
	}
	const escaped, rest = 6, 128 // JSON writes a character as six at most
	if escaped*(len(entry.Metric.Name)+len(entry.Metric.Value))+rest <= limit {
		return nil
	}
	if size := len(schema.AppendEvent(nil, event)) + len("\n"); size > limit {
		return fmt.Errorf("it needs %d bytes, and a message carries at most %d", size, limit)
	}
	return nil
}

// parseTime reads a time as Katib does. The very first one stands for "no time" in an event, and Katib means it: it writes
// `unavailable` there. A nanosecond later is the same microsecond in the database.
func parseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return at, fmt.Errorf("time %q is not RFC 3339, like 2026-11-24T12:00:00.123456Z", cut(text))
	}
	if at.IsZero() {
		at = at.Add(time.Nanosecond)
	}
	return at, nil
}

func cut(text string) string {
	const limit = 64
	return text[:min(len(text), limit)]
}

func eventOf(entry *katibapi.MetricLog, at time.Time) schema.Event {
	return schema.Event{Time: at, Metrics: []schema.Metric{{Name: entry.GetMetric().GetName(), Value: entry.GetMetric().GetValue()}}}
}

// next gives the next message's body, nil when all are taken.
func (e *entries) next() []byte {
	var body []byte
	for first := e.taken; e.taken < len(e.log) && e.taken-first < maxEvents; e.taken++ {
		before := len(body)
		entry := e.log[e.taken]
		at, _ := parseTime(entry.GetTimeStamp()) // it was checked
		body = append(schema.AppendEvent(body, eventOf(entry, at)), '\n')
		if len(body) > e.limit && before > 0 {
			return body[:before]
		}
	}
	return body
}

// rest says whether next has more to give.
func (e *entries) rest() bool { return e.taken < len(e.log) }
