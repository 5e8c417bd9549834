package dbmanager

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/schema"
)

func TestInvalidReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	for says, r := range map[string]*katibapi.GetObservationLogRequest{
		"the trial name is empty":      {},
		`start time: time "yesterday"`: {TrialName: trial, StartTime: "yesterday"},
		`end time: time "2026-11-24"`:  {TrialName: trial, EndTime: "2026-11-24"},
	} {
		_, err := w.client.GetObservationLog(w.within(patience), r)
		w.wantCode(err, codes.InvalidArgument)
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

func TestReadAWindowOfAMetric(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	at := func(second int) string { return fmt.Sprintf("2026-11-24T12:00:0%dZ", second) }
	var log []*katibapi.MetricLog
	for second := range 5 {
		log = append(log, entry(at(second), "loss", fmt.Sprint(second)), entry(at(second), "accuracy", "1"))
	}
	w.must(w.report(w.within(patience), log...))
	reply, err := w.client.GetObservationLog(w.within(patience), &katibapi.GetObservationLogRequest{
		TrialName: trial, MetricName: "loss", StartTime: at(1), EndTime: "2026-11-24T14:00:03+02:00",
	})
	w.must(err)
	want := []string{at(1) + " loss=1", at(2) + " loss=2", at(3) + " loss=3"}
	if got := texts(reply.ObservationLog.MetricLogs); !slices.Equal(got, want) {
		t.Errorf("the log is %q, not %q", got, want)
	}
}

func TestReadIsCompleteOrAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{ReportAccepted: true, ReadWait: 2 * time.Second})
	stop := w.consume()
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	w.wants(noon + " loss=1")
	stop()
	w.must(w.report(w.within(patience), entry(noon, "loss", "2")))
	rows, err := w.db.Rows(t.Context(), trial)
	w.must(err)
	if len(rows) != 1 {
		t.Fatalf("the database has %v", rows)
	}
	_, err = w.get(w.within(patience))
	w.wantCode(err, codes.Unavailable)
	if !strings.Contains(err.Error(), "messages of trial my-trial on their way to the database: 1;") {
		t.Error(err)
	}
	w.consume()
	w.eventually("the read is complete", func() bool {
		log, err := w.get(w.within(patience))
		return err == nil && len(log) == 2
	})
}

func TestReadWaitsForTheConsumer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{ReportAccepted: true})
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	read := make(chan []*katibapi.MetricLog)
	go func() {
		log, _ := w.get(w.within(patience))
		read <- log
	}()
	w.consume()
	if log := <-read; len(log) != 1 {
		t.Errorf("the log is %v", log)
	}
}

func TestReadOfACallerInAHurry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{ReportAccepted: true})
	w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
	_, err := w.get(w.within(2 * time.Second)) // the answer still arrives
	w.wantCode(err, codes.Unavailable)
}

func TestReadWithoutNATS(t *testing.T) {
	t.Parallel()
	for name, fromDatabase := range map[string]bool{"an error": false, "what the database has": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Config{ReadDatabase: fromDatabase, ReadWait: 300 * time.Millisecond})
			w.consume()
			w.must(w.report(w.within(patience), entry(noon, "loss", "1")))
			w.nats.Stop()
			var trailer metadata.MD
			log, err := w.get(w.within(patience), grpc.Trailer(&trailer))
			if !fromDatabase {
				w.wantCode(err, codes.Unavailable)
				if !strings.Contains(err.Error(), "NATS is away") {
					t.Error(err)
				}
				return
			}
			w.must(err)
			if len(log) != 1 || len(trailer.Get(TrailerWarning)) != 1 {
				t.Errorf("the log is %v, the trailer %v", log, trailer)
			}
		})
	}
}

func TestReadSaysWhatNeverCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{})
	w.consume()
	subject := schema.Subject{Namespace: "default", Trial: trial, Producer: "me"}
	for _, number := range []uint64{1, 4} {
		_, err := w.js.PublishMsg(t.Context(), &nats.Msg{
			Subject: subject.String(), Data: []byte(`{"metrics":{"loss":1}}`),
			Header: nats.Header{schema.HeaderMsgID: {schema.MessageID("me", number)}},
		})
		w.must(err)
	}
	var trailer metadata.MD
	log, err := w.get(w.within(patience), grpc.Trailer(&trailer))
	w.must(err)
	if got := trailer.Get(TrailerMissing); len(log) != 2 || len(got) != 1 || got[0] != "2" {
		t.Errorf("%d entries, trailer %v", len(log), trailer)
	}
}

func TestReadOfALongLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{ReadMax: 64 << 10})
	w.consume()
	const n = 20_000
	log := make([]*katibapi.MetricLog, n)
	for i := range log {
		at := time.Date(2026, 11, 24, 12, 0, i, 0, time.UTC)
		log[i] = entry(at.Format(time.RFC3339Nano), "loss", fmt.Sprint(i))
	}
	log[777].Metric.Value, log[778].Metric.Value = "-5", "1e9"
	w.must(w.report(w.within(patience), log...))
	var trailer metadata.MD
	got, err := w.get(w.within(patience), grpc.Trailer(&trailer), grpc.MaxCallRecvMsgSize(64<<10))
	w.must(err)
	values := map[string]bool{}
	for _, entry := range got {
		values[entry.Metric.Value] = true
	}
	if !values["0"] || !values["-5"] || !values["1e9"] || !values[fmt.Sprint(n-1)] {
		t.Error("first, last, least or greatest is not there")
	}
	want := fmt.Sprintf("%d/%d", len(got), n)
	if said := trailer.Get(TrailerThinned); len(said) != 1 || said[0] != want {
		t.Errorf("the trailer says %v, not %s", said, want)
	}
}

func TestReadWithoutADatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{ReadWait: 300 * time.Millisecond})
	w.must(w.db.Close())
	_, err := w.get(w.within(patience))
	w.wantCode(err, codes.Unavailable)
}
