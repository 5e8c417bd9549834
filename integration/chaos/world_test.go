package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/integration/faults"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

// topology is how a world is set up.
type topology struct {
	database string
	size     int  // servers of NATS
	brief    bool // the janitor leaves little history, so that it has work all the time
}

// The settings of consumers under chaos: what takes minutes in production takes seconds here, and the history that the
// janitor leaves is short, so that it has work.
var consumerSettings = []string{
	"KATIB_STREAM_ACK_WAIT=3s", "KATIB_STREAM_COMMIT_TIMEOUT=3s", "KATIB_STREAM_DUPLICATE_WINDOW=2s", "KATIB_STREAM_HISTORY=1m",
	"KATIB_STREAM_JANITOR_EVERY=2s", "KATIB_STREAM_STREAM_MAX_BYTES=1GiB", "KATIB_STREAM_DEAD_LETTER_MAX_BYTES=256MiB",
}

// world is everything that runs.
type world struct {
	testing.TB
	topology
	dir     string
	server  *faults.Database
	nodes   []*node
	links   map[string][]*link // by the two parts; one for each node of NATS
	all     []*service
	metrics *scraper

	consumers, trainers []*service
	manager             *service
	managerAddress      string // through a proxy

	js  jetstream.JetStream // past all proxies
	db  *katibdb.DB         // past all proxies, as an administrator
	sql *sql.DB             // of db
}

func newWorld(t testing.TB, top topology, bin string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "katib-stream-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, topology: top, dir: dir, links: map[string][]*link{}}
	t.Cleanup(func() {
		if t.Failed() || *keep {
			t.Logf("logs and notes are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	w.server = faults.StartDatabase(t, top.database, faults.Room{DiskMiB: 192, Connections: 60})
	w.db = w.server.Superuser(t)
	w.sql = w.db.SQL()
	t.Cleanup(w.stopAll)
	w.nodes = startNATS(t, dir, top.size)
	var urls []string
	for _, n := range w.nodes {
		w.all = append(w.all, n.service)
		urls = append(urls, "nats://"+n.address())
	}
	w.connect(urls)
	w.startConsumers(bin)
	w.startManager(bin)
	return w
}

func (w *world) connect(urls []string) {
	w.Helper()
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(nc.Close)
	if w.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(3*time.Second)); err != nil {
		w.Fatal(err)
	}
}

// natsThrough makes a link to each node, and gives the URLs.
func (w *world) natsThrough(name string) string {
	var urls []string
	for i, n := range w.nodes {
		l := newLink(w, fmt.Sprintf("%s-%d", name, i), n.address())
		w.links[name] = append(w.links[name], l)
		urls = append(urls, "nats://"+l.address())
	}
	return strings.Join(urls, ",")
}

func (w *world) databaseThrough(name string) string {
	u, err := url.Parse(w.server.Worker)
	if err != nil {
		w.Fatal(err)
	}
	l := newLink(w, name, u.Host)
	w.links[name] = append(w.links[name], l)
	u.Host = l.address()
	return u.String()
}

func (w *world) start(name string, argv []string, env ...string) *service {
	w.Helper()
	s, err := newService(w.dir, name, argv, env...)
	if err != nil {
		w.Fatal(err)
	}
	w.all = append(w.all, s)
	return s
}

// startConsumers starts two that are not set up alike, as while a new version is rolled out.
func (w *world) startConsumers(bin string) {
	w.Helper()
	servers, db := w.natsThrough("consumers-nats"), w.databaseThrough("consumers-database")
	var addresses []string
	for i, settings := range [][]string{{"KATIB_STREAM_WORKERS=4"}, {"KATIB_STREAM_WORKERS=2", "KATIB_STREAM_BATCH_MESSAGES=20"}} {
		address := fmt.Sprintf("127.0.0.1:%d", testserver.FreePort(w))
		addresses = append(addresses, address)
		env := append(settings, consumerSettings...)
		if w.brief {
			env = append(env, "KATIB_STREAM_HISTORY=500ms", "KATIB_STREAM_JANITOR_EVERY=200ms")
		}
		env = append(env, "KATIB_STREAM_SERVERS="+servers, "KATIB_STREAM_DB="+db, "KATIB_STREAM_LISTEN="+address, fmt.Sprintf("KATIB_STREAM_REPLICAS=%d", len(w.nodes)))
		w.consumers = append(w.consumers, w.start(fmt.Sprintf("consumer-%d", i), []string{filepath.Join(bin, product), "consumer"}, env...))
	}
	w.metrics = newScraper(addresses)
	w.eventually(60*time.Second, "the stream is made", func(ctx context.Context) bool {
		_, err := w.js.Stream(ctx, "KATIB_METRICS")
		return err == nil
	})
}

func (w *world) startManager(bin string) {
	w.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", testserver.FreePort(w))
	w.manager = w.start("manager", []string{filepath.Join(bin, product), "db-manager"},
		"KATIB_STREAM_SERVERS="+w.natsThrough("manager-nats"), "KATIB_STREAM_DB="+w.databaseThrough("manager-database"),
		fmt.Sprintf("KATIB_STREAM_LISTEN=127.0.0.1:%d", testserver.FreePort(w)), "KATIB_STREAM_LISTEN_ADDRESS="+address)
	l := newLink(w, "clients-manager", address)
	w.links["clients-manager"] = append(w.links["clients-manager"], l)
	w.managerAddress = l.address()
}

func (w *world) stopAll() {
	for i := len(w.all) - 1; i >= 0; i-- {
		s := w.all[i]
		if p := s.current(); p != nil {
			_ = p.Resume()
		}
		if err := s.stop(); err != nil {
			w.Error(err)
		}
	}
}

// eventually waits until something is the case.
func (w *world) eventually(limit time.Duration, what string, is func(context.Context) bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if !poll(ctx, 20*time.Millisecond, is) {
		w.Fatalf("not within %v: %s", limit, what)
	}
}

// poll asks until the answer is yes, or ctx ends. A question that is not answered is asked again.
func poll(ctx context.Context, pause time.Duration, is func(context.Context) bool) bool {
	for {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		yes := is(limited)
		cancel()
		if yes {
			return true
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// sleep is false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
