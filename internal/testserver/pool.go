package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// provider runs database servers in one way.
type provider interface {
	// name is private or testcontainers.
	name() string
	// kinds lists the kinds of server that can be had, each with a version or an image.
	kinds() []kind
	// start starts a new server of a kind, with further arguments for it.
	start(ctx context.Context, name string, arguments []string) (*databaseServer, error)
	// close removes what the provider holds, after every server was removed.
	close() error
}

type kind struct {
	name   string
	detail string
}

// Provider is where database servers of this test process come from: "testcontainers" for containers, "private" for
// servers run from the programs installed here. KATIB_STREAM_TEST_PROVIDER chooses one of them; "auto", the default,
// takes containers where a Docker engine answers and has or gets the images.
func Provider(t testing.TB) string {
	t.Helper()
	p, err := shared.open()
	if err != nil {
		t.Fatal(err)
	}
	return p.name()
}

// pool opens the provider once, and keeps the database servers that tests share.
type pool struct {
	mu        sync.Mutex
	opened    bool
	provider  provider
	err       error
	databases []Database
	servers   []*databaseServer
}

// open returns the provider, and says on standard error which one it took and what it offers when that is new.
func (p *pool) open() (provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opened {
		return p.provider, p.err
	}
	p.opened = true
	p.provider, p.err = chooseProvider(context.Background())
	if p.err != nil {
		return nil, p.err
	}
	offered := []string{"sqlite"}
	p.databases = []Database{{Name: "sqlite"}}
	for _, k := range p.provider.kinds() {
		offered = append(offered, fmt.Sprintf("%s (%s)", k.name, k.detail))
		p.databases = append(p.databases, Database{Name: k.name, server: sync.OnceValues(func() (*databaseServer, error) { return p.share(k.name) })})
	}
	fmt.Fprintf(os.Stderr, "testserver: databases by provider %s: %s\n", p.provider.name(), strings.Join(offered, ", "))
	return p.provider, nil
}

// share starts a server that is kept until close.
func (p *pool) share(name string) (*databaseServer, error) {
	server, err := p.provider.start(context.Background(), name, nil)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, server)
	return server, nil
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), faultTimeout)
	defer cancel()
	var errs []error
	for _, server := range p.servers {
		errs = append(errs, server.instance.remove(ctx))
	}
	errs = append(errs, p.provider.close())
	return errors.Join(errs...)
}
