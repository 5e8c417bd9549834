package producer

import (
	"context"
	"errors"

	"github.com/katib-stream/katib-stream/internal/flushclient"
	"github.com/katib-stream/katib-stream/schema"
)

// Flush waits until everything that was accepted before it is persisted in Katib DB: first until the stream has
// acknowledged it, sending the open batch at once, then until a consumer says so. It asks again for as long as ctx lasts,
// whatever becomes of NATS and the consumers. What is reported meanwhile it does not wait for. After Close, too, it works
// for what was accepted, while the connection is open. A producer that never accepted an event has nothing to wait for.
//
// It returns a *FlushError, which says what is stored and what is not, when ctx ends first, and at once when it can never
// come to that: the trial was deleted (ErrTrialDeleted), messages are dead letters (ErrDeadLetters) or gone from the stream
// (ErrMissing), this user may not publish or ask (ErrNotPermitted), or the connection was closed. Events that the stream
// refused for good (ErrTooLarge, ErrDuplicateID) are an error of one Flush only; the others are waited for all the same.
func (p *Producer) Flush(ctx context.Context) error {
	w := p.joinWave()
	select {
	case <-w.settled:
	case <-p.done:
	case <-ctx.Done():
	}
	number, left := p.leaveWave(w, ctx.Err())
	if left.Cause == nil && number > 0 {
		p.askPersisted(ctx, number, p.unsettledBelow(number), left)
	}
	if left.nothing() {
		return nil
	}
	return left
}

// joinWave cuts the open batch and finds out what is to be waited for.
func (p *Producer) joinWave() *wave {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.buffer.open.events > 0 {
		p.buffer.close()
		notify(p.wake)
	}
	w := p.flushes.join(p.buffer.accepted, p.buffer.events)
	if errors.Is(p.delivery.stuck, ErrNotPermitted) {
		p.flushes.fail()
	}
	return w
}

// leaveWave says what became of a wave and, when all of it is settled, the number to ask for.
func (p *Producer) leaveWave(w *wave, ended error) (number uint64, left *FlushError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, d := &p.flushes, &p.delivery
	f.leave(w)
	left = &FlushError{
		Events:      w.left,
		Refused:     int(p.stats.Refused - f.refused),
		Conflicting: int(p.stats.Conflicting - f.conflicting),
	}
	f.refused, f.conflicting = p.stats.Refused, p.stats.Conflicting
	if w.left == 0 {
		return w.number, left
	}
	if kept, dir := p.left(); kept > 0 {
		left.Spooled, left.Spool = min(kept, left.Events), dir
	}
	var closed error
	if isClosed(p.done) && d.dead == nil {
		closed = ErrClosed
	}
	left.Cause = because(ended, closed, p.cause, d.dead, d.stuck)
	return 0, left
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// unsettledBelow is how many younger messages have a lower number. Whoever answers takes them for missing: the rest of a
// message that was split comes before them, and has a number behind theirs.
func (p *Producer) unsettledBelow(number uint64) (n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.delivery.inFlight {
		if m.number < number {
			n++
		}
	}
	for _, b := range p.buffer.cut {
		if b.number < number {
			n++
		}
	}
	if p.buffer.open.events > 0 && p.buffer.open.number < number {
		n++
	}
	return n
}

// askPersisted waits until the messages up to the number, which the stream has, are persisted, and notes what is not. So
// many of them may still be missing.
func (p *Producer) askPersisted(ctx context.Context, number, young uint64, left *FlushError) {
	answer, err := flushclient.Ask(ctx, p.nc, flushclient.Question{
		Namespace:    p.cfg.Namespace,
		Trial:        p.cfg.Trial,
		FlushRequest: schema.FlushRequest{Producer: p.id, Number: number},
	})
	left.Pending, left.DeadLetters, left.Cause = answer.Pending, answer.DeadLetters, err
	var refused *flushclient.DeniedError
	switch {
	case errors.As(err, &refused):
		left.Cause = &denied{refused.What, refused.Err}
	case err != nil:
	case answer.Status == schema.FlushDeleted:
		left.Cause, left.DeadLetters = ErrTrialDeleted, 0
	case answer.Status == schema.FlushMissing:
		left.Missing = max(1, p.lost(answer.Missing, young))
	default:
		left.Missing = p.lost(answer.Missing, young)
	}
}

// lost is how many of the missing numbers the stream once had; some may be of young messages. Where messages were given up
// the two cannot be told apart.
func (p *Producer) lost(missing, young uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flushes.gaps {
		return 0
	}
	return missing - min(missing, young)
}
