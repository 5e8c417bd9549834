package producer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/internal/testserver"
)

func TestBufferFull(t *testing.T) {
	tests := []struct {
		name string
		wait time.Duration // BufferWait
		ctx  func(t *testing.T) context.Context
		is   error // beside ErrBufferFull
	}{
		{"the wait ends", 50 * time.Millisecond, (*testing.T).Context, nil},
		{"no wait", -1, (*testing.T).Context, nil},
		{"the context ends", time.Hour, func(t *testing.T) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}, context.DeadlineExceeded},
		{"the context was cancelled", time.Hour, func(t *testing.T) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		}, context.Canceled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := testserver.NATS(t)
			stream := makeStream(t, connect(t, s.URL()))
			s.Stop()
			var log journal
			p := newProducer(t, connect(t, s.URL()), Config{Logger: log.logger(), BufferBytes: 1000, BufferWait: test.wait})
			accepted := 0
			var err error
			for ; err == nil; accepted++ {
				if accepted == 1 {
					eventually(t, "it says that it is stuck", func() bool { return log.count("not connected") == 1 })
				}
				err = p.Report(test.ctx(t), event(accepted))
			}
			accepted-- // the one refused
			var full *BufferFullError
			if !errors.As(err, &full) || !errors.Is(err, ErrBufferFull) || full.Refused != 1 || full.WaitingEvents != accepted || accepted < 10 {
				t.Fatalf("after %d events: %v (%+v)", accepted, err, full)
			}
			if full.WaitingBytes > 1000 || full.Waited > patience {
				t.Errorf("%+v", full)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%v is not %v", err, test.is)
			}
			for _, part := range []string{"the buffer is full: 1 event refused after", "events (", "bytes) wait to be stored", "not connected"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			s.Start()
			closeNow(t, p)
			checkRun(t, stream, p, accepted, true)
		})
	}
}

func TestReportWaitsForRoom(t *testing.T) {
	s := testserver.NATS(t)
	stream := makeStream(t, connect(t, s.URL()))
	s.Stop()
	// Who waits for room does not wait for the batch to come of age.
	p := newProducer(t, connect(t, s.URL()), Config{BufferBytes: 1000, BufferWait: patience, BatchWait: time.Hour})
	done := make(chan error, 1)
	go func() {
		for i := range 500 {
			if err := p.Report(context.Background(), event(i)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	eventually(t, "the buffer is full", func() bool { return p.Stats().WaitingBytes > 900 })
	s.Start()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	closeNow(t, p)
	checkRun(t, stream, p, 500, true)
}

func TestCloseReleasesReport(t *testing.T) {
	s := testserver.NATS(t)
	s.Stop()
	p := newProducer(t, connect(t, s.URL()), Config{BufferBytes: 10, BufferWait: time.Hour})
	report(t, p, 0, 1)
	waiting := make(chan error, 1)
	go func() { waiting <- p.Report(context.Background(), event(1)) }()
	eventually(t, "Report waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.buffer.freed != nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Close(ctx); !errors.Is(err, ErrUndelivered) {
		t.Errorf("close: %v", err)
	}
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("report: %v", err)
	}
}
