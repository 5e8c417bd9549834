package katibdb

import (
	"context"
	"math/bits"
	"time"
)

// rowIterator walks the rows of messages: each event, each of its metrics.
type rowIterator struct {
	messages      []*Message
	event, metric int
	left          int
}

func newRowIterator(messages []*Message) *rowIterator {
	it := &rowIterator{messages: messages, metric: -1}
	for _, m := range messages {
		for i := range m.Events {
			it.left += len(m.Events[i].Metrics)
		}
	}
	return it
}

// next moves to the next row and reports whether there is one.
func (it *rowIterator) next() bool {
	it.metric++
	for len(it.messages) > 0 {
		events := it.messages[0].Events
		if it.event < len(events) && it.metric < len(events[it.event].Metrics) {
			it.left--
			return true
		}
		it.metric = 0
		if it.event++; it.event >= len(events) {
			it.messages, it.event = it.messages[1:], 0
		}
	}
	return false
}

// row gives the current row, its time in UTC and cut to the microseconds that the column holds: databases would round.
func (it *rowIterator) row() (trial string, at time.Time, metric, value string) {
	m := it.messages[0]
	event := &m.Events[it.event]
	return m.Subject.Trial, event.Time.UTC().Truncate(time.Microsecond), event.Metrics[it.metric].Name, event.Metrics[it.metric].Value
}

// timeText is how MySQL and SQLite take a time.
const timeText = "2006-01-02 15:04:05.000000"

// formatTime writes a time of whole microseconds as timeText: the layouts of RFC 3339 are those that package time is quick
// at.
func formatTime(at time.Time) string {
	const seconds = len("2006-01-02T15:04:05")
	var buffer [len("2006-01-02T15:04:05.000000000Z")]byte
	text := at.AppendFormat(buffer[:0], time.RFC3339Nano)
	text = text[:len(text)-1] // the Z
	text[len("2006-01-02")] = ' '
	if len(text) == seconds {
		text = append(text, '.')
	}
	for len(text) < len(timeText) {
		text = append(text, '0')
	}
	return string(text)
}

// insertMany inserts the rows with statements of many rows each, prepared once per connection. maxRows bounds a
// statement by its arguments, maxBytes by the packet that the server takes.
func insertMany(ctx context.Context, s *session, it *rowIterator, maxRows, maxBytes int) error {
	args := make([]any, 0, 4*min(maxRows, it.left))
	size := 0
	for it.next() {
		trial, at, metric, value := it.row()
		length := len(trial) + len(timeText) + len(metric) + len(value) + 16
		if len(args) == 4*maxRows || (size+length > maxBytes && size > 0) {
			if err := insertArgs(ctx, s, args, maxRows); err != nil {
				return err
			}
			args, size = args[:0], 0
		}
		args = append(args, trial, formatTime(at), metric, value)
		size += length
	}
	return insertArgs(ctx, s, args, maxRows)
}

// insertArgs inserts maxRows in one statement, and fewer cut into powers of two: so a connection has few statements to
// keep, whatever the sizes of the values (MySQL allows 16,382 on all connections together).
func insertArgs(ctx context.Context, s *session, args []any, maxRows int) error {
	for rows := len(args) / 4; rows > 0; rows = len(args) / 4 {
		n := rows
		if rows < maxRows {
			n = 1 << (bits.Len(uint(rows)) - 1)
		}
		if err := s.prepared(ctx, "insert", insertStatement(n), args[:4*n]); err != nil {
			return err
		}
		args = args[4*n:]
	}
	return nil
}

func insertStatement(rows int) string {
	return "INSERT INTO observation_logs (trial_name, time, metric_name, value) VALUES " + values(rows, 4)
}
