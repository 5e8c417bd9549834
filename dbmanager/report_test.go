package dbmanager

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

const noon = "2026-11-24T12:00:00Z"

func TestReportIsReadBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	w.must(w.report(w.within(patience),
		entry("2026-11-24T12:00:01.123456789Z", "loss", "0.5000"),
		entry("", "loss", "no time"), // passed over, as Katib does
		entry("", "", strings.Repeat("x", 1<<17)),
		entry("2026-11-24T13:00:00+01:00", "loss", ""),
		entry(noon, "accuracy", "nan"),
	))
	w.wants(
		noon+" loss=",
		noon+" accuracy=nan",
		"2026-11-24T12:00:01.123456Z loss=0.5000",
	)
	if held := w.held(); len(held) != 1 || !strings.HasPrefix(held[0].Subject, "katib.metrics._.my-trial.") {
		t.Errorf("the stream holds %v", held)
	}
}

func TestUnavailableAtTheFirstTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	w.must(w.report(w.within(patience), entry("0001-01-01T00:00:00Z", "loss", "unavailable")))
	w.wants("0001-01-01T00:00:00Z loss=unavailable")
	reply, err := w.client.GetObservationLog(w.within(patience), &katibapi.GetObservationLogRequest{
		TrialName: trial, StartTime: "0001-01-01T00:00:00Z", EndTime: "0001-01-01T00:00:00Z",
	})
	w.must(err)
	if len(reply.ObservationLog.MetricLogs) != 1 {
		t.Errorf("the bounds give %v", reply)
	}
}

func TestNothingToReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}) // nobody consumes, and nobody needs to
	w.must(w.report(w.within(patience)))
	w.must(w.report(w.within(patience), entry("", "loss", "1")))
	_, err := w.client.ReportObservationLog(w.within(patience), &katibapi.ReportObservationLogRequest{TrialName: trial})
	w.must(err)
	if held := w.held(); len(held) != 0 {
		t.Errorf("the stream holds %v", held)
	}
}

func TestInvalidReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	good := entry(noon, "loss", "1")
	for name, tt := range map[string]struct {
		trial, says string
		entry       *katibapi.MetricLog
	}{
		"no trial":            {"", "the trial name is empty", good},
		"no name":             {"A", `the trial name "A" is no Kubernetes name`, good},
		"a time":              {trial, `entry 2: time "yesterday" is not RFC 3339`, entry("yesterday", "loss", "1")},
		"a year":              {trial, "entry 2: time", entry("0000-01-01T00:00:00Z", "loss", "1")},
		"no metric":           {trial, `entry 2: metric name ""`, &katibapi.MetricLog{TimeStamp: noon}},
		"a long metric":       {trial, "entry 2: metric name", entry(noon, strings.Repeat("x", 256), "1")},
		"NUL":                 {trial, "entry 2: the value of \"loss\" contains NUL", entry(noon, "loss", "\x00")},
		"a value that is big": {trial, "entry 2: the value of \"loss\" has 65536 bytes", entry(noon, "loss", strings.Repeat("1", 65_536))},
	} {
		_, err := w.client.ReportObservationLog(w.within(patience), &katibapi.ReportObservationLogRequest{
			TrialName: tt.trial, ObservationLog: &katibapi.ObservationLog{MetricLogs: []*katibapi.MetricLog{good, tt.entry}},
		})
		w.wantCode(err, codes.InvalidArgument)
		if !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v does not say %q", name, err, tt.says)
		}
	}
	if held := w.held(); len(held) != 0 {
		t.Errorf("the stream holds %v", held)
	}
}

func TestPartsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	const n = 2*maxEvents + 1
	log := make([]*katibapi.MetricLog, n)
	for i := range log {
		log[i] = entry(noon, "loss", fmt.Sprint(i))
	}
	w.must(w.report(w.within(patience), log...))
	got, err := w.get(w.within(patience))
	w.must(err)
	if len(got) != n {
		t.Fatalf("%d entries were reported, and %d are there", n, len(got))
	}
	for i, entry := range got {
		if entry.Metric.Value != fmt.Sprint(i) {
			t.Fatalf("value %d is %s", i, entry.Metric.Value)
		}
	}
	if held := w.held(); len(held) != 3 {
		t.Errorf("%d messages, not 3", len(held))
	}
}

func TestPartsFitTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	var log []*katibapi.MetricLog
	for range 40 {
		log = append(log, entry(noon, "loss", strings.Repeat(`"`, 60_000))) // twice as many in JSON
	}
	w.must(w.report(w.within(patience), log...))
	if held := w.held(); len(held) != 5 {
		t.Errorf("%d messages, not 5", len(held))
	}
}

func TestAReportThatOnlyStoresOnePart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	log := make([]*katibapi.MetricLog, 3*maxEvents)
	for i := range log {
		log[i] = entry(noon, "loss", "1")
	}
	err := w.report(w.within(5*time.Second), log...)
	w.wantCode(err, codes.DeadlineExceeded)
	for _, says := range []string{"of 15000 entries, the first 0 are persisted, and 10000 were not sent", "do not report again"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	if held := w.held(); len(held) != 1 {
		t.Errorf("%d messages, not 1", len(held))
	}
}

func TestAReportThatEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	log := []*katibapi.MetricLog{entry(noon, "loss", "1"), entry(noon, "loss", "2"), entry(noon, "loss", "3")}
	parts, err := newEntries(log, 100)
	w.must(err)
	parts.limit = 1 // one by one
	parts.next()
	parts.next()
	err = parts.progress(1, (&publishError{cause: errAway}).status(t.Context()))
	w.wantCode(err, codes.Aborted)
	if want := "of 3 entries, the first 1 are persisted, and 1 were not sent; for those between: not stored: NATS is away"; !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

func TestReportWaitsUntilPersisted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	err := w.report(w.within(2*time.Second), entry(noon, "loss", "1"))
	w.wantCode(err, codes.DeadlineExceeded)
	if !strings.Contains(err.Error(), "not yet persisted: it will be, do not report again") {
		t.Error(err)
	}
	w.consume()
	w.wants(noon + " loss=1")
}

func TestReportAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{ReportAccepted: true})
	w.must(w.report(w.within(patience), entry(noon, "loss", "1"))) // nobody consumes
	if held := w.held(); len(held) != 1 {
		t.Errorf("%d messages, not 1", len(held))
	}
}

func TestReportWithoutNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	before := w.id()
	w.nats.Stop()
	w.eventually("it is noticed", func() bool { return !w.js.Conn().IsConnected() })
	err := w.report(w.within(2*time.Second), entry(noon, "loss", "2"))
	w.wantCode(err, codes.Unavailable)
	if !strings.Contains(err.Error(), "not stored: NATS is away") {
		t.Error(err)
	}
	reported := make(chan error)
	go func() { reported <- w.report(w.within(patience), entry(noon, "loss", "3")) }()
	w.nats.Start()
	w.must(<-reported)
	if w.id() != before {
		t.Error("the producer is another one, although it is certain what became of its messages")
	}
	w.wants(noon+" loss=1", noon+" loss=3")
}

func TestFullStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	stream, err := w.js.Stream(t.Context(), schema.Stream)
	w.must(err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgs = 1
	_, err = w.js.UpdateStream(t.Context(), cfg)
	w.must(err)
	w.consume()
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	err = w.report(w.within(2*time.Second), entry(noon, "loss", "2"))
	w.wantCode(err, codes.Unavailable)
	if !strings.Contains(err.Error(), "the stream is full") {
		t.Error(err)
	}
	cfg.MaxMsgs = -1
	_, err = w.js.UpdateStream(t.Context(), cfg)
	w.must(err)
	w.must(w.report(w.within(patience), entry(noon, "loss", "3")))
	w.wants(noon+" loss=1", noon+" loss=3")
}

func TestTooLargeForTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	stream, err := w.js.Stream(t.Context(), schema.Stream)
	w.must(err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgSize = 1000
	_, err = w.js.UpdateStream(t.Context(), cfg)
	w.must(err)
	w.consume()
	big := entry(noon, "loss", strings.Repeat("x", 2000))
	w.wantCode(w.report(w.within(patience), big), codes.InvalidArgument)
	var log []*katibapi.MetricLog
	for i := range 50 {
		log = append(log, entry(noon, "loss", fmt.Sprint(i)))
	}
	w.must(w.report(w.within(patience), log...)) // in smaller parts
	got, err := w.get(w.within(patience))
	w.must(err)
	if !slices.Equal(texts(got), texts(log)) {
		t.Errorf("the log is %q", texts(got))
	}
}

func TestDeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.server.barrier = deadBarrier{}
	err := w.report(w.within(patience), entry(noon, "loss", "1"))
	w.wantCode(err, codes.FailedPrecondition)
}

// deadBarrier says that every message is a dead letter; no report that is taken becomes one by itself.
type deadBarrier struct{ Barrier }

func (deadBarrier) WaitMessage(context.Context, katibdb.Ref) (bool, error) { return true, nil }

func TestManyReportersOfATrial(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	var group sync.WaitGroup
	const n = 64
	for i := range n {
		group.Go(func() {
			if err := w.report(w.within(patience), entry(noon, "loss", fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	log, err := w.get(w.within(patience))
	w.must(err)
	if len(log) != n {
		t.Errorf("%d of %d", len(log), n)
	}
	for i, msg := range w.held() {
		if got, want := msg.Header.Get(schema.HeaderMsgID), schema.MessageID(w.id(), uint64(i+1)); got != want {
			t.Errorf("message %d is %s, not %s", i+1, got, want)
		}
	}
}

// In an outage reports do not wait one behind the other.
func TestOutageIsAnsweredSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.nats.Stop()
	// A report that is under way when NATS goes may be stored; that is another matter.
	w.eventually("the client has noticed", func() bool { return !w.js.Conn().IsConnected() })
	const callers = 8
	answers := make(chan error, callers)
	for range callers {
		go func() { answers <- w.report(w.within(3*outage), entry(noon, "loss", "1")) }()
	}
	for range callers {
		if err := <-answers; status.Code(err) != codes.Unavailable {
			t.Errorf("%v; want %v before the deadline", err, codes.Unavailable)
		}
	}
}
