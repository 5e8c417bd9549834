package consumer

import (
	"context"
	"time"

	"github.com/katib-stream/katib-stream/schema"
)

// watchEvery is the pause between two looks at the durable consumer.
const watchEvery = 10 * time.Second

// watch measures the lag, and makes the workers begin a new session when messages are pending, no worker has any in
// hand, and still none is delivered: deliveries have been seen to stall after a change of leader.
func (c *Consumer) watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var before uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		s := c.currentSession()
		if s == nil {
			continue
		}
		info, err := s.consumer.Info(ctx)
		if err != nil {
			continue // the workers meet the same trouble, and say so
		}
		c.metrics.pending.Set(float64(info.NumPending))
		c.metrics.ackPending.Set(float64(info.NumAckPending))
		if info.NumPending+uint64(info.NumAckPending) == 0 {
			// Another replica has settled the dead letters that this one could not store.
			c.health.set(partDeadLetters, everyWorker, nil)
		}
		stalled := info.NumPending > 0 && !info.Paused && info.Delivered.Consumer == before && c.busy.Load() == 0
		before = info.Delivered.Consumer
		if stalled {
			c.log.Warn("messages are pending and none is delivered; beginning a new session", "consumer", schema.Consumer, "pending", info.NumPending, "unacknowledged", info.NumAckPending)
			c.dropSession(s)
		}
	}
}

func (c *Consumer) currentSession() *session {
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	return c.sessions.current
}

func (c *Consumer) dropSession(s *session) {
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	if c.sessions.current == s {
		c.sessions.current = nil
	}
}
