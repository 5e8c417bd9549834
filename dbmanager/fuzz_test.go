package dbmanager

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

// FuzzReport demands of a log that is taken that its messages hold it, in its order, each within the limit; and of one that
// is refused a reason.
func FuzzReport(f *testing.F) {
	add := func(limit uint16, logs ...*katibapi.MetricLog) {
		body, err := proto.Marshal(&katibapi.ReportObservationLogRequest{TrialName: "t", ObservationLog: &katibapi.ObservationLog{MetricLogs: logs}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, limit)
	}
	entry := func(at, name, value string) *katibapi.MetricLog {
		return &katibapi.MetricLog{TimeStamp: at, Metric: &katibapi.Metric{Name: name, Value: value}}
	}
	add(1000, entry("2026-11-24T12:00:00Z", "loss", "0.1"), entry("", "loss", "0.2"), entry("0001-01-01T00:00:00Z", "loss", "unavailable"))
	add(200, entry("2026-11-24T12:00:00.123456789+01:00", "a", "NaN"), entry("2026-11-24T12:00:00Z", "\u2028", "\x01\"\\"))
	add(300, entry("2026-11-24T12:00:00Z", "a", strings.Repeat("\x01", 60)), &katibapi.MetricLog{TimeStamp: "2026-11-24T12:00:00Z"})
	f.Fuzz(func(t *testing.T, body []byte, limit uint16) {
		var request katibapi.ReportObservationLogRequest
		if proto.Unmarshal(body, &request) != nil {
			return // gRPC refuses it
		}
		log, err := newEntries(request.GetObservationLog().GetMetricLogs(), int(limit))
		if err != nil {
			if err.Error() == "" {
				t.Fatal("it is refused without a reason")
			}
			return
		}
		var events []schema.Event
		for log.rest() {
			body := log.next()
			part, err := schema.DecodeEvents(body)
			if err != nil || len(body) > int(limit) || len(part) == 0 || len(part) > maxEvents {
				t.Fatalf("a message of %d bytes, at most %d, with %d events: %v", len(body), limit, len(part), err)
			}
			events = append(events, part...)
		}
		if len(events) != len(log.log) {
			t.Fatalf("%d entries became %d events", len(log.log), len(events))
		}
		for i, entry := range log.log {
			at, _ := parseTime(entry.GetTimeStamp())
			metric := events[i].Metrics[0]
			if !events[i].Time.Equal(at) || metric.Name != entry.GetMetric().GetName() || metric.Value != entry.GetMetric().GetValue() {
				t.Fatalf("entry %v became %+v", entry, events[i])
			}
		}
	})
}

// FuzzRead demands that a log that is read fits into a reply, keeps its order, and has the first, last, least and greatest.
func FuzzRead(f *testing.F) {
	f.Add("a 1\na 2\nb NaN\na 3", uint16(2000))
	f.Add(strings.Repeat("a 1\nb 2\nc x\n", 100), uint16(900))
	f.Fuzz(func(t *testing.T, text string, limit uint16) {
		thin := newThinner(int(limit))
		var all []katibdb.Row
		for line := range strings.Lines(strings.ToValidUTF8(text, "?")) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			row := katibdb.Row{Time: start.Add(time.Duration(len(all)) * time.Second), Metric: name, Value: value}
			all = append(all, row)
			if thin.add(row) != nil {
				return // it says that there are too many metrics
			}
		}
		rows := thin.rows()
		if size := proto.Size(&katibapi.GetObservationLogReply{ObservationLog: logOf(rows)}); size > int(limit) && len(rows) > 0 {
			t.Fatalf("a reply of %d rows has %d bytes, at most %d", len(rows), size, limit)
		}
		checkKept(t, all, rows)
	})
}

// checkKept demands that the kept rows are rows, in their order, and of each metric the first and the last.
func checkKept(t *testing.T, all, kept []katibdb.Row) {
	t.Helper()
	at := 0
	firsts, lasts := map[string]katibdb.Row{}, map[string]katibdb.Row{}
	for _, row := range kept {
		for at < len(all) && all[at] != row {
			at++
		}
		if at == len(all) {
			t.Fatalf("%v is kept, and no row, or not in order", row)
		}
		if _, there := firsts[row.Metric]; !there {
			firsts[row.Metric] = row
		}
		lasts[row.Metric] = row
	}
	for i, row := range all {
		if first, there := firsts[row.Metric]; !there || first.Time.After(row.Time) || lasts[row.Metric].Time.Before(row.Time) {
			t.Fatalf("row %d is beyond the first %v or the last %v of its metric", i, first, lasts[row.Metric])
		}
	}
}
