package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/katibdb"
)

func TestDeletedTrialsArePurged(t *testing.T) {
	const old, other, anew = "katib.metrics.default.gone.old", "katib.metrics.default.stays.p", "katib.metrics.default.gone.new"
	tests := map[string]func(epoch string, last uint64, at time.Time) katibdb.Purge{
		"by sequence": func(epoch string, last uint64, _ time.Time) katibdb.Purge {
			return katibdb.Purge{Trial: "gone", Epoch: epoch, Sequence: last}
		},
		"by time": func(_ string, _ uint64, at time.Time) katibdb.Purge {
			return katibdb.Purge{Trial: "gone", DeletedAt: at}
		},
		"of an earlier stream": func(_ string, _ uint64, at time.Time) katibdb.Purge {
			return katibdb.Purge{Trial: "gone", DeletedAt: at, Epoch: "earlier", Sequence: 1_000_000}
		},
	}
	for name, purge := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := connect(t, testserver.NATS(t).URL())
			db := &fakeDB{}
			c, _ := start(t, js, db, Config{JanitorEvery: time.Hour})
			for range 3 {
				publish(t, js, old, report)
				publish(t, js, other, report)
			}
			last, at := state(t, js).LastSeq, state(t, js).LastTime
			eventually(t, "the next millisecond", func() bool { return time.Since(at) > 5*time.Millisecond })
			publish(t, js, anew, report)
			settled(t, js)
			s := c.currentSession()
			db.purges = []katibdb.Purge{purge(s.epoch, last, at.Truncate(time.Millisecond))}
			if err := c.purgeDeleted(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			info, err := s.stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
			if err != nil {
				t.Fatal(err)
			}
			if held := info.State.Subjects; held[old] != 0 || held[other] != 3 || held[anew] != 1 {
				t.Errorf("the stream holds %v", held)
			}
			if len(db.purges) != 0 {
				t.Errorf("left to do: %v", db.purges)
			}
		})
	}
}

// What a worker has in hand is left to it: purging under it has confused servers.
func TestPurgeWaitsForWhatIsInFlight(t *testing.T) {
	js := connect(t, testserver.NATS(t).URL())
	goOn := make(chan struct{})
	db := &fakeDB{persist: func([]katibdb.Message) ([]katibdb.Outcome, error) {
		<-goOn
		return nil, nil
	}}
	c, _ := start(t, js, db, Config{JanitorEvery: time.Hour})
	publish(t, js, "katib.metrics.default.gone.old", report)
	eventually(t, "it is in flight", func() bool { return durable(t, js).NumAckPending == 1 })
	s := c.currentSession()
	db.purges = []katibdb.Purge{{Trial: "gone", Epoch: s.epoch, Sequence: 1}}
	if err := c.purgeDeleted(context.Background(), s); err != nil {
		t.Error(err)
	}
	if state(t, js).Msgs != 1 || len(db.purges) != 1 {
		t.Errorf("%d messages, %d purges are left", state(t, js).Msgs, len(db.purges))
	}
	close(goOn)
	settled(t, js)
	if err := c.purgeDeleted(context.Background(), s); err != nil {
		t.Error(err)
	}
	if state(t, js).Msgs != 0 || len(db.purges) != 0 {
		t.Errorf("afterwards %d messages, %d purges are left", state(t, js).Msgs, len(db.purges))
	}
}
