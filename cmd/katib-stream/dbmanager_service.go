package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/katibdb"
)

// dbManagerService is a db-manager with its HTTP beside it.
type dbManagerService struct {
	app     *app
	options dbManagerCommand
	js      jetstream.JetStream
	db      *katibdb.DB
	serving atomic.Bool
}

// run returns when ctx has ended and the calls under way are done.
func (s *dbManagerService) run(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	b := barrier.New(s.js, s.db)
	server, err := s.app.newDBManager(s.js, s.db, b, registry, s.options.dbManagerOptions)
	if err != nil {
		return err
	}
	http, err := listen(s.options.listen)
	if err != nil {
		return err
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	group, ctx := errgroup.WithContext(ctx)
	if http != nil {
		group.Go(func() error { return s.serveHTTP(ctx, http, registry) })
	}
	group.Go(func() error {
		defer done()
		if err := s.awaitDatabase(ctx); err != nil {
			return err
		}
		listener, err := s.options.listenGRPC()
		if err != nil {
			return err
		}
		s.app.log.Info("answering Katib", "address", listener.Addr().String(), "database", s.app.name(s.options.database))
		s.serving.Store(true)
		return serveDBManager(ctx, server, b, listener)
	})
	err = group.Wait()
	s.app.log.Info("db-manager stopped")
	if errors.Is(err, context.Canceled) {
		return nil // it was asked to end before it served
	}
	return err
}

// name is a database without its password.
func (a *app) name(url string) string {
	cfg, err := a.databaseConfig(url)
	if err != nil {
		return ""
	}
	return cfg.String()
}

// awaitDatabase waits for the database as long as Katib's db-manager does, and makes what it lacks.
func (s *dbManagerService) awaitDatabase(ctx context.Context) error {
	connecting, cancel := context.WithTimeout(ctx, s.options.connectTimeout)
	defer cancel()
	var last error
	note := func(err error) { last = err }
	err := error(nil)
	if s.options.migrate {
		err = migrateUntilDone(connecting, s.db, s.app.log, note)
	} else {
		err = pingUntilDone(connecting, s.db, note)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case last == nil:
		last = err
	}
	return fmt.Errorf("the database did not answer within %v (--connect-timeout): %w", s.options.connectTimeout, last)
}

// pingUntilDone returns an error only when ctx ends.
func pingUntilDone(ctx context.Context, db *katibdb.DB, failed func(error)) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 5*time.Second
	for {
		err := db.Ping(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause.NextBackOff()):
		}
	}
}

func (s *dbManagerService) serveHTTP(ctx context.Context, listener net.Listener, registry *prometheus.Registry) error {
	server := s.app.newHTTP(registry, s.readiness)
	s.app.log.Info("listening for /metrics, /healthz and /readyz", "address", listener.Addr().String())
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve /metrics and health: %w", err)
	}
	return nil
}

// readiness says whether reports and reads can be answered.
func (s *dbManagerService) readiness(ctx context.Context) error {
	if !s.serving.Load() {
		return errStarting
	}
	if nc := s.js.Conn(); !nc.IsConnected() {
		return fmt.Errorf("not connected to NATS: %s", nc.Status())
	}
	return s.db.Ping(ctx)
}
