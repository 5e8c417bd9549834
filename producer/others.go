package producer

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// others delivers, beside a producer, what dead ones left in its spool.
type others struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// deliverOthers begins once there is a connection. What is away after that is waited for.
func (p *Producer) deliverOthers() *others {
	ctx, cancel := context.WithCancel(context.Background())
	o := &others{cancel: cancel, done: make(chan struct{})}
	changed := p.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	go func() {
		defer close(o.done)
		connected := p.awaitConnection(ctx, changed)
		p.nc.RemoveStatusListener(changed)
		if connected {
			p.drainOthers(ctx)
		}
	}()
	return o
}

func (p *Producer) awaitConnection(ctx context.Context, changed <-chan nats.Status) bool {
	for !p.nc.IsConnected() && !p.nc.IsClosed() {
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
	return p.nc.IsConnected()
}

func (p *Producer) drainOthers(ctx context.Context) {
	result, err := Drain(ctx, p.nc, DrainConfig{
		Spool:       p.cfg.Spool,
		MaxInFlight: p.cfg.MaxInFlight,
		AckWait:     p.cfg.AckWait,
		Logger:      p.cfg.Logger,
	})
	if err != nil {
		p.log.Warn("what others left in the spool cannot be delivered", "error", err)
		return
	}
	if result.Files > 0 {
		p.log.Info("delivered what dead processes left in the spool", "files", result.Files, "events", result.Events)
	}
	var reason error
	left := 0
	for _, file := range result.Left {
		if errors.Is(file.Reason, ErrHeld) || errors.Is(file.Reason, ErrAside) || errors.Is(file.Reason, context.Canceled) {
			continue // alive, or told of before, or for the next start
		}
		left, reason = left+1, file.Reason
	}
	if left > 0 {
		p.log.Warn("files of dead processes stay in the spool", "spool", p.cfg.Spool, "files", left, "error", reason)
	}
}

// end waits until everything that can be delivered is, at most for so long or until ctx ends, and then until the
// goroutine has ended, which takes no longer than grace.
func (o *others) end(ctx context.Context, limit time.Duration) {
	if o == nil {
		return
	}
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case <-o.done:
	case <-ctx.Done():
	case <-timeout.C:
	}
	o.cancel()
	<-o.done
}
