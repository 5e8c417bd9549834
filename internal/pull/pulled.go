package pull

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pulled is a message that a Puller got.
type pulled struct {
	msg     *nats.Msg
	conn    *nats.Conn
	settled atomic.Bool
}

var _ jetstream.Msg = (*pulled)(nil)

func (m *pulled) Data() []byte         { return m.msg.Data }
func (m *pulled) Headers() nats.Header { return m.msg.Header }
func (m *pulled) Subject() string      { return m.msg.Subject }
func (m *pulled) Reply() string        { return m.msg.Reply }

func (m *pulled) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := m.msg.Metadata()
	if err != nil {
		return nil, err
	}
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair(meta.Sequence),
		NumDelivered: meta.NumDelivered,
		NumPending:   meta.NumPending,
		Timestamp:    meta.Timestamp,
		Stream:       meta.Stream,
		Consumer:     meta.Consumer,
		Domain:       meta.Domain,
	}, nil
}

const inProgress = "+WPI"

func (m *pulled) Ack() error        { return m.answer("+ACK") }
func (m *pulled) Nak() error        { return m.answer("-NAK") }
func (m *pulled) Term() error       { return m.answer("+TERM") }
func (m *pulled) InProgress() error { return m.answer(inProgress) }

func (m *pulled) NakWithDelay(delay time.Duration) error {
	return m.answer(fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds()))
}

func (m *pulled) TermWithReason(reason string) error { return m.answer("+TERM " + reason) }

// DoubleAck waits until the server has heard of the acknowledgement.
func (m *pulled) DoubleAck(ctx context.Context) error {
	if m.settled.Swap(true) {
		return jetstream.ErrMsgAlreadyAckd
	}
	_, err := m.conn.RequestWithContext(ctx, m.msg.Reply, []byte("+ACK"))
	return err
}

func (m *pulled) answer(word string) error {
	if m.settled.Load() {
		return jetstream.ErrMsgAlreadyAckd
	}
	if err := m.conn.Publish(m.msg.Reply, []byte(word)); err != nil {
		return err
	}
	if word != inProgress {
		m.settled.Store(true)
	}
	return nil
}
