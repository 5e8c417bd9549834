package producer

import (
	"cmp"
	"slices"
	"time"
)

// idle is how long the loop sleeps when nothing is due.
const idle = time.Hour

// message is a batch with its number: what is published, as often as it takes, under one id.
type message struct {
	batch
	attempts int
	sent     time.Time // the last attempt
	waiting  bool      // for the answer to the last attempt
	probe    bool      // the last attempt was sent to see whether it goes again
	// uncertain says that an attempt ended without an answer that rules out that the stream holds the message.
	uncertain bool
}

// delivery is what is known about messages in flight and about the way to the stream. The producer's mutex guards it;
// only the loop changes it.
type delivery struct {
	inFlight  []*message // by number
	ended     bool       // the final message is acknowledged
	conflicts int        // messages whose id was used twice
	gate      gate
	stuck     error     // why nothing goes; nil while it goes
	since     time.Time // when it got stuck

	// The connection, as the loop saw it last.
	connected  bool
	reconnects uint64
	denied     error // what the server does not permit
	dead       error // the connection is closed for good

	maxBody    int // bytes that a message can carry
	batchBytes int // Config.BatchBytes, less when the stream turned out to take only smaller messages
}

func (d *delivery) find(number uint64) *message {
	if i, ok := d.place(number); ok {
		return d.inFlight[i]
	}
	return nil
}

func (d *delivery) place(number uint64) (i int, ok bool) {
	return slices.BinarySearchFunc(d.inFlight, number, func(m *message, n uint64) int { return cmp.Compare(m.number, n) })
}

// add takes in a new message. One that was cut off another has a greater number than those that wait behind it.
func (d *delivery) add(m *message) {
	i, _ := d.place(m.number)
	d.inFlight = slices.Insert(d.inFlight, i, m)
}

func (d *delivery) remove(gone *message) {
	d.inFlight = slices.DeleteFunc(d.inFlight, func(m *message) bool { return m == gone })
}

// lost gives up waiting for answers: the connection that they would have come by is gone.
func (d *delivery) lost() {
	for _, m := range d.inFlight {
		if m.waiting {
			m.waiting, m.probe, m.uncertain = false, false, true
		}
	}
}

// held says that nothing may be sent: the gate is shut, or a probe is on its way.
func (d *delivery) held(now time.Time) bool {
	return d.gate.probing() && (now.Before(d.gate.opens) || slices.ContainsFunc(d.inFlight, func(m *message) bool { return m.probe }))
}

// next picks what to publish now, or says how long until there may be something.
func (p *Producer) next(now time.Time) (m *message, wait time.Duration, finished bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := &p.delivery
	p.expire(now)
	if d.dead != nil || p.complete() {
		return nil, 0, true
	}
	if !d.connected {
		if p.buffer.events > 0 || len(d.inFlight) > 0 {
			p.stick(errDisconnected, now)
		}
		return nil, idle, false
	}
	if m = p.pick(now); m == nil {
		return nil, p.due(now), false
	}
	if m.attempts > 0 {
		p.stats.Retries++
	}
	m.attempts++
	m.sent, m.waiting, m.probe = now, true, d.gate.probing()
	return m, 0, false
}

// pick is the oldest message to be sent again, else a new one.
func (p *Producer) pick(now time.Time) *message {
	d := &p.delivery
	if d.held(now) {
		return nil
	}
	for _, m := range d.inFlight {
		if !m.waiting {
			return m
		}
	}
	if len(d.inFlight) >= p.cfg.MaxInFlight || !p.ready(now) {
		return nil
	}
	m := &message{batch: p.nextBatch(), uncertain: p.leftBehind}
	d.add(m)
	return m
}

// nextBatch is the oldest one. After Close the last is marked as the run's end, which can be one without events.
func (p *Producer) nextBatch() batch {
	marks := p.closing && !p.leftBehind && p.buffer.batches() <= 1
	if p.buffer.batches() == 0 {
		p.buffer.begin(p.spool.current)
	}
	b := p.buffer.next()
	if marks && !b.final {
		b.final = true
		p.noteFinal(b)
	}
	return b
}

// ready says whether there is a new message to send. The last one, which marks the run's end, goes when everything
// before it is settled: where the stream holds it, it holds the run.
func (p *Producer) ready(now time.Time) bool {
	d := &p.delivery
	if p.closing {
		return p.buffer.batches() > 1 || (len(d.inFlight) == 0 && !p.complete())
	}
	return len(p.buffer.cut) > 0 || (p.buffer.open.events > 0 && !now.Before(p.openDue()))
}

// complete says whether everything is settled after Close. A run in which nothing was accepted has no end to mark.
func (p *Producer) complete() bool {
	d := &p.delivery
	return p.closing && p.buffer.batches() == 0 && len(d.inFlight) == 0 && (d.ended || p.leftBehind || p.buffer.number == 0)
}

// openDue is when the open batch is to be sent: in the past if it is large enough, or a reporter waits for its room.
func (p *Producer) openDue() time.Time {
	open := p.buffer.open
	if open.events >= p.cfg.BatchEvents || len(open.body) >= p.batchLimit() || p.buffer.freed != nil {
		return time.Time{}
	}
	return p.buffer.since.Add(p.cfg.BatchWait)
}

// due is how long until a deadline passes, the gate opens, or the open batch is old enough.
func (p *Producer) due(now time.Time) time.Duration {
	d := &p.delivery
	at := now.Add(idle)
	for _, m := range d.inFlight {
		if m.waiting {
			// A denied attempt gets no answer: look every while what the server said.
			at = earlier(at, earlier(now.Add(deniedWait), p.deadline(m)))
		}
	}
	if d.gate.probing() && now.Before(d.gate.opens) {
		at = earlier(at, d.gate.opens)
	}
	if !d.held(now) && len(d.inFlight) < p.cfg.MaxInFlight && p.buffer.open.events > 0 && !p.closing {
		at = earlier(at, p.openDue())
	}
	return max(0, at.Sub(now))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
