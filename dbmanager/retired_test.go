package dbmanager

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
)

// deleteElsewhere deletes the trial as another replica does that sees the stream's end so.
func (w *world) deleteElsewhere(look func(context.Context) (string, uint64, time.Time, error)) {
	w.Helper()
	if err := w.db.DeleteTrial(w.Context(), trial, look); err != nil {
		w.Fatal(err)
	}
}

// A replica whose producer is not listened to any longer, because another deleted a trial of the name, takes a new one.
func TestReportAfterADeletionElsewhere(t *testing.T) {
	t.Parallel()
	looks := map[string]func(w *world) func(context.Context) (string, uint64, time.Time, error){
		"with NATS": func(w *world) func(context.Context) (string, uint64, time.Time, error) { return w.server.look },
		"without NATS": func(*world) func(context.Context) (string, uint64, time.Time, error) {
			return func(context.Context) (string, uint64, time.Time, error) {
				return "", 0, time.Time{}, katibdb.ErrNoStream
			}
		},
		"before the stream was made anew": func(*world) func(context.Context) (string, uint64, time.Time, error) {
			return func(context.Context) (string, uint64, time.Time, error) { return "earlier", 1_000, time.Now(), nil }
		},
	}
	for name, look := range looks {
		for _, accepted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, accepted %v", name, accepted), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, Config{ReportAccepted: accepted})
				w.consume()
				w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
				w.eventually("it is persisted", func() bool { return len(w.rows()) == 1 })
				deleted := time.Now()
				w.deleteElsewhere(look(w))
				w.eventually("the next milliseconds", func() bool { return time.Since(deleted) > 20*time.Millisecond })
				for range 3 {
					w.must(w.report(w.within(patience), entry(noon, "loss", "new")))
				}
				w.eventually("the new trial's reports are there", func() bool { return len(w.rows()) == 3 })
			})
		}
	}
}

func (w *world) rows() []katibdb.Row {
	w.Helper()
	rows, err := w.db.Rows(w.Context(), trial)
	if err != nil {
		w.Fatal(err)
	}
	return rows
}

// With a clock that is far behind every new producer counts as an old one; that must not fill the stream.
func TestClockFarBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	w.deleteElsewhere(func(ctx context.Context) (string, uint64, time.Time, error) {
		epoch, sequence, _, err := w.server.look(ctx)
		return epoch, sequence, time.Now().Add(3 * time.Minute), err
	})
	err := w.report(w.within(patience), entry(noon, "loss", "new"))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "clock") {
		t.Errorf("%v; want a word about clocks", err)
	}
	stream, err := w.js.Stream(t.Context(), "KATIB_METRICS")
	if err != nil || stream.CachedInfo().State.Msgs > 3 {
		t.Errorf("%d messages, %v", stream.CachedInfo().State.Msgs, err)
	}
}

// A log of several parts is deleted as a whole.
func TestDeletionInTheMiddleOfAReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	log := make([]*katibapi.MetricLog, 30_000)
	for i := range log {
		log[i] = entry(time.Date(2026, 11, 24, 12, 0, i, 0, time.UTC).Format(time.RFC3339Nano), "loss", fmt.Sprint(i))
	}
	answer := make(chan error, 1)
	go func() { answer <- w.report(w.within(patience), log...) }()
	w.eventually("a part is there", func() bool { return len(w.rows()) > 0 })
	w.deleteElsewhere(w.server.look)
	if err := <-answer; err != nil && status.Code(err) != codes.Aborted {
		t.Errorf("the report: %v", err)
	}
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("%d of %d rows are left", len(rows), len(log))
	}
}
