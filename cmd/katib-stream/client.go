package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"github.com/katib-stream/katib-stream/internal/cli"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/schema"
)

// addNATSFlags defines the flags of the connection to NATS, and which variables beside our own set them.
func addNATSFlags(flags *pflag.FlagSet, cfg *natsconn.Config) {
	cfg.AddFlags(flags)
	cli.EnvNames(flags, "server", "KATIB_STREAM_SERVERS", "NATS_URL")
	cli.EnvNames(flags, "context", "KATIB_STREAM_CONTEXT", "NATS_CONTEXT")
	cli.OneOf(flags, "server", "context")
}

// client is what the commands have in common that ask NATS something and end.
type client struct {
	nats    natsconn.Config
	timeout time.Duration
	output  cli.Format
}

func (c *client) addFlags(flags *pflag.FlagSet, command string) {
	c.nats.Name = "katib-stream " + command
	addNATSFlags(flags, &c.nats)
	flags.DurationVar(&c.timeout, "timeout", 10*time.Second, "how long to wait for NATS")
	c.output.AddFlag(flags)
}

// connect reaches NATS within the time-out; the caller closes the connection.
func (c *client) connect(ctx context.Context) (*nats.Conn, error) {
	if c.timeout <= 0 {
		return nil, usagef("--timeout is %v, not above 0", c.timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return natsconn.ConnectOnce(ctx, c.nats)
}

// stream looks the stream up within the time-out.
func (c *client) stream(ctx context.Context, nc *nats.Conn, options ...jetstream.StreamInfoOpt) (jetstream.JetStream, jetstream.Stream, *jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("use JetStream: %w", err)
	}
	stream, err := js.Stream(ctx, schema.Stream)
	if err != nil {
		return nil, nil, nil, explain(nc, err)
	}
	info, err := stream.Info(ctx, options...)
	if err != nil {
		return nil, nil, nil, explain(nc, err)
	}
	return js, stream, info, nil
}

// explained is an error in words that say what to do.
type explained struct {
	text string
	err  error
}

func (e explained) Error() string { return e.text }
func (e explained) Unwrap() error { return e.err }

// isWithoutJetStream says that nobody answers for JetStream, or that this account has none.
func isWithoutJetStream(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// explain says what to do when the stream cannot be looked at.
func explain(nc *nats.Conn, err error) error {
	server := natsconn.Redact(nc.ConnectedUrl())
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return explained{fmt.Sprintf("NATS at %s has no stream %s; `katib-stream up` or `katib-stream consumer` makes it", server, schema.Stream), err}
	case isWithoutJetStream(err):
		return explained{fmt.Sprintf("NATS at %s has no JetStream; start it with `nats-server -js`, or enable it for this account", server), err}
	case errors.Is(nc.LastError(), nats.ErrPermissionViolation):
		return explained{fmt.Sprintf("NATS at %s does not let this user look at stream %s (%v)", server, schema.Stream, nc.LastError()), err}
	case errors.Is(err, context.DeadlineExceeded):
		return explained{fmt.Sprintf("NATS at %s gave no answer in time; try a longer --timeout, or see whether JetStream is well", server), err}
	}
	return fmt.Errorf("look up stream %s at %s: %w", schema.Stream, server, err)
}
