package consumer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/pull"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

// Whatever a server stores of a stranger has a dead letter that it stores, too, with the original in it: what has none
// would be delivered for ever.
func FuzzDeadLetter(f *testing.F) {
	for _, seed := range []struct {
		subject, headers, body, reason string
	}{
		{"default.my-trial.me", "", `{"metrics":{"loss":1}}`, "Data too long for column 'value' at row 1"},
		{"default.my-trial.me", "Nats-Msg-Id: me:1\r\nX: y\r\nX: z\r\n", "no json", "two\nlines, and \x1b[2J"},
		{"a.b.c.d.e", "nats-rollup: all\r\nKatib-Stream-Reason: none\r\nNats-Msg-Size: -1\r\n", "", ""},
	} {
		f.Add(seed.subject, seed.headers, []byte(seed.body), seed.reason)
	}
	// The longest headers that a server stores, alone and beside the largest body.
	long := "X: " + strings.Repeat("x", maxHeader-len("NATS/1.0\r\nX: \r\n\r\n")) + "\r\n"
	many := strings.Repeat("a:\r\n", (maxHeader-len("NATS/1.0\r\n\r\n"))/len("a:\r\n"))
	largest := make([]byte, 1<<20-schema.PayloadReserve-maxHeader)
	f.Add("default.my-trial.me", long, []byte("{"), "")
	f.Add("default.my-trial.me", many, largest, "")
	s := newStranger(f)
	f.Fuzz(func(t *testing.T, rest, headers string, body []byte, reason string) {
		if !s.send(t, rest, headers, body) {
			return
		}
		it := s.receive(t)
		if it.refused == nil {
			it.refuse(schema.StagePersist, errors.New(reason))
		}
		if err := s.worker.storeDeadLetter(t.Context(), it); err != nil {
			t.Fatal(err)
		}
		s.worker.acknowledge(it)
		s.kept++
		letter, err := s.letters.GetMsg(t.Context(), s.kept)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"} {
			delete(letter.Header, name) // of the answer that it came with
		}
		checkLetter(t, it, letter)
		if got := letter.Header.Get(schema.HeaderReason); strings.ContainsAny(got, "\r\n") || len(got) > maxReason+64 || got == "" && it.stage == schema.StageDecode {
			t.Errorf("the reason is %q; it was %q", got, it.refused)
		}
	})
}

func checkLetter(t *testing.T, it *item, letter *jetstream.RawStreamMsg) {
	t.Helper()
	if string(letter.Data) != string(it.stored.Body) || letter.Header.Get(schema.HeaderSubject) != it.stored.Subject {
		t.Errorf("of %q with %.100q it keeps %q with %.100q", it.stored.Subject, it.stored.Body, letter.Header.Get(schema.HeaderSubject), letter.Data)
	}
	own := ownHeader(it)
	for name := range letter.Header {
		if strings.HasPrefix(strings.ToLower(name), "nats-") && name != schema.HeaderMsgID {
			t.Errorf("JetStream acts on its header %s", name)
		}
	}
	if strings.HasPrefix(letter.Header.Get(schema.HeaderReason), "(kept without") {
		return
	}
	want, got := 0, 0
	for name, values := range it.stored.Header {
		if own[disarm(name)] == nil {
			want += len(values)
		}
	}
	for name, values := range letter.Header {
		if own[name] == nil {
			got += len(values)
		}
	}
	if got != want {
		t.Errorf("it keeps %d headers of %d: %q of %q", got, want, letter.Header, it.stored.Header)
	}
}

// stranger sends what no client would, and receives it as a worker does.
type stranger struct {
	conn    net.Conn
	js      jetstream.JetStream
	worker  *worker
	session *session
	from    *pull.Puller
	letters jetstream.Stream
	kept    uint64 // dead letters so far
	sent    uint64
}

func newStranger(f *testing.F) *stranger {
	url := testserver.NATS(f).URL()
	s := &stranger{js: connect(f, url)}
	c, err := New(s.js, &fakeDB{}, Config{Streams: StreamConfig{MaxBytes: 1 << 30, DeadLetterMaxBytes: 4 << 30}})
	if err == nil {
		s.session, err = c.open(context.Background(), nil)
	}
	if err == nil {
		s.worker = newWorker(c, 0)
		s.letters, err = s.js.Stream(context.Background(), schema.DeadLetterStream)
	}
	if err == nil {
		s.from, err = pull.New(s.js, 1)
	}
	if err == nil {
		s.conn, err = net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
	}
	if err != nil {
		f.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); s.answer() }()
	f.Cleanup(func() {
		s.conn.Close()
		<-ended
	})
	if _, err := s.conn.Write([]byte("CONNECT {\"headers\":true,\"verbose\":false}\r\n")); err != nil {
		f.Fatal(err)
	}
	return s
}

// answer keeps the connection, which the server closes when nobody is there.
func (s *stranger) answer() {
	for lines := bufio.NewScanner(s.conn); lines.Scan(); {
		if lines.Text() == "PING" {
			_, _ = s.conn.Write([]byte("PONG\r\n"))
		}
	}
}

// send publishes a message, and says whether the stream has it.
func (s *stranger) send(t *testing.T, rest, headers string, body []byte) bool {
	t.Helper()
	subject := schema.SubjectPrefix + "." + rest
	const longest = 3 << 10 // the server hangs up on longer ones
	if strings.ContainsAny(subject, " \t\r\n") || strings.Contains(subject+".", "..") || len(subject) > longest {
		return false
	}
	if s.sent++; s.sent%1_000 == 0 {
		_ = s.session.stream.Purge(t.Context())
		_ = s.letters.Purge(t.Context())
	}
	inbox := s.js.Conn().NewInbox()
	stored, err := s.js.Conn().SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stored.Unsubscribe() }()
	if err := s.js.Conn().Flush(); err != nil { // or the answer could come before the server knows of it
		t.Fatal(err)
	}
	header := "NATS/1.0\r\n" + headers + "\r\n"
	message := fmt.Sprintf("HPUB %s %s %d %d\r\n%s%s\r\n", subject, inbox, len(header), len(header)+len(body), header, body)
	if _, err := s.conn.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	answer, err := stored.NextMsg(2 * time.Second)
	if err != nil || strings.Contains(string(answer.Data), `"error"`) || strings.Contains(string(answer.Data), `"duplicate"`) {
		return false
	}
	return true
}

func (s *stranger) receive(t *testing.T) *item {
	t.Helper()
	batch, err := s.from.Pull(schema.Consumer, 1, 0, 4*time.Second) // a fuzzer gives up sooner than patience
	if err != nil || len(batch) != 1 {
		t.Fatalf("got %d messages, %v", len(batch), err)
	}
	return s.worker.decode(s.session, batch[0])
}
