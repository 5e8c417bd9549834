package consumer

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// hangingDB answers the first calls of Persist only when their time is over, and notes how long that was.
type hangingDB struct {
	fakeDB
	hangs  int
	limits []time.Duration
}

func (h *hangingDB) Persist(ctx context.Context, batch []katibdb.Message) ([]katibdb.Outcome, error) {
	if len(h.limits) == h.hangs {
		return h.fakeDB.Persist(ctx, batch)
	}
	begin := time.Now()
	<-ctx.Done()
	h.limits = append(h.limits, time.Since(begin))
	return nil, ctx.Err()
}

func TestDatabaseThatHangsIsOneThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first = 10 * time.Second
		db := &hangingDB{hangs: 5}
		c, err := New(nil, db, Config{CommitTimeout: first})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorker(c, 0)
		if _, err := w.commit(t.Context(), []*item{{}}); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{first, 2 * first, 4 * first, 8 * first, 8 * first}; !slices.Equal(db.limits, want) {
			t.Errorf("the attempts had %v; want %v", db.limits, want)
		}
	})
}

func TestFullDeadLetterStreamHoldsUpNothingElse(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	db := &fakeDB{}
	c, _ := start(t, js, db, Config{AckWait: time.Second})
	fill(t, js, schema.DeadLetterStream, schema.DeadLetterPrefix+".ballast")
	publish(t, js, subject, "this becomes a dead letter")
	publish(t, js, subject, `{"metrics":{"loss":0.1}}`)
	eventually(t, "the good message is persisted", func() bool { return len(db.messages()) == 1 })
	eventually(t, "the consumer says that dead letters cannot be stored", func() bool {
		err := c.Ready(context.Background())
		return err != nil && strings.Contains(err.Error(), partDeadLetters)
	})
	stream, err := js.Stream(t.Context(), schema.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	settled(t, js)
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if kept := db.messages(); len(kept) != 2 || !kept[1].Dead {
		t.Errorf("recorded %+v; want the dead letter too", kept)
	}
}

// fill stores messages until the stream takes no more.
func fill(t *testing.T, js jetstream.JetStream, stream, subject string) {
	t.Helper()
	for size := 512 << 10; size > 64; size /= 2 {
		for {
			_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: make([]byte, size)})
			if err != nil && strings.Contains(err.Error(), "maximum bytes") {
				break
			}
			if err != nil {
				t.Fatalf("fill %s: %v", stream, err)
			}
		}
	}
}
