package producer

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
	"github.com/katib-stream/katib-stream/schema"
)

func TestManyReporters(t *testing.T) {
	const reporters, each = 16, 2000
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc)
	p := newProducer(t, nc, Config{BatchEvents: 50, BatchWait: time.Millisecond})
	var wg sync.WaitGroup
	for r := range reporters {
		wg.Go(func() {
			for i := range each {
				if err := p.Report(t.Context(), event(r*each+i)); err != nil {
					t.Errorf("report: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	closeNow(t, p)
	messages := checkRun(t, stream, p, reporters*each, true)
	s := p.Stats()
	if s.Accepted != reporters*each || s.Stored != s.Accepted || s.Messages != uint64(len(messages)) || s.WaitingEvents != 0 || s.WaitingBytes != 0 || s.InFlight != 0 {
		t.Errorf("after %d events in %d messages: %+v", reporters*each, len(messages), s)
	}
}

func TestBatching(t *testing.T) {
	line := len(schema.AppendEvent(nil, schema.Event{Time: time.Now().UTC().Truncate(time.Second).Add(123456 * time.Microsecond), Metrics: event(1).Metrics})) + 1
	tests := []struct {
		name    string
		cfg     Config
		events  int
		want    []int // events of the messages before Close
		waiting int
	}{
		{"by events", Config{BatchEvents: 3, BatchWait: time.Hour}, 3, []int{3}, 0},
		{"by bytes", Config{BatchBytes: 4*line + 5, BatchWait: time.Hour}, 9, []int{4, 4}, 1},
		{"by time", Config{BatchWait: 20 * time.Millisecond}, 5, []int{5}, 0},
		{"not before it is due", Config{BatchEvents: 10, BatchWait: time.Hour}, 9, nil, 9},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nc := connect(t, testserver.NATS(t).URL())
			stream := makeStream(t, nc)
			p := newProducer(t, nc, test.cfg)
			for range test.events {
				e := event(1)
				e.Time = time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC) // always as long
				if err := p.Report(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "what is due is stored", func() bool { return p.Stats().WaitingEvents == test.waiting })
			var got []int
			for _, m := range readStream(t, stream) {
				got = append(got, len(m.Events))
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("messages of %v events, want %v", got, test.want)
			}
		})
	}
}

func TestBatchesGrowWhileTheStreamIsSlow(t *testing.T) {
	s := testserver.NATS(t)
	proxy := startProxy(t, s.URL())
	nc := connect(t, proxy.url())
	stream := makeStream(t, nc)
	p := newProducer(t, nc, Config{BatchEvents: 1, MaxInFlight: 2})
	proxy.set(func() { proxy.deaf = true })
	report(t, p, 0, 1)
	eventually(t, "the first message is in flight", func() bool { return p.Stats().InFlight == 1 })
	report(t, p, 1, 2)
	eventually(t, "the second message is in flight", func() bool { return p.Stats().InFlight == 2 })
	report(t, p, 2, 500)
	if got := p.Stats(); got.InFlight != 2 || got.WaitingEvents != 500 {
		t.Errorf("with 2 messages in flight at most: %+v", got)
	}
	proxy.set(func() { proxy.deaf = false })
	closeNow(t, p)
	if messages := checkRun(t, stream, p, 500, true); len(messages) > 4 {
		t.Errorf("%d messages; the batch did not grow", len(messages))
	}
}

func TestGivenTimes(t *testing.T) {
	nc := connect(t, testserver.NATS(t).URL())
	stream := makeStream(t, nc)
	p := newProducer(t, nc, Config{})
	given := time.Date(2126, 11, 24, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	for _, at := range []time.Time{given, {}, {}} {
		if err := p.Report(t.Context(), schema.Event{Time: at, Metrics: event(1).Metrics}); err != nil {
			t.Fatal(err)
		}
	}
	closeNow(t, p)
	for i, e := range readStream(t, stream)[0].Events {
		want := given
		if i > 0 {
			want = given.Truncate(time.Microsecond).Add(time.Duration(i+1) * time.Microsecond)
		}
		if !e.Time.Equal(want) {
			t.Errorf("event %d has the time %v, want %v", i, e.Time, want)
		}
	}
}
