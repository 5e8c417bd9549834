package integration

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/consumer"
	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// TestNothingAPublisherSendsStopsAConsumer sends everything that a stranger can think of, each between two good messages.
func TestNothingAPublisherSendsStopsAConsumer(t *testing.T) {
	t.Parallel()
	const good = `{"metrics":{"m":1}}`
	noise := make([]byte, 1<<20-schema.PayloadReserve-200)
	_, _ = rand.Read(noise)
	noise[0] = 0xff // so that no first line is text by chance
	manyHeaders := nats.Header{}
	for i := range 7_000 { // a server takes headers of 64 KiB
		manyHeaders[fmt.Sprintf("N%d", i)] = []string{""}
	}
	bad := []struct {
		name, subject, body string
		header              nats.Header
		reason              string
	}{
		{name: "no json", body: "loss=0.1", reason: "not a JSON object"},
		{name: "half a line", body: `{"metrics":{"loss":0.`, reason: "not a JSON object"},
		{name: "an array", body: `[1,2]`, reason: "not an object"},
		{name: "wrong types", body: `{"metrics":{"loss":[1]}}`, reason: "neither a number nor a string"},
		{name: "empty", body: "", reason: "no event"},
		{name: "no metrics", body: `{"step":1}`, reason: "no metrics"},
		{name: "second line bad", body: good + "\n{", reason: "line 2"},
		{name: "largest payload, noise", body: string(noise), reason: "UTF-8"},
		{name: "invalid UTF-8", body: "{\"metrics\":{\"\xff\":1}}", reason: "UTF-8"},
		{name: "NUL in a value", body: `{"metrics":{"m":"a\u0000b"}}`, reason: "NUL"},
		{name: "metric name of 300 characters", body: `{"metrics":{"` + strings.Repeat("é", 300) + `":1}}`, reason: "metric name"},
		{name: "value of 70,000 bytes", body: `{"metrics":{"m":"` + strings.Repeat("x", 70_000) + `"}}`, reason: "bytes"},
		{name: "deep nesting", body: strings.Repeat("[", 500_000), reason: "not a JSON object"},
		{name: "bad step", body: `{"step":1.5,"metrics":{"m":1}}`, reason: "step"},
		{name: "bad time", body: `{"time":"yesterday","metrics":{"m":1}}`, reason: "RFC 3339"},
		{name: "year 10000", body: `{"time":"9999-12-31T23:59:59-01:00","metrics":{"m":1}}`, reason: "years 1 to 9999"},
		{name: "bad subject token", subject: "katib.metrics.default.My_Trial.me", body: good, reason: "Kubernetes name"},
		{name: "bad escape", subject: "katib.metrics.default.a%2eb.me", body: good, reason: "%"},
		{name: "too few tokens", subject: "katib.metrics.default", body: good, reason: "subject"},
		{name: "too many tokens", subject: "katib.metrics.a.b.c.d.e", body: good, reason: "subject"},
		{name: "a very long subject", subject: "katib.metrics." + strings.Repeat("a.", 1_900) + "a", body: good, reason: "subject"},
		{name: "header of 60 KiB", body: "bad", header: nats.Header{"X-Large": {strings.Repeat("x", 60<<10)}}, reason: "JSON"},
		{name: "many headers", body: "bad", header: manyHeaders, reason: "JSON"},
		{name: "headers that JetStream acts on", body: "bad", header: nats.Header{"Nats-Expected-Stream": {schema.Stream}, "nats-rollup": {"all"}}, reason: "JSON"},
		{name: "numbered, then dead", body: "bad", header: nats.Header{schema.HeaderMsgID: {"me:1"}}, reason: "JSON"},
	}
	overDatabases(t, func(t *testing.T, url string) {
		server := testserver.NATS(t)
		js := connect(t, server.URL())
		db := open(t, url)
		ensureStreams(t, js)
		for i, tt := range bad {
			send(t, js, "katib.metrics.default.good.me", fmt.Sprintf(`{"metrics":{"n":%d}}`, i), nil)
			subject := tt.subject
			if subject == "" {
				subject = "katib.metrics.default.bad.me"
			}
			send(t, js, subject, tt.body, tt.header)
		}
		send(t, js, "katib.metrics.default.good.me", fmt.Sprintf(`{"metrics":{"n":%d}}`, len(bad)), nil)

		running := consume(t, js, db, consumer.Config{})
		settled(t, js)
		checkTrial(t, db.SQL(), "good", len(bad)+1)
		letters := deadLetters(t, js)
		if len(letters) != len(bad) {
			t.Errorf("%d dead letters; want %d", len(letters), len(bad))
		}
		for i, tt := range bad {
			sequence := fmt.Sprint(2*i + 2)
			if letter := letters[sequence]; letter == nil || !strings.Contains(letter.Header.Get(schema.HeaderReason), tt.reason) || string(letter.Data) != tt.body {
				t.Errorf("%s: dead letter %.300v; want the body and a reason with %q", tt.name, letter, tt.reason)
			}
		}
		if n := running.value(t, "katib_stream_dead_letters_total"); int(n) != len(bad) {
			t.Errorf("dead letters metric is %v; want %d", n, len(bad))
		}
		everythingIsSettledInTheDatabase(t, js, db)
	})
}

