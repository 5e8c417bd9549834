package producer

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy stands between a client and a server. It can keep the server's answers to itself, and stop reading altogether.
type proxy struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu        sync.Mutex
	changed   *sync.Cond
	conns     []net.Conn
	deaf      bool // takes nothing from the client
	swallow   bool // passes nothing to the client
	swallowed int  // bytes
	closed    bool
}

// startProxy stands before the server at a NATS URL.
func startProxy(t *testing.T, url string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: strings.TrimPrefix(url, "nats://")}
	p.changed = sync.NewCond(&p.mu)
	p.wg.Go(p.serve)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(server, client, p.listens) })
		p.wg.Go(func() { p.pass(client, server, p.speaks) })
	}
}

// pass copies until one side ends; allowed may wait, and says whether to pass the bytes on.
func (p *proxy) pass(to, from net.Conn, allowed func(n int) bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	chunk := make([]byte, 64<<10)
	for {
		n, err := from.Read(chunk)
		if err != nil {
			return
		}
		if !allowed(n) {
			continue
		}
		if _, err := to.Write(chunk[:n]); err != nil && err != io.EOF {
			return
		}
	}
}

func (p *proxy) listens(int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.deaf && !p.closed {
		p.changed.Wait()
	}
	return true
}

func (p *proxy) speaks(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.swallow {
		p.swallowed += n
	}
	return !p.swallow
}

// set changes what the proxy does, and cut ends all present connections.
func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

func (p *proxy) cut() {
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func (p *proxy) swallowedAny() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.swallowed > 0
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.set(func() { p.closed = true; p.cut() })
	p.wg.Wait()
}
