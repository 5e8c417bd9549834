package consumer

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config sets a Consumer up. The zero value of every field is its default.
type Config struct {
	// Workers is how many batches are committed at the same time, each over a connection of its own to the database.
	// Default 4, at most 256.
	Workers int
	// BatchMessages, BatchBytes and BatchRows bound a transaction. The defaults are 4,000 messages, 2 MiB and 20,000
	// rows. A single message is never cut: it may pass BatchRows alone, and BatchBytes is raised to the largest message
	// that the stream takes. All workers together have at most half of BatchBytes × (Workers + 1) in hand.
	BatchMessages int
	BatchBytes    int
	BatchRows     int
	// BatchWait is how long a batch that is not full waits for more. Default 5 ms.
	BatchWait time.Duration
	// AckWait is how long the server waits before it delivers an unacknowledged message again: after a crash, the pause
	// before its messages go on. Batches that take longer are kept in progress. Default 30 s, at least 1 s.
	AckWait time.Duration
	// CommitTimeout is how long an attempt to commit a batch may take before it counts as failed, so that a database that
	// hangs, or is behind a dead connection, is one that is away. An attempt after one that took too long may take twice as
	// long, up to eight times this: a database that is merely slow is not kept from ever finishing. Default 30 s.
	CommitTimeout time.Duration
	// StopTimeout is how long Run finishes what is under way after its context ended. Default 20 s.
	StopTimeout time.Duration
	// History is how long persisted messages stay in the stream. Default 7 days.
	History time.Duration
	// JanitorEvery is the pause between two looks at what can be trimmed. Default 1 minute.
	JanitorEvery time.Duration
	// Streams is how the streams are made where they do not exist.
	Streams StreamConfig
	// Logger gets one line per event that matters. Nil means silent.
	Logger *slog.Logger
	// Registerer gets the Prometheus metrics. Nil means none.
	Registerer prometheus.Registerer
	// AfterCommit is called between every commit and its acknowledgements. It is a failpoint for tests and the demo, which
	// crash there; leave it nil.
	AfterCommit func()
}

func (c Config) withDefaults() Config {
	setDefault(&c.Workers, 4)
	setDefault(&c.BatchMessages, 4_000)
	setDefault(&c.BatchBytes, 2<<20)
	setDefault(&c.BatchRows, 20_000)
	setDefault(&c.BatchWait, 5*time.Millisecond)
	setDefault(&c.AckWait, 30*time.Second)
	setDefault(&c.CommitTimeout, 30*time.Second)
	setDefault(&c.StopTimeout, 20*time.Second)
	setDefault(&c.History, 7*24*time.Hour)
	setDefault(&c.JanitorEvery, time.Minute)
	c.Streams = c.Streams.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.AfterCommit == nil {
		c.AfterCommit = func() {}
	}
	return c
}

// inHand is how many bytes of messages all workers together have in hand, at most: half a batch for each, and no less than
// one batch at the database, one that is decoded and one that comes.
func (c Config) inHand() int64 {
	const least = 6
	return int64(c.BatchBytes) * int64(max(c.Workers+1, least)) / 2
}

// Memory is how many bytes a process that runs this consumer alone needs, and should not pass: it is for
// debug.SetMemoryLimit. Decoded, messages of the smallest events take about eight times their bytes.
func (c Config) Memory() int64 {
	const base, decoded = 56 << 20, 8
	return base + decoded*c.withDefaults().inHand()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	const maxWorkers, maxMessages = 256, 50_000
	switch {
	case c.Workers < 1 || c.Workers > maxWorkers:
		return fmt.Errorf("workers is %d, not 1 to %d", c.Workers, maxWorkers)
	case c.BatchMessages < 1 || c.BatchMessages > maxMessages:
		return fmt.Errorf("batch messages is %d, not 1 to %d", c.BatchMessages, maxMessages)
	case c.BatchBytes < 1 || c.BatchRows < 1:
		return fmt.Errorf("batch bytes (%d) and batch rows (%d) must be above 0", c.BatchBytes, c.BatchRows)
	case c.BatchWait < time.Millisecond || c.BatchWait > 10*time.Second:
		return fmt.Errorf("batch wait is %v, not 1ms to 10s", c.BatchWait)
	case c.AckWait < time.Second:
		return fmt.Errorf("ack wait is %v, less than 1s", c.AckWait)
	case c.CommitTimeout < 100*time.Millisecond:
		return fmt.Errorf("commit timeout is %v, less than 100ms", c.CommitTimeout)
	case c.StopTimeout < 0 || c.History < time.Minute || c.JanitorEvery < 0:
		return fmt.Errorf("stop timeout (%v) and janitor pause (%v) must not be negative, history (%v) at least 1m", c.StopTimeout, c.JanitorEvery, c.History)
	}
	return c.Streams.validate()
}
