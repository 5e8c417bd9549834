package bench

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// TestResidentHeaders has the janitor and a flush read messages with as many headers as a server stores, each of which
// takes twenty times its bytes once it is read.
func TestResidentHeaders(t *testing.T) {
	t.Parallel()
	const messages, headers = 700, 8_000
	server := testserver.NATS(t)
	js := connect(t, server.URL())
	// So nearly full that the janitor makes room.
	if _, err := consumer.EnsureStreams(t.Context(), js, consumer.StreamConfig{MaxBytes: 44 << 20, DeadLetterMaxBytes: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	many := nats.Header{}
	for n := range headers {
		many[fmt.Sprintf("%x", n)] = []string{""}
	}
	for range messages {
		msg := &nats.Msg{Subject: "katib.metrics.default.my-trial.me", Data: []byte("no json"), Header: many}
		if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	db := testserver.Databases(t)[0].Fresh(t)
	command := exec.Command(build(t), "consumer", "--server", server.URL(), "--db", db, "--listen", "", "--log-level", "error", "--janitor-every", "100ms")
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Process.Kill() }() // when the test ends before it does
	waitForRoom(t, js)
	if _, err := js.Conn().Request(schema.FlushSubject("default", "my-trial"), nil, time.Minute); err != nil {
		t.Error(err)
	}
	mib := highWater(t, command.Process.Pid) / 1024
	t.Logf("%d MiB", mib)
	_ = command.Process.Signal(os.Interrupt)
	if err := command.Wait(); err != nil {
		t.Errorf("consumer: %v", err)
	}
	if mib > mostResident {
		t.Errorf("the consumer became %d MiB large; want %d at most", mib, mostResident)
	}
}

// waitForRoom waits until the janitor has trimmed the stream.
func waitForRoom(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for {
		stream, err := js.Stream(t.Context(), schema.Stream)
		if err == nil && stream.CachedInfo().State.FirstSeq > 1 {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("the janitor makes no room")
		}
	}
}
