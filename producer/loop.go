package producer

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/schema"
)

const (
	// defaultMaxBody is what a message can carry by the contract, until a server says what it takes.
	defaultMaxBody = 1_032_192 - headerBytes
	// headerBytes is what the headers of a message can need; they count against the limits too.
	headerBytes = 128
)

// run is the producer's one goroutine. It alone publishes; only Flush asks over the connection, from its caller's.
func (p *Producer) run() {
	defer close(p.done)
	defer p.letGo()
	defer p.look() // for Close to say what became of the connection
	defer p.nc.RemoveStatusListener(p.status)
	defer func() { _ = p.answers.Unsubscribe() }() // fails only when the connection is closed
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, finished := p.send()
		if finished {
			return
		}
		timer.Reset(wait)
		select {
		case answer := <-p.inbound:
			p.answered(answer)
		case <-p.wake:
		case <-p.status:
		case <-timer.C:
		case <-p.stop:
			return
		}
	}
}

// send publishes what may be published now, and says how long until there may be more.
func (p *Producer) send() (wait time.Duration, finished bool) {
	p.look()
	for {
		select {
		case <-p.stop:
			return 0, true
		default:
		}
		m, wait, finished := p.next(time.Now())
		if m == nil {
			return wait, finished
		}
		if err := p.publish(m); err != nil {
			p.failed(m, err)
		}
	}
}

// publish makes one attempt. It can block while the connection's socket takes nothing, so the mutex is not held.
func (p *Producer) publish(m *message) error {
	header := nats.Header{schema.HeaderMsgID: {schema.MessageID(p.id, m.number)}}
	if m.final {
		header[schema.HeaderFinal] = []string{"true"}
	}
	return p.nc.PublishMsg(&nats.Msg{
		Subject: p.subject,
		Reply:   p.inbox + "." + strconv.FormatUint(m.number, 10),
		Header:  header,
		Data:    m.body,
	})
}

// look takes in what has become of the connection.
func (p *Producer) look() {
	connected, closed := p.nc.IsConnected(), p.nc.IsClosed()
	reconnects, maxPayload := p.nc.Stats().Reconnects, p.nc.MaxPayload()
	denied := p.denial(p.nc.LastError())

	p.mu.Lock()
	defer p.mu.Unlock()
	d := &p.delivery
	if !connected || reconnects != d.reconnects {
		d.lost()
	}
	if connected && reconnects != d.reconnects {
		d.gate.opens = time.Time{} // the new connection may bring better luck
		d.reconnects = reconnects
	}
	d.connected, d.denied = connected, denied
	d.maxBody = defaultMaxBody
	if maxPayload > schema.PayloadReserve+headerBytes {
		d.maxBody = int(maxPayload) - schema.PayloadReserve - headerBytes
	}
	if closed && d.dead == nil {
		d.dead = nats.ErrConnectionClosed
		p.buffer.wake()
	}
}

// denial is what err, the last error of the connection, says about our subjects; nil when it is about something else.
func (p *Producer) denial(err error) error {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	switch text := err.Error(); {
	case strings.Contains(text, p.subject):
		return &denied{"publish to " + p.subject, err}
	case strings.Contains(text, p.inbox):
		return &denied{"receive acknowledgements on " + p.inbox + ".*", err}
	}
	return nil
}

// denied says what the server does not permit.
type denied struct {
	what string
	err  error
}

func (d *denied) Error() string   { return ErrNotPermitted.Error() + " to " + d.what }
func (d *denied) Unwrap() []error { return []error{ErrNotPermitted, d.err} }
