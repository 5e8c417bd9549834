package testserver

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsTimeout is how long a NATS server may take to start.
const natsTimeout = 30 * time.Second

// NATSOptions varies a NATS server. The zero value is the default.
type NATSOptions struct {
	// MaxPayload is the size of the largest message in bytes. Default 1 MiB.
	MaxPayload int32
	// MaxStore is how many bytes all streams may take together. Default three quarters of the free disk.
	MaxStore int64
	// Users may connect, with the permissions they have. Default: anyone may, and may do everything.
	Users []*server.User
}

// NATSServer is a NATS server with JetStream in this process, its streams in files of the test's temporary folder. Its
// methods are for the goroutine of the test.
type NATSServer struct {
	t       testing.TB
	options *server.Options
	running *server.Server // nil while stopped
}

// NATS starts a NATS server that lives as long as the test.
func NATS(t testing.TB) *NATSServer {
	t.Helper()
	return NATSWith(t, NATSOptions{})
}

// NATSWith starts a NATS server with options that lives as long as the test.
func NATSWith(t testing.TB, options NATSOptions) *NATSServer {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &NATSServer{t: t, options: &server.Options{
		ServerName:        "testserver",
		Host:              loopback,
		Port:              port,
		MaxPayload:        options.MaxPayload,
		Users:             options.Users,
		JetStream:         true,
		JetStreamMaxStore: options.MaxStore,
		StoreDir:          t.TempDir(),
		NoLog:             true,
		NoSigs:            true,
	}}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// URL is where clients connect, without a user. It stays the same over a restart.
func (s *NATSServer) URL() string {
	return "nats://" + address(s.options.Port)
}

// Start starts the server again, on its old port, with the streams it had. It fails the test when that takes over 30 s.
func (s *NATSServer) Start() {
	s.t.Helper()
	if s.running != nil {
		s.t.Fatal("start NATS: it runs already")
	}
	running, err := startNATS(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = running
}

// Stop closes every connection and stops the server. It does nothing when the server is stopped already.
func (s *NATSServer) Stop() {
	if s.running == nil {
		return
	}
	stopNATS(s.running)
	s.running = nil
}

func startNATS(options *server.Options) (*server.Server, error) {
	// The server changes the options it is given; a restart begins with those of the first start.
	running, err := server.NewServer(options.Clone())
	if err != nil {
		return nil, fmt.Errorf("set up NATS: %w", err)
	}
	running.Start()
	if !running.ReadyForConnections(natsTimeout) {
		stopNATS(running)
		return nil, fmt.Errorf("start NATS at %s: not ready within %v", address(options.Port), natsTimeout)
	}
	return running, nil
}

func stopNATS(running *server.Server) {
	running.Shutdown()
	running.WaitForShutdown()
}
