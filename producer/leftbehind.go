package producer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/internal/spool"
	"github.com/katib-stream/katib-stream/schema"
)

// takeUp goes on with a producer that died, as far as one of its files says: the same messages under the same ids, of
// which any may be stored already. It ends when all are settled, and then the file is gone, or when it is told to; and at
// once when the server does not permit this user to publish them.
func takeUp(nc *nats.Conn, cfg DrainConfig, l *lot, left spool.Content) (*Producer, error) {
	p, err := prepare(nc, Config{
		Namespace:   left.Description.Namespace,
		Trial:       left.Description.Trial,
		MaxInFlight: cfg.MaxInFlight,
		AckWait:     cfg.AckWait,
		Logger:      cfg.Logger,
	}, left.Description.Producer)
	if err != nil {
		return nil, err
	}
	p.leftBehind, p.closing = true, true
	p.spool.lots = []*lot{l}
	for _, m := range unsettled(left) {
		l.hold()
		p.buffer.putOff(batch{body: m.Body, events: m.Events, number: m.Number, final: m.Final, lot: l})
	}
	p.begin()
	return p, nil
}

// unsettled are the messages to be sent: the one that marks the run's end after the others.
func unsettled(left spool.Content) []spool.Message {
	messages := slices.DeleteFunc(slices.Clone(left.Messages), func(m spool.Message) bool {
		return m.Settled || (m.Events == 0 && !m.Final)
	})
	slices.SortStableFunc(messages, func(a, b spool.Message) int {
		switch {
		case a.Final == b.Final:
			return 0
		case a.Final:
			return 1
		}
		return -1
	})
	return messages
}

// leave ends a producer that was taken up when the server does not permit what it needs: its file is for somebody else.
func (p *Producer) leave(stuck error) {
	if errors.Is(stuck, ErrNotPermitted) {
		p.end(stuck)
	}
}

// open claims a file and reads it. A file that nobody can deliver is set aside, and is then an error like one that
// somebody else has.
func open(folder *spool.Folder, name string, log *slog.Logger) (*lot, spool.Content, error) {
	segment, err := folder.Claim(name)
	if err != nil {
		return nil, spool.Content{}, err
	}
	left, err := segment.Read()
	if err == nil {
		err = validate(left.Description)
	}
	switch {
	case errors.Is(err, spool.ErrNotSpool):
		setAside(log, segment, err.Error())
		return nil, left, &asideError{err}
	case err != nil:
		return nil, left, errors.Join(err, segment.Close())
	}
	l := &lot{Segment: segment}
	if left.Damaged {
		l.aside = "it is damaged; the rest of it is delivered"
	}
	return l, left, nil
}

// validate holds a description to the contract; it is what the subject is made of.
func validate(d spool.Description) error {
	subject := schema.Subject{Namespace: d.Namespace, Trial: d.Trial, Producer: d.Producer}
	if err := subject.Validate(); err != nil {
		return fmt.Errorf("%w: %w", spool.ErrNotSpool, err)
	}
	return nil
}

// asideError says why a file was set aside.
type asideError struct{ err error }

func (e *asideError) Error() string { return "set aside: " + e.err.Error() }
func (e *asideError) Unwrap() error { return e.err }
