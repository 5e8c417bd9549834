// Package dbmanager answers Katib's gRPC interface api.v1.beta1.DBManager on top of the stream, so that Katib's controller,
// UI, sidecars and SDK need no change: what they report is published, and answered when a consumer has persisted it; what
// they read is complete, or an error.
package dbmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/katib-stream/katib-stream/barrier"
	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// Database is what a Server needs of Katib DB; *katibdb.DB is one.
type Database interface {
	Ping(ctx context.Context) error
	Retired(ctx context.Context, producer schema.Subject) (bool, error)
	Log(ctx context.Context, q katibdb.LogQuery, each func(katibdb.Row) error) error
	DeleteTrial(ctx context.Context, trial string, look func(context.Context) (epoch string, sequence uint64, at time.Time, err error)) error
}

// Barrier waits until messages are persisted; *barrier.Barrier does.
type Barrier interface {
	WaitMessage(ctx context.Context, ref katibdb.Ref) (dead bool, err error)
	WaitTrial(ctx context.Context, trial string) (barrier.Result, error)
}

var (
	_ Database                 = (*katibdb.DB)(nil)
	_ Barrier                  = (*barrier.Barrier)(nil)
	_ katibapi.DBManagerServer = (*Server)(nil)
)

// maxReads is how many logs are read at the same time: fewer than the database has connections, so that health is still
// answered, and few enough for the memory that long logs need.
const maxReads = 4

// Server is a db-manager. Make it with New, run it with Run. Its other methods are the calls of Katib's interface.
type Server struct {
	katibapi.UnimplementedDBManagerServer

	js      jetstream.JetStream
	db      Database
	barrier Barrier
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	writers *writers
	reads   chan struct{} // a place for each read under way
	grpc    *grpc.Server
}

// New returns a server that does not run yet. The error says what in cfg cannot be used; neither NATS nor the database is
// touched. The barrier must run as long as the server does.
func New(js jetstream.JetStream, db Database, b Barrier, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure db-manager: %w", err)
	}
	s := &Server{js: js, db: db, barrier: b, cfg: cfg, log: cfg.Logger, reads: make(chan struct{}, maxReads)}
	s.writers = newWriters(s.publish)
	s.metrics = newMetrics(cfg.Registerer, s.writers.count)
	s.grpc = grpc.NewServer(s.options()...)
	katibapi.RegisterDBManagerServer(s.grpc, s)
	grpc_health_v1.RegisterHealthServer(s.grpc, &health{db: db, log: s.log})
	reflection.Register(s.grpc)
	return s, nil
}

func (s *Server) options() []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(math.MaxInt32), // Katib's; a sidecar reports a whole log in one call
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true), // what they use goes when the server has stopped
		grpc.ChainUnaryInterceptor(s.measure, s.recoverCall),
		grpc.ChainStreamInterceptor(s.recoverStream),
	}
	if s.cfg.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.cfg.TLS)))
	}
	return options
}

// Run answers calls that come to the listener, which it closes, until ctx ends. Then it takes no more, ends those under way
// within Config.StopTimeout, marks the end of its producers' runs in the stream, and returns nil. Call it once.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.grpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) { // that is ctx, which ended at once
			return fmt.Errorf("serve gRPC: %w", err)
		}
		return nil
	})
	group.Go(func() error { s.writers.run(ctx); return nil })
	group.Go(func() error {
		<-ctx.Done()
		s.stop()
		return nil
	})
	err := group.Wait()
	s.writers.close()
	return err
}

// stop waits for the calls under way, but not for ever.
func (s *Server) stop() {
	abort := time.AfterFunc(s.cfg.StopTimeout, s.grpc.Stop)
	defer abort.Stop()
	s.grpc.GracefulStop()
}
