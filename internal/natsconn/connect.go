package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Connect connects a service: it returns at once, also when NATS is away, and then keeps trying, at first and after every
// loss, with one log line per change of state. It returns an error only when cfg cannot be used. The caller closes the
// connection.
func Connect(ctx context.Context, cfg Config, log *slog.Logger) (*nats.Conn, error) {
	options, err := cfg.options()
	if err != nil {
		return nil, err
	}
	state := &state{log: log, servers: Redact(strings.Join(options.Servers, ","))}
	options.RetryOnFailedConnect = true
	options.MaxReconnect = -1
	// A wrong password may be mended on the server's side.
	options.IgnoreAuthErrorAbort = true
	options.ConnectedCB = state.up
	options.ReconnectedCB = state.up
	options.DisconnectedErrCB = state.down
	options.ReconnectErrCB = state.down
	options.AsyncErrorCB = state.trouble
	nc, err := options.Connect()
	if err != nil {
		return nil, unreachable(options, err)
	}
	if ctx.Err() != nil {
		nc.Close()
		return nil, ctx.Err()
	}
	return nc, nil
}

// ConnectOnce connects a command: it tries each server once, until ctx ends or, without a deadline, for 10 s, and returns
// an error that says what to do. Once connected it survives a server's restart. The caller closes the connection.
func ConnectOnce(ctx context.Context, cfg Config) (*nats.Conn, error) {
	options, err := cfg.options()
	if err != nil {
		return nil, err
	}
	left := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	if left <= 0 {
		return nil, unreachable(options, context.DeadlineExceeded)
	}
	options.Timeout = left / time.Duration(max(1, len(options.Servers)))
	options.MaxReconnect = -1
	// Errors reach commands as the results of what they do; nats.go would print them as well.
	options.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {}
	nc, err := connectUnlessCancelled(ctx, options)
	if err != nil {
		return nil, unreachable(options, err)
	}
	return nc, nil
}

// connectUnlessCancelled leaves an attempt to itself when ctx is cancelled: nats.go's own cannot be interrupted. Deadlines
// are in the options.
func connectUnlessCancelled(ctx context.Context, options nats.Options) (*nats.Conn, error) {
	var nc *nats.Conn
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err = options.Connect()
	}()
	cancelled := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			close(cancelled)
		}
	})()
	select {
	case <-done:
		if err != nil && errors.Is(ctx.Err(), context.Canceled) {
			return nil, context.Canceled
		}
		return nc, err
	case <-cancelled:
		go func() {
			if <-done; nc != nil {
				nc.Close()
			}
		}()
		return nil, context.Canceled
	}
}

func unreachable(options nats.Options, err error) error {
	servers := Redact(strings.Join(options.Servers, ","))
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("cannot reach NATS at %s: interrupted (%w)", servers, err)
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("cannot reach NATS at %s: nobody answers there; start one with `katib-stream up`, or give --server", servers)
	case errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("cannot reach NATS at %s: it refuses us (%w); give --creds, --user and --password, or --token", servers, err)
	}
	return fmt.Errorf("cannot reach NATS at %s: %w; check --server", servers, err)
}

// state logs when the connection comes and goes, and not each attempt in between.
type state struct {
	log     *slog.Logger
	servers string
	mu      sync.Mutex
	reason  string // why it is away; empty while it is not
}

func (s *state) up(nc *nats.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = ""
	s.log.Info("connected to NATS", "server", Redact(nc.ConnectedUrl()))
}

// down is also called for every attempt that fails; the reason is worth a line only once, and when it becomes another.
func (s *state) down(nc *nats.Conn, err error) {
	if err == nil || nc.IsClosed() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reason := plain(err)
	// Behind a lost connection stands a refused one: the first reason is enough, unless the server says no.
	if s.reason != "" && !errors.Is(err, nats.ErrAuthorization) || s.reason == reason {
		return
	}
	s.reason = reason
	s.log.Warn("NATS is away; trying again until it answers", "server", s.servers, "error", reason)
}

func (s *state) trouble(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.reason == plain(err) {
			return
		}
		s.reason = plain(err)
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	s.log.Warn("trouble on the connection to NATS", "subject", subject, "error", plain(err))
}

// plain keeps to one short line what nats.go says.
func plain(err error) string {
	if errors.Is(err, nats.ErrNoServers) {
		return "nobody answers"
	}
	return strings.TrimPrefix(err.Error(), "nats: ")
}
