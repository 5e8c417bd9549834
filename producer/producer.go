// Package producer is how training code reports: Report → buffer → batch → asynchronous publish with a bounded number in
// flight → acknowledged by the stream KATIB_METRICS. From there the consumer takes over; Flush waits for it.
//
// Reporting costs the training loop microseconds and never waits for the network. What Report accepted is in this
// process's memory until the stream has acknowledged it, however long NATS is away; it is lost when the process dies
// before, unless Config.Spool names a folder: then it is in a file there as well, and the next producer on that folder
// delivers it, or Drain does. Every message has an id, and every further attempt to publish it the same one, whoever makes
// it, so that what was sent twice is persisted once.
//
// The connection is the caller's. Let it connect in the background and reconnect for ever, so that training starts, and
// goes on, while NATS is away:
//
//	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
//
// The user needs permission to publish to katib.metrics.<namespace>.> and to subscribe to its own inboxes, no more; for
// Flush, to publish to katib.flush.<namespace>.<trial> as well.
package producer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/katib-stream/katib-stream/internal/spool"
	"github.com/katib-stream/katib-stream/schema"
)

// Producer is one writer of one trial, with an id that nobody else ever has. It numbers its messages 1, 2, 3, … Its
// methods are safe for concurrent use. End it with Close.
type Producer struct {
	cfg     Config
	nc      *nats.Conn
	id      string
	subject string
	inbox   string // acknowledgements of message N come to <inbox>.N
	log     *slog.Logger

	answers *nats.Subscription
	inbound chan *nats.Msg
	status  chan nats.Status
	wake    chan struct{} // tells the loop that the buffer has something for it
	stop    chan struct{} // tells the loop to end now
	done    chan struct{} // closed when the loop has ended

	mu       sync.Mutex
	clock    clock
	buffer   buffer
	delivery delivery
	spool    spooling
	flushes  flushes
	stats    Stats
	closing  bool
	cause    error // why the loop was told to end before everything was stored
	result   error // of Close, once reached
	reached  bool

	// leftBehind says that this is no new producer, but one that died, of which what a file of the spool holds is delivered.
	leftBehind bool
	others     *others // delivers what other producers left in the spool; nil without one
}

// Stats is what a producer has done so far.
type Stats struct {
	// Accepted is how many events Report took.
	Accepted uint64
	// Stored and Messages are how many events, in how many messages, the stream acknowledged.
	Stored   uint64
	Messages uint64
	// WaitingEvents and WaitingBytes are accepted and not yet stored.
	WaitingEvents int
	WaitingBytes  int
	// InFlight is how many messages are published and not yet acknowledged.
	InFlight int
	// Retries counts the attempts after a message's first; Duplicates those of the acknowledged messages that the stream
	// turned out to have stored from an earlier attempt.
	Retries    uint64
	Duplicates uint64
	// Refused counts the events that the stream will never take because they are too large, and Conflicting those whose
	// message's id somebody else had used. Close returns an error when there are any, and so does the next Flush.
	Refused     uint64
	Conflicting uint64
}

// New returns a producer that publishes through nc, which may still be connecting. It does not close nc. With a spool it also
// delivers, in the background, what producers that died left there. The error says what in cfg cannot be used, or that nc is
// closed. A spool that cannot be used is no error but a line in the log.
func New(nc *nats.Conn, cfg Config) (*Producer, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a producer id: %w", err)
	}
	return start(nc, cfg, hex.EncodeToString(id[:]))
}

func start(nc *nats.Conn, cfg Config, id string) (*Producer, error) {
	if nc == nil {
		return nil, errors.New("start a producer: there is no NATS connection")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("start a producer: %w", err)
	}
	p, err := prepare(nc, cfg, id)
	if err != nil {
		return nil, fmt.Errorf("start a producer: %w", err)
	}
	p.spool.dir = cfg.Spool
	if cfg.Spool != "" {
		p.spool.next(0, time.Now())
	}
	p.begin()
	if cfg.Spool != "" {
		p.others = p.deliverOthers()
	}
	return p, nil
}

