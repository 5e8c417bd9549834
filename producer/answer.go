package producer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

const (
	// noResponders is the status of the answer when no stream takes the subject.
	noResponders = "503"
	// exceedsMaximum is JetStream's code for a message that is larger than the stream takes.
	exceedsMaximum = 10054
	// deniedWait is how long an attempt waits for its answer when the server has said that it does not permit it.
	deniedWait = time.Second
)

var (
	errDisconnected = fmt.Errorf("not connected: %w", nats.ErrDisconnected)
	errNoStream     = fmt.Errorf("no stream takes the subject; is %s there? %w", schema.Stream, nats.ErrNoResponders)
)

// readAnswer reads what the stream says to an attempt.
func readAnswer(answer *nats.Msg) (jetstream.PubAck, error) {
	if len(answer.Data) == 0 && answer.Header.Get("Status") == noResponders {
		return jetstream.PubAck{}, errNoStream
	}
	var ack struct {
		jetstream.PubAck
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return ack.PubAck, fmt.Errorf("read the acknowledgement: %w", err)
	}
	if ack.Error != nil {
		return ack.PubAck, ack.Error
	}
	if ack.Stream != schema.Stream {
		return ack.PubAck, fmt.Errorf("stream %q takes the subject, not %s", ack.Stream, schema.Stream)
	}
	return ack.PubAck, nil
}

// tooLarge says whether a message was refused for its size, by the client or the stream: it certainly is not stored.
func tooLarge(err error) bool {
	var refused *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || (errors.As(err, &refused) && refused.ErrorCode == exceedsMaximum)
}

// answered settles the message that an answer is about, or has it sent again.
func (p *Producer) answered(answer *nats.Msg) {
	number, err := strconv.ParseUint(strings.TrimPrefix(answer.Subject, p.inbox+"."), 10, 64)
	if err != nil {
		return // not ours
	}
	p.mu.Lock()
	m := p.delivery.find(number)
	p.mu.Unlock()
	if m == nil {
		return // settled by the answer to another attempt
	}
	ack, err := readAnswer(answer)
	if err != nil {
		p.failed(m, err)
		return
	}
	p.acknowledged(m, ack)
}

func (p *Producer) acknowledged(m *message, ack jetstream.PubAck) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// What a dead process left it may have sent.
	conflict := ack.Duplicate && m.attempts == 1 && !p.leftBehind
	p.settle(m, !conflict)
	p.delivery.ended = p.delivery.ended || m.final
	if conflict {
		p.stats.Conflicting += uint64(m.events)
		p.delivery.conflicts++
		p.log.Error("message id was used twice; its events are not stored", "number", m.number, "events", m.events)
		return
	}
	if ack.Duplicate {
		p.stats.Duplicates++
	}
	p.stats.Stored += uint64(m.events)
	p.stats.Messages++
}

// failed has a message sent again, or gives it up if it is too large.
func (p *Producer) failed(m *message, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if tooLarge(err) {
		p.refused(m, err)
		return
	}
	m.uncertain = m.uncertain || !errors.Is(err, nats.ErrNoResponders)
	p.retry(m, err, time.Now())
}

// refused cuts a message in two that the stream finds too large. Its number keeps the first half, which is safe while it
// is certain that the stream never stored the whole. What can't be cut is given up, and counted.
func (p *Producer) refused(m *message, err error) {
	if m.events == 0 { // the mark of the run's end; only a stream for nothing at all refuses it
		p.retry(m, err, time.Now())
		return
	}
	if m.events > 1 && !m.uncertain {
		p.delivery.batchBytes = min(p.delivery.batchBytes, len(m.body)/2)
		p.split(m)
		return
	}
	p.settle(m, false)
	p.flushes.gaps = true
	p.stats.Refused += uint64(m.events)
	p.log.Error("message is too large for the stream; its events are given up", "number", m.number, "events", m.events, "bytes", len(m.body), "error", err)
}

// split has a message sent again as two.
func (p *Producer) split(m *message) {
	p.buffer.number++
	first, rest := m.halve(p.buffer.number)
	p.noteSplit(first, rest)
	rest.lot.hold()
	p.buffer.putBack(rest)
	m.batch, m.waiting, m.probe = first, false, false
}

// settle ends a message, stored or not. While messages probe, only an answer to a probe says that it goes again, not the
// late one to what was sent before.
func (p *Producer) settle(m *message, stored bool) {
	p.delivery.remove(m)
	p.buffer.leave(m.batch)
	p.flushes.settled(m, stored)
	p.noteSettled(m.batch, stored)
	if m.probe || !p.delivery.gate.probing() || len(p.delivery.inFlight) == 0 {
		p.unstick()
	}
}

// expire has messages sent again whose answer is overdue.
func (p *Producer) expire(now time.Time) {
	for _, m := range p.delivery.inFlight {
		if !m.waiting || now.Before(p.deadline(m)) {
			continue
		}
		err := p.delivery.denied
		if err == nil {
			err = fmt.Errorf("no acknowledgement within %v: %w", p.cfg.AckWait, nats.ErrTimeout)
		}
		m.uncertain = true
		p.retry(m, err, now)
	}
}

func (p *Producer) deadline(m *message) time.Time {
	if p.delivery.denied != nil {
		return m.sent.Add(min(p.cfg.AckWait, deniedWait))
	}
	return m.sent.Add(p.cfg.AckWait)
}

// retry has a message sent again once the gate opens. Only the first failure and those of probes shut the gate: the
// others say nothing new.
func (p *Producer) retry(m *message, err error, now time.Time) {
	gate := &p.delivery.gate
	if m.probe || !gate.probing() {
		gate.shut(now)
	}
	m.waiting, m.probe = false, false
	p.stick(err, now)
}

// stick notes, and logs once, why nothing goes.
func (p *Producer) stick(err error, now time.Time) {
	d := &p.delivery
	if d.stuck != nil && d.stuck.Error() == err.Error() {
		return
	}
	if d.stuck == nil {
		d.since = now
	}
	d.stuck = err
	if errors.Is(err, ErrNotPermitted) {
		p.flushes.fail()
	}
	if p.leftBehind {
		p.leave(err)
		return
	}
	p.log.Warn("delivery is stuck; trying again until it goes", "error", err, "waiting_events", p.buffer.events)
}

// unstick notes, and logs once, that it goes again.
func (p *Producer) unstick() {
	d := &p.delivery
	d.gate = gate{}
	if d.stuck == nil {
		return
	}
	d.stuck = nil
	if p.leftBehind {
		return
	}
	p.log.Info("delivery goes again", "after", time.Since(d.since).Round(time.Millisecond), "waiting_events", p.buffer.events)
}
