package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// errNoEngine says that no Docker engine answers.
var errNoEngine = errors.New("no Docker engine answers")

// ownerLabel marks a container with the machine and the folder of the process that started it.
const ownerLabel = "katib-stream.test.owner"

// containerProvider runs servers in containers.
type containerProvider struct {
	docker *testcontainers.DockerProvider
	home   *home // its lock shows others that this process lives
	images []image
	owner  string // what ownerLabel says of this process
}

// newContainerProvider makes sure that every image that is asked for can be had.
func newContainerProvider(ctx context.Context) (*containerProvider, error) {
	log.SetDefault(log.NewNoopLogger()) // what is worth a line, we say
	docker, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEngine, err)
	}
	p := &containerProvider{docker: docker}
	for _, image := range databaseImages {
		if image.name() != "" {
			p.images = append(p.images, image)
		}
	}
	if err := p.prepare(ctx); err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	return p, nil
}

func (p *containerProvider) prepare(ctx context.Context) error {
	for _, image := range append([]image{natsImage}, p.images...) {
		if image.name() == "" {
			continue
		}
		if err := ensureImage(ctx, p.docker, image.name()); err != nil {
			return err
		}
	}
	home, err := openHome()
	if err != nil {
		return err
	}
	p.home = home
	machine, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find this machine's name: %w", err)
	}
	p.owner = machine + ":" + home.dir
	return p.removeAbandoned(ctx, machine)
}

// removeAbandoned removes the containers of killed processes of this machine. testcontainers' own reaper does that, too,
// where it is not switched off.
func (p *containerProvider) removeAbandoned(ctx context.Context, machine string) error {
	filters := make(client.Filters).Add("label", ownerLabel)
	found, err := p.docker.Client().ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return fmt.Errorf("list the containers of earlier tests: %w", err)
	}
	for _, c := range found.Items {
		started, dir, _ := strings.Cut(c.Labels[ownerLabel], ":")
		if started != machine || !removeAbandoned(dir) {
			continue
		}
		// The tests of another package may be removing it, too; what stays is for the next to remove.
		_, _ = p.docker.Client().ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
	return nil
}

func (p *containerProvider) name() string { return "testcontainers" }

func (p *containerProvider) kinds() []kind {
	var kinds []kind
	for _, image := range p.images {
		kinds = append(kinds, kind{name: image.kind, detail: "image " + image.name()})
	}
	return kinds
}

func (p *containerProvider) start(ctx context.Context, name string, arguments []string) (*databaseServer, error) {
	for _, image := range p.images {
		if image.kind != name {
			continue
		}
		server, err := newContainerServer(ctx, p, image, arguments)
		if err != nil {
			return nil, err
		}
		return &databaseServer{instance: server, dialect: image.dialect}, nil
	}
	return nil, fmt.Errorf("no container of kind %q", name)
}

func (p *containerProvider) close() error {
	return errors.Join(p.home.close(), p.docker.Close())
}

// NATSContainer starts a NATS server with JetStream in a container that lives as long as the test, and returns the URL
// that clients connect to. It needs the provider testcontainers.
func NATSContainer(t testing.TB) string {
	t.Helper()
	opened, err := shared.open()
	if err != nil {
		t.Fatal(err)
	}
	containers, ok := opened.(*containerProvider)
	if !ok || natsImage.name() == "" {
		t.Fatalf("a NATS container needs %s=testcontainers and an image; the provider is %s", envProvider, opened.name())
	}
	server, err := newContainerServer(t.Context(), containers, natsImage, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := within(faultTimeout, server.remove); err != nil {
			t.Error(err)
		}
	})
	return "nats://" + server.address()
}