// prepare makes a producer that does nothing yet.
func prepare(nc *nats.Conn, cfg Config, id string) (*Producer, error) {
	p := &Producer{
		cfg:     cfg,
		nc:      nc,
		id:      id,
		subject: schema.Subject{Namespace: cfg.Namespace, Trial: cfg.Trial, Producer: id}.String(),
		inbox:   nc.NewInbox(),
		log:     cfg.Logger.With("trial", cfg.Trial, "producer", id),
		inbound: make(chan *nats.Msg, 2*cfg.MaxInFlight+1024),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	p.delivery.batchBytes = cfg.BatchBytes
	p.spool = spooling{
		limit:       cfg.SpoolBytes,
		description: spool.Description{Namespace: cfg.Namespace, Trial: cfg.Trial, Producer: id},
		log:         p.log,
	}
	var err error
	p.answers, err = nc.ChanSubscribe(p.inbox+".*", p.inbound)
	if err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	return p, nil
}

// begin starts the producer's loop.
func (p *Producer) begin() {
	p.status = p.nc.StatusChanged()
	p.look()
	go p.run()
}

// ID is the producer's id: 32 hex digits.
func (p *Producer) ID() string { return p.id }

// Stats returns what the producer has done so far.
func (p *Producer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.WaitingEvents, s.WaitingBytes = p.buffer.events, p.buffer.bytes
	s.InFlight = len(p.delivery.inFlight)
	return s
}

// Report accepts an event: when it returns nil the event will be stored, unless the process dies or Close gives up before;
// with a spool, after that, too.
// An event without a time gets the present one, later than all that this producer stamped or was given before. A time
// that the caller gives is kept.
//
// Report does not wait for the network. When the buffer is full it waits for room, until ctx ends and at most
// Config.BufferWait, and then refuses the event with a *BufferFullError. It also refuses an event that breaks the contract
// (*schema.Error) or is too large for a message (ErrTooLarge), and every event after Close (ErrClosed) or after the
// connection was closed (nats.ErrConnectionClosed). A refused event is not sent.
func (p *Producer) Report(ctx context.Context, e schema.Event) error {
	if err := e.Validate(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	room, err := p.accept(e)
	if room != nil {
		err = p.acceptLater(ctx, e, room)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// accept puts the event into the buffer. When the buffer is full it returns a channel that is closed when there may be room.
func (p *Producer) accept(e schema.Event) (room <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return nil, ErrClosed
	}
	if p.delivery.dead != nil {
		return nil, p.delivery.dead
	}
	now := time.Now()
	stamped, after := p.clock.stamp(e.Time, now)
	e.Time = stamped
	size := p.buffer.encode(e)
	if limit := p.delivery.maxBody; size > limit {
		return nil, fmt.Errorf("%w: it has %d bytes, and a message carries at most %d", ErrTooLarge, size, limit)
	}
	if p.buffer.bytes > 0 && p.buffer.bytes+size > p.cfg.BufferBytes {
		notify(p.wake)
		return p.buffer.wait(), nil
	}
	before := len(p.buffer.cut)
	if p.buffer.outgrown(size, p.batchLimit()) {
		p.buffer.turn(size)
	}
	p.keep(size, now)
	p.buffer.add(size, now)
	p.clock = after
	p.stats.Accepted++
	if p.buffer.open.events >= p.cfg.BatchEvents && p.keepsUp() {
		p.buffer.close()
	}
	if p.buffer.open.events == 1 || len(p.buffer.cut) > before {
		notify(p.wake)
	}
	return nil, nil
}

// acceptLater waits for room.
func (p *Producer) acceptLater(ctx context.Context, e schema.Event, room <-chan struct{}) error {
	began := time.Now()
	timeout := time.NewTimer(max(0, p.cfg.BufferWait))
	defer timeout.Stop()
	for room != nil {
		select {
		case <-room:
			var err error
			if room, err = p.accept(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return p.full(time.Since(began), ctx.Err())
		case <-timeout.C:
			return p.full(time.Since(began), nil)
		}
	}
	return nil
}

func (p *Producer) full(waited time.Duration, ended error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &BufferFullError{
		Refused:       1,
		WaitingEvents: p.buffer.events,
		WaitingBytes:  p.buffer.bytes,
		Waited:        waited,
		Cause:         because(ended, p.delivery.stuck),
	}
}

// keepsUp says whether what is cut now goes out now.
func (p *Producer) keepsUp() bool {
	d := &p.delivery
	return d.connected && !d.gate.probing() && len(d.inFlight)+len(p.buffer.cut) < p.cfg.MaxInFlight
}

func (p *Producer) batchLimit() int { return min(p.delivery.batchBytes, p.delivery.maxBody) }

// notify wakes whoever receives from c, now or the next time it looks.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
