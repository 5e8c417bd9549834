package consumer

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

var small = StreamConfig{MaxBytes: 64 << 20, DeadLetterMaxBytes: 64 << 20}

func streams(t *testing.T, js jetstream.JetStream) (epoch string) {
	t.Helper()
	epoch, err := EnsureStreams(context.Background(), js, small)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

func TestEnsureStreamsCreatesOnce(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	epoch := streams(t, js)
	if again := streams(t, js); again != epoch || len(epoch) != 32 {
		t.Errorf("epochs %q and %q; want the same 32 hex digits", epoch, again)
	}
	stream, err := js.Stream(context.Background(), schema.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if size := stream.CachedInfo().Config.MaxMsgSize; size != 1<<20-schema.PayloadReserve {
		t.Errorf("largest message %d bytes", size)
	}
}

func TestEnsureStreamsInManyReplicasAtOnce(t *testing.T) {
	url := testserver.NATS(t).URL()
	const replicas = 8
	epochs := make(chan string, replicas)
	for range replicas {
		js := connect(t, url)
		go func() {
			epoch, err := EnsureStreams(context.Background(), js, small)
			if err != nil {
				epoch = err.Error()
			}
			epochs <- epoch
		}()
	}
	first := <-epochs
	for range replicas - 1 {
		if epoch := <-epochs; epoch != first {
			t.Errorf("epochs %q and %q; want one", first, epoch)
		}
	}
}

func TestStreamMadeByHand(t *testing.T) {
	var made jetstream.StreamConfig
	if err := json.Unmarshal(schema.StreamConfig, &made); err != nil {
		t.Fatal(err)
	}
	made.MaxBytes = 64 << 20
	tests := map[string]struct {
		change func(*jetstream.StreamConfig)
		want   string
	}{
		"as schema has it":     {func(*jetstream.StreamConfig) {}, ""},
		"it drops by age":      {func(sc *jetstream.StreamConfig) { sc.MaxAge = time.Hour }, "max age must be unlimited"},
		"it drops the oldest":  {func(sc *jetstream.StreamConfig) { sc.Discard = jetstream.DiscardOld }, "discard must be new"},
		"it drops by interest": {func(sc *jetstream.StreamConfig) { sc.Retention = jetstream.InterestPolicy }, "retention must be limits"},
		"it rolls up":          {func(sc *jetstream.StreamConfig) { sc.AllowRollup = true }, "roll-up headers must be denied"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			js := connect(t, testserver.NATS(t).URL())
			sc := made
			tt.change(&sc)
			if _, err := js.CreateStream(context.Background(), sc); err != nil {
				t.Fatal(err)
			}
			epoch, err := EnsureStreams(context.Background(), js, small)
			if tt.want == "" {
				if err != nil || len(epoch) != 32 || epoch != streams(t, js) {
					t.Errorf("epoch %q, %v; want one that stays", epoch, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v; want one that says %q", err, tt.want)
			}
		})
	}
}

func TestStreamMadeAnewHasANewEpoch(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	db := &fakeDB{}
	start(t, js, db, Config{AckWait: time.Second})
	publish(t, js, subject, `{"metrics":{"loss":1}}`)
	eventually(t, "the first message is persisted", func() bool { return len(db.messages()) == 1 })
	if err := js.DeleteStream(context.Background(), schema.Stream); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream is there again", func() bool {
		_, err := js.Consumer(context.Background(), schema.Stream, schema.Consumer)
		return err == nil
	})
	publish(t, js, subject, `{"metrics":{"loss":2}}`)
	eventually(t, "the second message is persisted", func() bool { return len(db.messages()) == 2 })
	kept := db.messages()
	if kept[0].Sequence != 1 || kept[1].Sequence != 1 || kept[0].Identity == kept[1].Identity {
		t.Errorf("identities %v and %v; want different ones for sequence 1 of two streams", kept[0].Identity, kept[1].Identity)
	}
}
