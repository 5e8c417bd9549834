package barrier

import "sync"

// cursors remembers up to where the trials and producers that were asked for are known to be persisted, so that only what is new must be read: what is persisted
// stays so, as long as the stream is the same. A server that was restored, or lost what it had not synced, gives sequences
// again under the same epoch; so nothing is remembered beyond a connection, or beyond the stream's end.
type cursors struct {
	mu         sync.Mutex
	at         map[string]place // by filter
	reconnects uint64           // of the connection, when the first of them was set
}

// mostCursors bounds the memory; past it everything is forgotten, which costs reading a trial's headers once more.
const mostCursors = 50_000

func newCursors() *cursors { return &cursors{at: map[string]place{}} }

func (c *cursors) get(q question, last place, reconnects uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reconnects != reconnects {
		c.reconnects = reconnects
		clear(c.at)
	}
	if at := c.at[q.filter]; at.epoch == last.epoch && at.sequence <= last.sequence {
		return at.sequence
	}
	return 0
}

func (c *cursors) set(q question, at place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.at) >= mostCursors {
		clear(c.at)
	}
	c.at[q.filter] = at
}
