package natsconn

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const secret = "s3cret"

// serve starts a server that wants a password, on a port, 0 for any.
func serve(t *testing.T, port int) (ns *server.Server, stop func()) {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, Username: "me", Password: secret})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	stop = sync.OnceFunc(func() { ns.Shutdown(); ns.WaitForShutdown() })
	t.Cleanup(stop)
	return ns, stop
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within 20s: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestServiceWaitsForNATSAndComesBack(t *testing.T) {
	port := freePort(t)
	url := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String()
	log := &lines{}
	nc, err := Connect(context.Background(), Config{Servers: "nats://me:" + secret + "@" + url}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	away := func() int { return strings.Count(log.String(), "NATS is away") }
	there := func() int { return strings.Count(log.String(), "connected to NATS") }
	eventually(t, "it says that NATS is away", func() bool { return away() == 1 })
	_, stop := serve(t, port)
	eventually(t, "it says that it is connected", func() bool { return there() == 1 })
	stop()
	eventually(t, "it says that NATS is away again", func() bool { return away() == 2 })
	serve(t, port)
	eventually(t, "it says that it is connected again", func() bool { return there() == 2 })
	if lines := strings.Count(log.String(), "\n"); lines != 4 || strings.Contains(log.String(), secret) {
		t.Errorf("want 4 lines without the password, got %d:\n%s", lines, log)
	}
}

func TestServiceDoesNotGiveUpOnAWrongPassword(t *testing.T) {
	ns, _ := serve(t, 0)
	log := &lines{}
	nc, err := Connect(context.Background(), Config{Servers: ns.ClientURL(), User: "me", Password: "wrong"}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	eventually(t, "it says what is wrong", func() bool { return strings.Contains(log.String(), "Authorization Violation") })
	// nats.go gives up after the second equal refusal unless it is told not to.
	eventually(t, "it was refused three times", func() bool {
		varz, err := ns.Varz(nil)
		return err == nil && varz.TotalConnections >= 3
	})
	if nc.IsClosed() {
		t.Error("it gave up")
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 {
		t.Errorf("want one line, got:\n%s", log)
	}
}

func TestCommandIsInterrupted(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	go func() {
		if conn, err := silent.Accept(); err == nil {
			defer conn.Close()
			cancel()
			silent.Close()
			<-ctx.Done()
		}
	}()
	if _, err := ConnectOnce(ctx, Config{Servers: silent.Addr().String()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v; want that it was cancelled", err)
	}
}

func TestCommandConnectsOrSaysWhatToDo(t *testing.T) {
	saveContexts(t, "", nil)
	ns, _ := serve(t, 0)
	host := ns.Addr().String()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	tests := map[string]struct {
		cfg Config
		err []string
	}{
		"it is there":         {cfg: Config{Servers: host, User: "me", Password: secret}},
		"one of two is":       {cfg: Config{Servers: "127.0.0.1:1," + host, User: "me", Password: secret}},
		"nobody is there":     {cfg: Config{Servers: "nats://me:" + secret + "@127.0.0.1:1"}, err: []string{"cannot reach NATS at nats://***@127.0.0.1:1: nobody answers", "katib-stream up", "--server"}},
		"a wrong password":    {cfg: Config{Servers: host, User: "me", Password: "wrong"}, err: []string{"refuses us", "--creds"}},
		"it says nothing":     {cfg: Config{Servers: silent.Addr().String()}, err: []string{"cannot reach NATS", "timeout"}},
		"no such host":        {cfg: Config{Servers: "nats://nowhere.invalid"}, err: []string{"cannot reach NATS at nats://nowhere.invalid", "--server"}},
		"no credentials file": {cfg: Config{Servers: host, Creds: "/nowhere.creds"}, err: []string{"/nowhere.creds"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			begin := time.Now()
			nc, err := ConnectOnce(ctx, tt.cfg)
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if nc != nil {
				nc.Close()
			}
			if (err != nil) != (tt.err != nil) {
				t.Fatalf("error %v", err)
			}
			for _, part := range tt.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %v; want one that says %q", err, part)
				}
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}
