package testserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// containerServer is a server in a container, which keeps its data as long as it is not removed.
type containerServer struct {
	image     image
	docker    client.APIClient
	container *testcontainers.DockerContainer
	addr      string
}

// newContainerServer makes a container, starts it, and waits until the server answers.
func newContainerServer(ctx context.Context, p *containerProvider, i image, extra []string) (*containerServer, error) {
	host, err := p.docker.DaemonHost(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the Docker engine's host: %w", err)
	}
	port, err := freePort() // a fixed one, so that it stays the same over a restart
	if err != nil {
		return nil, err
	}
	container, err := testcontainers.Run(ctx, i.name(),
		testcontainers.WithNoStart(),
		testcontainers.WithExposedPorts(i.port),
		testcontainers.WithHostConfigModifier(publish(i.port, host, port)),
		testcontainers.WithEnv(i.env),
		testcontainers.WithFiles(i.containerFiles()...),
		testcontainers.WithCmd(slices.Concat(i.arguments, extra)...),
		testcontainers.WithLabels(map[string]string{ownerLabel: p.owner}),
	)
	if err != nil {
		return nil, fmt.Errorf("make a container of %s: %w", i.name(), errors.Join(err, container.Terminate(ctx)))
	}
	s := &containerServer{image: i, docker: p.docker.Client(), container: container, addr: net.JoinHostPort(host, strconv.Itoa(port))}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.remove(ctx))
	}
	return s, nil
}

// publish makes a port of the container one of the host; where the host is this machine, on loopback only.
func publish(inside, host string, port int) func(*container.HostConfig) {
	binding := network.PortBinding{HostPort: strconv.Itoa(port)}
	if host == "localhost" || host == loopback {
		binding.HostIP = netip.MustParseAddr(loopback)
	}
	return func(config *container.HostConfig) {
		config.PortBindings = network.PortMap{network.MustParsePort(inside): {binding}}
	}
}

func (s *containerServer) address() string { return s.addr }

func (s *containerServer) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	if err := s.container.Start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", s.image.name(), err)
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		if state, stateErr := s.container.State(ctx); stateErr == nil && !state.Running {
			return fmt.Errorf("start %s: it ended at once and wrote:\n%s", s.image.name(), s.output())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w; it wrote:\n%s", s.image.name(), err, s.output())
		}
	}
}

// answers returns nil when the server does what it is for.
func (s *containerServer) answers(ctx context.Context) error {
	if s.image.kind == natsImage.kind {
		return greets(ctx, s.addr)
	}
	return s.image.dialect.exec(ctx, s.addr, "SELECT 1")
}

// greets waits for the first bytes, which a NATS server sends by itself. That the port is open shows only that the
// engine listens there.
func greets(ctx context.Context, addr string) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, len("INFO ")))
	return err
}

// kill kills the server, and tells testcontainers by a stop, which finds nothing left to do, that it is down.
func (s *containerServer) kill(ctx context.Context) error {
	if _, err := s.docker.ContainerKill(ctx, s.container.GetContainerID(), client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return fmt.Errorf("kill %s: %w", s.image.name(), err)
	}
	return s.stop(ctx)
}

func (s *containerServer) stop(ctx context.Context) error {
	timeout := databaseTimeout
	if err := s.container.Stop(ctx, &timeout); err != nil {
		return fmt.Errorf("stop %s: %w", s.image.name(), err)
	}
	return nil
}

func (s *containerServer) pause(ctx context.Context) error {
	if _, err := s.docker.ContainerPause(ctx, s.container.GetContainerID(), client.ContainerPauseOptions{}); err != nil {
		return fmt.Errorf("pause %s: %w", s.image.name(), err)
	}
	return nil
}

func (s *containerServer) resume(ctx context.Context) error {
	if _, err := s.docker.ContainerUnpause(ctx, s.container.GetContainerID(), client.ContainerUnpauseOptions{}); err != nil {
		return fmt.Errorf("resume %s: %w", s.image.name(), err)
	}
	return nil
}

func (s *containerServer) remove(ctx context.Context) error {
	if err := s.container.Terminate(ctx, testcontainers.StopTimeout(0)); err != nil {
		return fmt.Errorf("remove the container of %s: %w", s.image.name(), err)
	}
	return nil
}

// output is the end of what the server wrote, for errors.
func (s *containerServer) output() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	logs, err := s.container.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer logs.Close()
	text, err := io.ReadAll(logs)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2_000):])
}
