package producer

import (
	"math/rand/v2"
	"time"
)

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// gate holds attempts back while the stream does not take them. All messages of a producer go to one subject of one
// stream, so what stops one stops all: after a failure only one message at a time, the oldest, probes whether it goes
// again. That keeps the order, and thousands of producers from overrunning a stream that is full.
type gate struct {
	failures int // of probes, one after the other
	opens    time.Time
}

// shut closes the gate for longer with every failure.
func (g *gate) shut(now time.Time) {
	g.failures++
	g.opens = now.Add(backoff(g.failures))
}

// probing says that messages go one at a time.
func (g *gate) probing() bool { return g.failures > 0 }

// backoff doubles from firstBackoff to maxBackoff; the actual wait is between half of that and all of it.
func backoff(failures int) time.Duration {
	d := maxBackoff
	if failures < 7 {
		d = min(maxBackoff, firstBackoff<<(failures-1))
	}
	return d/2 + rand.N(d/2)
}
