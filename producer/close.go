package producer

import (
	"context"
	"time"
)

// grace is how long Close waits, after its context ended, for the loop to notice.
const grace = time.Second

// Close ends the run: it refuses further events, sends what is left, and waits until the stream has acknowledged it or
// ctx ends. The last message says that the run ended; when all was sent before, an empty one does. A producer that never
// accepted an event sends nothing.
//
// It returns an *UndeliveredError when events are not known to be stored. Calling it again returns the same. When it
// returns the producer's goroutine has ended, with one exception: if ctx ends while the connection hangs in a write, Close
// does not wait longer than a second for it, and the goroutine ends with the write (nats.FlusherTimeout, one minute by
// default). Close does not close the connection.
//
// With a spool, what is not stored stays in its folder, and the error says so; when everything is stored nothing is left
// there. What other producers had left is given a second more.
func (p *Producer) Close(ctx context.Context) error {
	p.beginClose()
	select {
	case <-p.done:
	case <-ctx.Done():
		p.halt(ctx.Err())
		p.waitDone(grace)
	}
	p.others.end(ctx, grace)
	return p.closed()
}

func (p *Producer) beginClose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return
	}
	p.closing = true
	p.delivery.gate.opens = time.Time{} // one more try at once
	p.buffer.wake()
	notify(p.wake)
}

// halt ends the loop with what is not stored left behind.
func (p *Producer) halt(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(cause)
}

// end does so under the mutex.
func (p *Producer) end(cause error) {
	if p.cause == nil {
		p.cause = cause
		close(p.stop)
	}
}

func (p *Producer) waitDone(limit time.Duration) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
	}
}

// closed is the result of Close, the same for every call.
func (p *Producer) closed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reached {
		p.reached = true
		p.result = p.undelivered()
	}
	return p.result
}

func (p *Producer) undelivered() error {
	d := &p.delivery
	kept, dir := p.left()
	lost := &UndeliveredError{
		Refused:     int(p.stats.Refused),
		Conflicting: int(p.stats.Conflicting),
	}
	lost.Events = p.buffer.events + lost.Refused + lost.Conflicting
	if p.complete() && lost.Events == 0 && d.conflicts == 0 {
		return nil
	}
	if kept > 0 {
		lost.Spooled, lost.Spool = kept, dir
	}
	if !p.complete() {
		stuck := d.stuck
		if stuck == nil {
			stuck = d.denied
		}
		lost.Cause = because(p.cause, d.dead, stuck)
	} else if lost.Events == 0 {
		lost.Cause = ErrDuplicateID // of the final message, without events
	}
	return lost
}