// TestForgedWords sends messages that clients of NATS take for words of the server about a request, because they have no
// body and a header Status. Neither the fetcher nor the janitor may take them for that.
func TestForgedWords(t *testing.T) {
	t.Parallel()
	overDatabases(t, func(t *testing.T, url string) {
		js, db := tinyStream(t, url)
		forged := []string{"100", "404", "408", "409", "503"}
		for n, status := range forged {
			plain(t, js, "my-trial", n, n+1)
			send(t, js, "katib.metrics.default.my-trial.me", "", nats.Header{"Status": {status}, "Description": {"Consumer Deleted"}})
		}
		c := consume(t, js, db, consumer.Config{JanitorEvery: 50 * time.Millisecond, Streams: tiny})
		settled(t, js)
		if letters := deadLetters(t, js); len(letters) != len(forged) {
			t.Errorf("%d dead letters; want the %d forged ones", len(letters), len(forged))
		}
		ballast := []byte(fmt.Sprintf(`{"metrics":{"n":1,"ballast":%q}}`, noise(50_000)))
		eventually(t, "the janitor makes room past them", func() bool {
			_, _ = js.Publish(t.Context(), "katib.metrics.default.ballast.me", ballast) // the stream may be full for a while
			return c.value(t, "katib_stream_trimmed_messages_total") > 2*float64(len(forged))
		})
		checkTrial(t, db.SQL(), "my-trial", len(forged))
	})
}

func send(t testing.TB, js jetstream.JetStream, subject, body string, header nats.Header) {
	t.Helper()
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte(body), Header: header}); err != nil {
		t.Fatalf("publish to %.80s: %v", subject, err)
	}
}

// deadLetters gives the dead letters by the sequence of their originals.
func deadLetters(t testing.TB, js jetstream.JetStream) map[string]*jetstream.RawStreamMsg {
	t.Helper()
	stream, err := js.Stream(t.Context(), schema.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	letters := map[string]*jetstream.RawStreamMsg{}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		letters[msg.Header.Get(schema.HeaderSequence)] = msg
	}
	return letters
}

// everythingIsSettledInTheDatabase asks the database about each message of the stream, dead or alive.
func everythingIsSettledInTheDatabase(t testing.TB, js jetstream.JetStream, db *katibdb.DB) {
	t.Helper()
	epoch, err := consumer.EnsureStreams(t.Context(), js, streams)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	var refs []katibdb.Ref
	for seq := stream.CachedInfo().State.FirstSeq; seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		m, _ := schema.Decode(schema.Stored{Subject: msg.Subject, Header: msg.Header, Epoch: epoch, Sequence: seq})
		refs = append(refs, katibdb.Ref{Subject: m.Subject, Identity: m.Identity, Epoch: epoch, Sequence: seq})
	}
	persisted, err := db.Persisted(t.Context(), refs)
	if n := slices.Index(persisted, false); err != nil || n >= 0 {
		t.Errorf("message %d of %d is not settled in the database (%v)", n+1, len(refs), err)
	}
}
