package consumer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func TestJanitorTrimsOnlyWhatIsPersisted(t *testing.T) {
	const unpersisted = 6
	tests := map[string]struct {
		history  time.Duration
		maxBytes int64
		body     int
		first    uint64
	}{
		"old":                   {history: time.Nanosecond, maxBytes: 64 << 20, body: 10, first: unpersisted},
		"young":                 {history: time.Hour, maxBytes: 64 << 20, body: 10, first: 1},
		"young, in the way":     {history: time.Hour, maxBytes: 8 << 20, body: 900 << 10, first: 4},
		"old, in a full stream": {history: time.Nanosecond, maxBytes: 8 << 20, body: 900 << 10, first: unpersisted},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			js := connect(t, testserver.NATS(t).URL())
			if _, err := EnsureStreams(context.Background(), js, StreamConfig{MaxBytes: tt.maxBytes, DeadLetterMaxBytes: 64 << 20}); err != nil {
				t.Fatal(err)
			}
			db := &fakeDB{forgotten: make(chan uint64, 10), persisted: func(ref katibdb.Ref) bool {
				if age := time.Since(ref.Time); age < 0 || age > patience {
					t.Errorf("message %d was stored at %v", ref.Sequence, ref.Time)
				}
				return ref.Sequence != unpersisted // what follows it stays, too
			}}
			c, _ := start(t, js, db, Config{JanitorEvery: time.Hour})
			for range 8 {
				publish(t, js, subject, `{"metrics":{"m":1}}`+strings.Repeat(" ", tt.body))
			}
			settled(t, js)
			c.cfg.History = tt.history
			if err := c.trim(context.Background(), c.currentSession()); err != nil {
				t.Fatal(err)
			}
			if first := state(t, js).FirstSeq; first != tt.first {
				t.Errorf("the stream begins at %d; want %d", first, tt.first)
			}
			if tt.first > 1 && <-db.forgotten != tt.first {
				t.Errorf("receipts were not forgotten below %d", tt.first)
			}
		})
	}
}

func TestJanitorLeavesWhatIsInFlight(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	inCommit, goOn := make(chan struct{}), make(chan struct{})
	db := &fakeDB{
		persist: func([]katibdb.Message) ([]katibdb.Outcome, error) {
			inCommit <- struct{}{}
			<-goOn
			return nil, nil
		},
		persisted: func(katibdb.Ref) bool { return true },
	}
	c, _ := start(t, js, db, Config{JanitorEvery: time.Hour})
	publish(t, js, subject, `{"metrics":{"m":1}}`)
	<-inCommit
	c.cfg.History = time.Nanosecond
	if err := c.trim(context.Background(), c.currentSession()); err != nil {
		t.Fatal(err)
	}
	if msgs := state(t, js).Msgs; msgs != 1 {
		t.Errorf("the stream holds %d messages; want the one in flight", msgs)
	}
	close(goOn)
	settled(t, js)
}

func state(t *testing.T, js jetstream.JetStream) jetstream.StreamState {
	t.Helper()
	stream, err := js.Stream(context.Background(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State
}

func TestExcessBytes(t *testing.T) {
	const mib = 1 << 20
	tests := map[string]struct {
		limit, used int64
		largest     int
		want        int64
	}{
		"no limit":                   {limit: -1, used: 100 * mib, largest: mib, want: 0},
		"room enough":                {limit: 100 * mib, used: 90 * mib, largest: mib, want: 0},
		"nearly full":                {limit: 100 * mib, used: 95 * mib, largest: mib, want: 15 * mib},
		"large messages, small room": {limit: 10 * mib, used: 9 * mib, largest: 2 * mib, want: 4 * mib},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{MaxBytes: tt.limit}, State: jetstream.StreamState{Bytes: uint64(tt.used)}}
			if got := excessBytes(info, tt.largest); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// A publisher can say of a message that it is of any size; counted as such, the janitor would trim all history or none.
func TestSizeIsTheServersWord(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	streams(t, js)
	publish(t, js, subject, report, "Nats-Msg-Size", "-1000000000")
	stream, err := js.Stream(t.Context(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	headers, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := headers.Next()
	if err != nil {
		t.Fatal(err)
	}
	if size := sizeOf(msg); size < int64(len(report)) || size > 1<<10 {
		t.Errorf("it counts as %d bytes: %q", size, msg.Headers())
	}
}
