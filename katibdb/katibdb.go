// Package katibdb keeps messages in Katib DB, each exactly once: Katib's own table observation_logs and, beside it, what
// tells a duplicate from news. It is the only package with SQL in it.
package katibdb

import (
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// Message is a decoded message on its way into the database.
type Message struct {
	schema.Message
	// Epoch and Sequence are the message's place in the stream.
	Epoch    string
	Sequence uint64
	// Time is when the stream stored the message; zero means unknown.
	Time time.Time
	// Dead says that only the fact is to be recorded: the message is a dead letter, stored as one, and its events, if
	// there are any, are not persisted. A dead message may lack a valid subject; it is then recorded under no trial.
	Dead bool
}

// Outcome says what became of a message. Whatever the outcome but Foreign, the message is settled: it can be
// acknowledged.
type Outcome int

const (
	// Persisted means that this call committed the message's rows or, if it is dead, the record of that.
	Persisted Outcome = iota
	// Duplicate means that the message was persisted before, or stands earlier in the same batch.
	Duplicate
	// Deleted means that the message was discarded because its trial was deleted after it was sent.
	Deleted
	// Foreign means that the trial is bound to another namespace. Nothing was recorded: the message becomes a dead letter.
	Foreign
)

// Ref names a message, for asking whether it is persisted.
type Ref struct {
	Subject  schema.Subject
	Identity schema.Identity
	Epoch    string
	Sequence uint64
	Time     time.Time
}

// Row is one row of observation_logs.
type Row struct {
	// Time in UTC, truncated to microseconds.
	Time time.Time
	// Metric and Value are the row's metric_name and value.
	Metric, Value string
}
