// Package embedded runs a NATS server with JetStream inside this process: what `katib-stream up` keeps its stream in when
// it is given no server of your own.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// readyTimeout is how long a server whose streams are recovered may take to listen.
const readyTimeout = 10 * time.Second

// Config sets a Server up.
type Config struct {
	// Dir is the folder that everything stored is kept in. It is made when it does not exist.
	Dir string
	// Host and Port are where clients connect. Host is 127.0.0.1 by default; port 0 means any free one.
	Host string
	Port int
	// MonitorPort is where the server's own monitoring answers HTTP, on Host. 0 means nowhere.
	MonitorPort int
	// MaxPayload is the size of the largest message in bytes. Default 1 MiB.
	MaxPayload int
	// Logger gets the server's warnings and errors. Nil means silent.
	Logger *slog.Logger
}

// Server is a running server. It is a nats.InProcessConnProvider, so that this process's own connections need no network.
type Server struct {
	server *server.Server
}

// Start starts a server and returns once it takes connections, its streams recovered from cfg.Dir. Nothing is lost by a
// kill -9 of the process; after a crash of the machine the last moments may be (the server syncs every two minutes).
// When the port is taken the error is a syscall.EADDRINUSE.
func Start(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the embedded NATS server: %w", err)
	}
	for _, port := range []int{cfg.Port, cfg.MonitorPort} {
		if err := free(cfg.Host, port); err != nil {
			return nil, err
		}
	}
	ns, err := server.NewServer(cfg.options())
	if err != nil {
		return nil, fmt.Errorf("set up the embedded NATS server: %w", err)
	}
	bridge := &bridge{log: cfg.Logger, fatal: make(chan string, 1)}
	ns.SetLoggerV2(bridge, false, false, false)
	s := &Server{server: ns}
	if err := s.start(bridge); err != nil {
		s.Shutdown()
		return nil, err
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = 1 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) options() *server.Options {
	options := &server.Options{
		ServerName: "katib-stream",
		Host:       c.Host,
		Port:       c.Port,
		MaxPayload: int32(c.MaxPayload),
		JetStream:  true,
		StoreDir:   c.Dir,
		NoSigs:     true,
	}
	if c.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	if c.MonitorPort != 0 {
		options.HTTPHost, options.HTTPPort = c.Host, c.MonitorPort
	}
	return options
}

// free finds out beforehand what the server itself would only write into its log.
func free(host string, port int) error {
	if port == 0 {
		return nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("listen for the embedded NATS server: %w", err)
	}
	return listener.Close()
}

// start recovers the streams and listens, or says why the server cannot.
func (s *Server) start(bridge *bridge) error {
	s.server.Start()
	select {
	case reason := <-bridge.fatal:
		return errors.New("start the embedded NATS server: " + reason)
	default:
	}
	if !s.server.ReadyForConnections(readyTimeout) {
		return fmt.Errorf("start the embedded NATS server: not ready within %v", readyTimeout)
	}
	return nil
}

// URL is where clients connect.
func (s *Server) URL() string {
	return s.server.ClientURL()
}

// MonitorURL is where the server's monitoring answers, "" when it does not.
func (s *Server) MonitorURL() string {
	addr := s.server.MonitorAddr()
	if addr == nil {
		return ""
	}
	return "http://" + addr.String()
}

// Room is how many bytes the streams may take together: three quarters of the free disk, and what they have already.
func (s *Server) Room() int64 {
	return s.server.JetStreamConfig().MaxStore
}

// InProcessConn connects without the network.
func (s *Server) InProcessConn() (net.Conn, error) {
	return s.server.InProcessConn()
}

// Shutdown closes every connection, writes out what is stored, and waits until that is done. It may be called again.
func (s *Server) Shutdown() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
