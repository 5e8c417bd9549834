package producer

import (
	"bytes"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// batch is the events of one message. Its number is fixed when it gets its first event, for with a spool each is written
// down with it.
type batch struct {
	body   []byte // one event a line, each line with its newline
	events int
	last   uint64 // the place of its last event among all that were accepted, from 1 on
	number uint64 // of the message
	final  bool   // it is the producer's last
	lot    *lot   // the spool's file that has its events; nil when they are in memory only
}

// halve cuts a batch of more than one event between two of them. The rest becomes the message with the number given, and
// the last one if the whole was.
func (b batch) halve(number uint64) (first, rest batch) {
	middle := len(b.body) / 2
	end := middle + bytes.IndexByte(b.body[middle:], '\n') + 1
	if end == len(b.body) { // the last event is the larger half
		end = bytes.LastIndexByte(b.body[:middle], '\n') + 1
	}
	first, rest = b, b
	first.body, rest.body = b.body[:end:end], b.body[end:]
	first.events = bytes.Count(first.body, []byte{'\n'})
	rest.events = b.events - first.events
	first.last -= uint64(rest.events)
	first.final, rest.number = false, number
	return first, rest
}

// buffer holds what is accepted and not yet in flight, and counts all that is not yet stored. The producer's mutex
// guards it.
type buffer struct {
	open  batch     // takes events
	since time.Time // when the open batch got its first event
	cut   []batch   // complete, the oldest first

	accepted uint64 // events, ever
	number   uint64 // of the youngest message

	// Accepted and not yet stored, whether here or in flight.
	events, bytes int

	// freed is closed when there is room again, or nothing to wait for any more; nil while nobody waits.
	freed chan struct{}
}

// encode appends the event behind the open batch, where keep and add can take it; until then it is not part of it.
func (b *buffer) encode(e schema.Event) (size int) {
	before := len(b.open.body)
	body := append(schema.AppendEvent(b.open.body, e), '\n')
	b.open.body = body[:before]
	return len(body) - before
}

// encoded is the line of the event that was encoded last.
func (b *buffer) encoded(size int) []byte { return b.open.body[len(b.open.body):][:size] }

// outgrown says whether the open batch cannot take the event too.
func (b *buffer) outgrown(size, limit int) bool {
	return b.open.events > 0 && len(b.open.body)+size > limit
}

// turn cuts the open batch, so that the event that was encoded last begins the next one.
func (b *buffer) turn(size int) {
	line := b.encoded(size)
	b.close()
	b.open.body = append(b.open.body, line...)[:0]
}

// begin gives the open batch its number and the file that has its events.
func (b *buffer) begin(l *lot) {
	b.number++
	b.open.number, b.open.lot = b.number, l
	l.hold()
}

// add accepts the event that was encoded last into the open batch.
func (b *buffer) add(size int, now time.Time) {
	b.open.body = b.open.body[:len(b.open.body)+size]
	if b.open.events == 0 {
		b.since = now
	}
	b.accepted++
	b.open.events++
	b.open.last = b.accepted
	b.events++
	b.bytes += size
}

// close cuts the open batch: it takes no more events.
func (b *buffer) close() { b.cut = append(b.cut, b.take()) }

// take removes the open batch. The next one is expected to become about as large.
func (b *buffer) take() batch {
	taken := b.open
	b.open = batch{body: make([]byte, 0, len(taken.body)+len(taken.body)/8)}
	return taken
}

// batches is how many batches are not yet in flight.
func (b *buffer) batches() int {
	if b.open.events > 0 {
		return len(b.cut) + 1
	}
	return len(b.cut)
}

// next removes the oldest batch.
func (b *buffer) next() batch {
	if len(b.cut) == 0 {
		return b.take()
	}
	oldest := b.cut[0]
	b.cut[0] = batch{}
	b.cut = b.cut[1:]
	return oldest
}

// putBack makes a batch the oldest again.
func (b *buffer) putBack(oldest batch) {
	b.cut = append([]batch{oldest}, b.cut...)
}

// putOff takes in a batch that was complete before.
func (b *buffer) putOff(complete batch) {
	b.accepted += uint64(complete.events)
	complete.last = b.accepted
	b.number = max(b.number, complete.number)
	b.cut = append(b.cut, complete)
	b.events += complete.events
	b.bytes += len(complete.body)
}

// leave removes a batch from the count of what waits.
func (b *buffer) leave(gone batch) {
	b.events -= gone.events
	b.bytes -= len(gone.body)
	b.wake()
}

// wait is closed when it is worth asking again whether there is room.
func (b *buffer) wait() <-chan struct{} {
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

func (b *buffer) wake() {
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}
