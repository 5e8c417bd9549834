package testserver

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func connect(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	options = append(options, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
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

func createStream(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	cfg := jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}, Replicas: replicas}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestNATSKeepsStreamsOverRestart(t *testing.T) {
	s := NATS(t)
	url := s.URL()
	js := connect(t, url)
	createStream(t, js, 1)
	if _, err := js.Publish(t.Context(), "kept", []byte("before")); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Stop() // does nothing
	if _, err := nats.Connect(url); err == nil {
		t.Error("it takes connections after Stop")
	}
	s.Start()
	if s.URL() != url {
		t.Errorf("the URL became %s; it was %s", s.URL(), url)
	}
	eventually(t, "the open connection is back, and finds the message", func() bool {
		stream, err := js.Stream(t.Context(), "KEPT")
		return err == nil && stream.CachedInfo().State.Msgs == 1
	})
}

func TestNATSOptions(t *testing.T) {
	s := NATSWith(t, NATSOptions{
		MaxPayload: 2000,
		MaxStore:   1 << 20,
		Users: []*server.User{
			{Username: "all", Password: "secret"},
			{Username: "publisher", Password: "secret", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{"kept"}},
			}},
		},
	})
	if _, err := nats.Connect(s.URL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a user: %v; want it refused", err)
	}
	all := connect(t, s.URL(), nats.UserInfo("all", "secret"))
	createStream(t, all, 1)
	if _, err := all.Publish(t.Context(), "kept", make([]byte, 2001)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("a message above MaxPayload: %v", err)
	}
	tooLarge := jetstream.StreamConfig{Name: "LARGE", Subjects: []string{"large"}, MaxBytes: 2 << 20}
	if _, err := all.CreateStream(t.Context(), tooLarge); err == nil {
		t.Error("a stream above MaxStore was made")
	}
	publisher := connect(t, s.URL(), nats.UserInfo("publisher", "secret"))
	if _, err := publisher.Publish(t.Context(), "kept", nil); err != nil {
		t.Errorf("what the permissions allow: %v", err)
	}
	if err := publisher.Conn().Publish("other", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server refuses what the permissions deny", func() bool {
		return publisher.Conn().Flush() == nil && errors.Is(publisher.Conn().LastError(), nats.ErrPermissionViolation)
	})
}

// TestNATSContainer has nothing to see where servers are private: what it is about is not offered there.
func TestNATSContainer(t *testing.T) {
	if Provider(t) != "testcontainers" {
		return
	}
	js := connect(t, NATSContainer(t))
	createStream(t, js, 1)
	if _, err := js.Publish(t.Context(), "kept", nil); err != nil {
		t.Fatal(err)
	}
}
