package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"
)

// withoutDisconnects leaves out what is said for want of a connection: the connection says so itself, and why.
type withoutDisconnects struct{ slog.Handler }

func (h withoutDisconnects) Handle(ctx context.Context, record slog.Record) error {
	known := false
	record.Attrs(func(attr slog.Attr) bool {
		err, is := attr.Value.Any().(error)
		known = is && errors.Is(err, nats.ErrDisconnected)
		return !known
	})
	if known {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

func (h withoutDisconnects) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withoutDisconnects{h.Handler.WithAttrs(attrs)}
}

func (h withoutDisconnects) WithGroup(name string) slog.Handler {
	return withoutDisconnects{h.Handler.WithGroup(name)}
}
