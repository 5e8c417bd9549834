package chaos

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

// link is the way between two parts: a toxiproxy, and a hop behind it that counts, and that can lose the answer to a commit.
type link struct {
	name  string
	proxy *toxiproxy.Proxy
	hop   *hop
}

func newLink(t testing.TB, name, upstream string) *link {
	t.Helper()
	hop := startHop(t, upstream)
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	var err error
	for range 5 { // another process may be given the same port
		listen := fmt.Sprintf("127.0.0.1:%d", testserver.FreePort(t))
		l := &link{name: name, hop: hop, proxy: toxiproxy.NewProxy(api, name, listen, hop.listener.Addr().String())}
		if err = l.proxy.Start(); err == nil {
			t.Cleanup(l.proxy.Stop)
			return l
		}
	}
	t.Fatal(err)
	return nil
}

func (l *link) address() string { return l.proxy.Listen }

// add adds a toxic, as toxiproxy's API describes it.
func (l *link) add(toxic string) error {
	_, err := l.proxy.Toxics.AddToxicJson(bytes.NewBufferString(toxic))
	return err
}

// hop passes connections on.
type hop struct {
	listener net.Listener
	upstream string
	opened   atomic.Int64 // connections
	passed   atomic.Int64 // bytes
	// loseCommits is how many of the next commits are carried out without an answer.
	loseCommits atomic.Int64
	lost        atomic.Int64
	wg          sync.WaitGroup
}

func startHop(t testing.TB, upstream string) *hop {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hop{listener: listener, upstream: upstream}
	h.wg.Go(h.serve)
	t.Cleanup(func() { _ = listener.Close(); h.wg.Wait() })
	return h
}

func (h *hop) serve() {
	for {
		client, err := h.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", h.upstream)
		if err != nil {
			_ = client.Close()
			continue
		}
		h.opened.Add(1)
		losing := &atomic.Bool{}
		h.wg.Go(func() { h.up(server, client, losing) })
		h.wg.Go(func() { h.down(client, server, losing) })
	}
}

// up passes what the client says.
func (h *hop) up(server, client net.Conn, losing *atomic.Bool) {
	defer func() { _, _ = server.Close(), client.Close() }()
	chunk := make([]byte, 64<<10)
	for {
		n, err := client.Read(chunk)
		if err != nil {
			return
		}
		if isCommit(chunk[:n]) && h.loseCommits.Add(-1) >= 0 {
			losing.Store(true)
		}
		if _, err := server.Write(chunk[:n]); err != nil {
			return
		}
		h.passed.Add(int64(n))
	}
}

// down passes what the server says, but for the answer to a commit that is to be lost: the connection ends instead.
func (h *hop) down(client, server net.Conn, losing *atomic.Bool) {
	defer func() { _, _ = server.Close(), client.Close() }()
	chunk := make([]byte, 64<<10)
	for {
		n, err := server.Read(chunk)
		if err != nil {
			return
		}
		if losing.Load() {
			h.lost.Add(1)
			return
		}
		if _, err := client.Write(chunk[:n]); err != nil {
			return
		}
		h.passed.Add(int64(n))
	}
}

// isCommit says whether a packet is a COMMIT of MySQL's or PostgreSQL's protocol, which stands in a packet of its own.
func isCommit(packet []byte) bool {
	return len(packet) < 32 && bytes.Contains(packet, []byte("COMMIT"))
}
