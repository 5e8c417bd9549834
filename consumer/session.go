package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/schema"
)

// session is the stream and the durable consumer as they were found: valid until something says that they may have been
// made anew, for then sequences count from 1 again under another epoch.
type session struct {
	epoch      string
	stream     jetstream.Stream
	consumer   jetstream.Consumer
	largest    int // bytes that a delivery can have
	batchBytes int
	reconnects uint64
}

// sessions hands the current session to all workers and sets up a new one when the last went stale.
type sessions struct {
	mu      sync.Mutex
	current *session
}

// open returns a session other than stale, setting streams and consumer up if need be. It tries once.
func (c *Consumer) open(ctx context.Context, stale *session) (*session, error) {
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	if s := c.sessions.current; s != nil && s != stale && s.reconnects == c.reconnects() {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := c.setUp(ctx)
	if err != nil {
		return nil, err
	}
	c.sessions.current = s
	return s, nil
}

func (c *Consumer) setUp(ctx context.Context) (*session, error) {
	reconnects := c.reconnects()
	stream, err := ensureStreams(ctx, c.js, c.cfg.Streams)
	if err != nil {
		return nil, err
	}
	var cc jetstream.ConsumerConfig
	if err := json.Unmarshal(schema.ConsumerConfig, &cc); err != nil {
		return nil, fmt.Errorf("read the built-in consumer configuration: %w", err)
	}
	cc.AckWait = c.cfg.AckWait
	durable, err := stream.CreateOrUpdateConsumer(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("set up consumer %s: %w", cc.Durable, err)
	}
	largest := c.largestMessage(stream)
	s := &session{
		epoch:      epochOf(stream),
		stream:     stream,
		consumer:   durable,
		largest:    largest,
		batchBytes: max(c.cfg.BatchBytes, largest),
		reconnects: reconnects,
	}
	c.log.Info("consuming", "stream", schema.Stream, "epoch", s.epoch, "messages", stream.CachedInfo().State.Msgs, "server", c.js.Conn().ConnectedUrlRedacted())
	return s, nil
}

// largestMessage bounds what a single delivery can take: a fetch for fewer bytes would never get it.
func (c *Consumer) largestMessage(stream jetstream.Stream) int {
	const subjects = 8 << 10 // subject and reply subject count as well
	size := int(stream.CachedInfo().Config.MaxMsgSize)
	if size <= 0 {
		size = int(c.js.Conn().MaxPayload())
	}
	return size + subjects
}

// verification is what the server answered when it was asked last which stream it has.
type verification struct {
	mu    sync.Mutex
	asked time.Time
	epoch string
	err   error
}

// currentEpoch asks the server for the stream's epoch. A stream that was made anew counts its sequences from 1 again, and
// nothing in a delivery tells its messages from the old ones, nor in an acknowledgement whose it is; and another replica
// may have made it, of which this one hears nothing. So the server is asked between a fetch and its commit, or messages
// would be taken for old ones, and between a commit and its acknowledgements, or they would settle messages that nobody
// has persisted. Those who ask at the same time share an answer.
func (c *Consumer) currentEpoch() (string, error) {
	now := time.Now()
	v := &c.verified
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.asked.Before(now) {
		v.asked = time.Now()
		v.epoch, v.err = c.askEpoch()
	}
	return v.epoch, v.err
}

// askEpoch does not end with the context of who asks, because others wait for the answer too.
func (c *Consumer) askEpoch() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stream, err := c.js.Stream(ctx, schema.Stream)
	if err != nil {
		return "", fmt.Errorf("look whether stream %s is still the same: %w", schema.Stream, err)
	}
	return epochOf(stream), nil
}

func (c *Consumer) reconnects() uint64 {
	return c.js.Conn().Stats().Reconnects
}
