package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/dbmanager"
	"github.com/katib-stream/katib-stream/flush"
	"github.com/katib-stream/katib-stream/internal/natsconn"
	"github.com/katib-stream/katib-stream/katibdb"
)

// service is a consumer, with what answers for it beside it: HTTP, and who asks whether reports are persisted.
type service struct {
	nc            *nats.Conn
	consumer      *consumer.Consumer
	barrier       *barrier.Barrier
	katib         *dbmanager.Server // nil without Katib's gRPC interface
	db            *katibdb.DB
	options       consumerOptions
	log           *slog.Logger
	listener      net.Listener // nil without HTTP
	katibListener net.Listener
	server        *http.Server
	starting      atomic.Pointer[error] // why the consumer does not run yet; nil once it does
	// ready is called once, when everything works for the first time; nil is fine.
	ready func()
}

var errStarting = errors.New("starting")

// listen takes the port of the service's HTTP; without an address there is none.
func listen(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for /metrics and health: %w; give another address with --listen", err)
	}
	return listener, nil
}

// newService makes a service that does not run yet; it needs neither NATS nor the database. The listener may be nil.
func (a *app) newService(js jetstream.JetStream, db *katibdb.DB, listener net.Listener, o consumerOptions) (*service, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg := o.config()
	cfg.Logger, cfg.Registerer = a.log, registry
	c, err := consumer.New(js, db, cfg)
	if err != nil {
		return nil, usageError{err}
	}
	s := &service{nc: js.Conn(), consumer: c, barrier: barrier.New(js, db), db: db, options: o, log: a.log, listener: listener}
	s.starting.Store(&errStarting)
	if o.katib != nil {
		if s.katib, err = a.newDBManager(js, db, s.barrier, registry, *o.katib); err != nil {
			return nil, err
		}
	}
	s.server = a.newHTTP(registry, s.readiness)
	return s, nil
}

// run returns when ctx has ended and the batches under way are done.
func (s *service) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.consume(ctx) })
	group.Go(func() error { s.farewell(ctx); return nil })
	if s.ready != nil {
		group.Go(func() error { s.announce(ctx); return nil })
	}
	if s.listener != nil {
		s.log.Info("listening for /metrics, /healthz and /readyz", "address", s.listener.Addr().String())
		group.Go(s.serve)
	}
	return group.Wait()
}

func (s *service) consume(ctx context.Context) error {
	defer s.stopServing()
	if s.options.migrate {
		err := migrateUntilDone(ctx, s.db, s.log, func(err error) { s.starting.Store(&err) })
		if err != nil {
			return nil // ctx ended before anything began
		}
	}
	s.starting.Store(nil)
	// Reports that are under way end in the database, so what takes them there outlives who takes them in.
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stop()
		return s.answerKatib(ctx)
	})
	group.Go(func() error { return s.consumer.Run(inner) })
	group.Go(func() error { return s.barrier.Run(inner) })
	group.Go(func() error {
		return flush.Serve(inner, s.nc, s.barrier, flush.Config{Version: version, Logger: s.log})
	})
	return group.Wait()
}

// answerKatib returns when ctx has ended and the calls under way are done.
func (s *service) answerKatib(ctx context.Context) error {
	if s.katib == nil {
		<-ctx.Done()
		return nil
	}
	s.log.Info("answering Katib", "address", s.katibListener.Addr().String())
	return s.katib.Run(ctx, s.katibListener)
}

func (s *service) serve() error {
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve /metrics and health: %w", err)
	}
	return nil
}

// places is where it all is to be found.
func (s *service) places() places {
	p := places{NATS: natsconn.Redact(s.nc.ConnectedUrl())}
	if s.listener != nil {
		p.HTTP = "http://" + s.listener.Addr().String()
	}
	if s.katibListener != nil {
		p.Katib = s.katibListener.Addr().String()
	}
	return p
}

func (s *service) stopServing() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.server.Close() // somebody reads slowly
	}
}

func (s *service) readiness(ctx context.Context) error {
	if err := s.starting.Load(); err != nil {
		return *err
	}
	return s.consumer.Ready(ctx)
}

// farewell says what a stop waits for.
func (s *service) farewell(ctx context.Context) {
	<-ctx.Done()
	s.log.Info("stopping; batches under way end first, a second signal aborts", "at_most", s.options.consumer.StopTimeout.String())
}

// announce calls ready as soon as the service is.
func (s *service) announce(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for s.readiness(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	if ctx.Err() == nil {
		s.ready()
	}
}
