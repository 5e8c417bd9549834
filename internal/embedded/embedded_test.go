package embedded

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestKeepsWhatIsStored(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "data", "nats")
	first := start(t, Config{Dir: dir})
	if !strings.HasPrefix(first.URL(), "nats://127.0.0.1:") {
		t.Errorf("listens at %s; want the loopback interface", first.URL())
	}
	js := connect(t, first.URL())
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	first.Shutdown()
	first.Shutdown()

	second := start(t, Config{Dir: dir})
	stream, err := connect(t, "", nats.InProcessServer(second)).Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := stream.GetMsg(ctx, 1); err != nil || string(msg.Data) != "kept" {
		t.Errorf("message 1 after the restart: %v, %v", msg, err)
	}
	if second.Room() <= 0 {
		t.Errorf("room for %d bytes", second.Room())
	}
}

func TestStartSaysWhyItCannot(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	taken := listener.Addr().(*net.TCPAddr).Port
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inTheWay := t.TempDir()
	if err := os.WriteFile(filepath.Join(inTheWay, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cfg  Config
		is   error
		says string
	}{
		"the port is taken":            {Config{Dir: t.TempDir(), Port: taken}, syscall.EADDRINUSE, "listen for the embedded NATS server"},
		"the monitoring port is taken": {Config{Dir: t.TempDir(), MonitorPort: taken}, syscall.EADDRINUSE, "listen for the embedded NATS server"},
		"the folder is a file":         {Config{Dir: file}, syscall.ENOTDIR, "make the folder"},
		"a file stands in the folder":  {Config{Dir: inTheWay}, nil, "start the embedded NATS server"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Start(tt.cfg)
			if err == nil {
				s.Shutdown()
				t.Fatal("started")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v; want %v", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v; want one that says %q", err, tt.says)
			}
		})
	}
}
