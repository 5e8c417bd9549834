package dbmanager

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/katib-stream/katib-stream/dbmanager/katibapi"
	"github.com/katib-stream/katib-stream/katibdb"
	"github.com/katib-stream/katib-stream/schema"
)

func wire(f *testing.F, m proto.Message) []byte {
	f.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return data
}

// A report that is taken is sent whole, in its order, in messages that the consumer takes; one that is not gets a reason.
func FuzzReport(f *testing.F) {
	const at = "2026-11-24T12:00:00.5+01:00"
	for _, log := range [][]*katibapi.MetricLog{
		nil,
		{entry(at, "loss", "0.1"), entry("", "skipped", ""), entry(at, "loss", ""), entry("0001-01-01T00:00:00Z", "loss", "unavailable")},
		{entry(at, "a\"\\<é", strings.Repeat("\x01", 20)), entry(at, "b", "1e5")},
		{{TimeStamp: at}, nil},
		{entry("yesterday", "loss", "1")},
		{entry("0000-12-31T23:59:59Z", "loss", "1"), entry(at, "", "1"), entry(at, "loss", "\x00")},
	} {
		f.Add(wire(f, &katibapi.ReportObservationLogRequest{ObservationLog: &katibapi.ObservationLog{MetricLogs: log}}), uint16(256))
	}
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		var request katibapi.ReportObservationLogRequest
		if proto.Unmarshal(data, &request) != nil {
			return
		}
		want := reported(request.GetObservationLog().GetMetricLogs())
		log, err := newEntries(request.GetObservationLog().GetMetricLogs(), int(limit))
		if err != nil {
			checkReason(t, err)
			return
		}
		if got := sent(t, log, int(limit)); !slices.Equal(got, want) {
			t.Errorf("sent %q; want %q", got, want)
		}
	})
}

// reported is what a log says, an entry each: Katib passes over those without a time.
func reported(log []*katibapi.MetricLog) []string {
	var all []string
	for _, e := range log {
		if at, err := time.Parse(time.RFC3339, e.GetTimeStamp()); err == nil {
			all = append(all, fmt.Sprint(at.UTC().Truncate(time.Microsecond), e.GetMetric().GetName(), "=", e.GetMetric().GetValue()))
		}
	}
	return all
}

// sent is what a consumer reads of the messages that a log makes.
func sent(t *testing.T, log *entries, limit int) []string {
	var all []string
	for log.rest() {
		body := log.next()
		if len(body) == 0 || len(body) > limit {
			t.Fatalf("a message has %d bytes of %d", len(body), limit)
		}
		events, err := schema.DecodeEvents(body)
		if err != nil || len(events) > maxEvents {
			t.Fatalf("a consumer refuses %q: %v", body, err)
		}
		for _, e := range events {
			if e.Time.IsZero() {
				t.Fatalf("in %q an event has lost its time", body)
			}
			all = append(all, fmt.Sprint(e.Time.Truncate(time.Microsecond), e.Metrics[0].Name, "=", e.Metrics[0].Value))
		}
	}
	return all
}

// checkReason holds a refusal to what fits into a status, and into a line.
func checkReason(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); text == "" || len(text) > 1_024 || strings.ContainsAny(text, "\r\n") {
		t.Errorf("the reason is %q", text)
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []*katibapi.GetObservationLogRequest{
		{TrialName: trial},
		{TrialName: "a.b"},
		{TrialName: "No"},
		{},
		{TrialName: trial, MetricName: "loss", StartTime: "2026-11-24T12:00:00Z", EndTime: "2026-11-24T13:00:00+01:00"},
		{TrialName: trial, StartTime: strings.Repeat("x", 2_000)},
		{TrialName: trial, EndTime: "0000-01-01T00:00:00+23:59"},
	} {
		f.Add(wire(f, q))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var request katibapi.GetObservationLogRequest
		if proto.Unmarshal(data, &request) != nil {
			return
		}
		q, err := queryOf(&request)
		if err != nil {
			checkReason(t, err)
			return
		}
		if schema.ValidateTrial(q.Trial) != nil || q.From.IsZero() != (request.GetStartTime() == "") || q.To.IsZero() != (request.GetEndTime() == "") {
			t.Errorf("%v is read as %+v", &request, q)
		}
	})
}

// Of any log the reply fits, and Katib makes the same observation of it as of the whole.
func FuzzThin(f *testing.F) {
	f.Add([]byte("loss=1\nloss=-2\nloss=nan\nacc=3\nloss=5\nacc=\nloss=1e999\nloss=1"), uint16(96))
	f.Add([]byte(strings.Repeat("a=1\n", 200)+"b=2"), uint16(200))
	f.Add([]byte("="+strings.Repeat("x", 300)), uint16(100))
	f.Fuzz(func(t *testing.T, text []byte, limit uint16) {
		thinner := newThinner(int(limit))
		var rows []katibdb.Row
		for i, line := range strings.Split(strings.ToValidUTF8(string(text), "?"), "\n") {
			name, value, _ := strings.Cut(line, "=")
			row := katibdb.Row{Time: start.Add(time.Duration(i) * time.Second), Metric: name, Value: value}
			if err := thinner.add(row); err != nil {
				return // it has no place for the ends of each metric
			}
			rows = append(rows, row)
		}
		kept := thinner.rows()
		if size := proto.Size(&katibapi.GetObservationLogReply{ObservationLog: logOf(kept)}); size > int(limit) {
			t.Errorf("the reply has %d bytes, of %d", size, limit)
		}
		if got, want := observation(kept), observation(rows); got != want {
			t.Errorf("Katib's observation is %s; of all rows it is %s", got, want)
		}
		if !slices.IsSortedFunc(kept, func(a, b katibdb.Row) int { return a.Time.Compare(b.Time) }) {
			t.Error("the rows are out of order")
		}
	})
}

// observation is what Katib makes of a log: of each metric the least, the greatest and the latest.
func observation(rows []katibdb.Row) string {
	type seen struct {
		low, high     float64
		first, latest string
	}
	all := map[string]*seen{}
	for _, row := range rows {
		m := all[row.Metric]
		if m == nil {
			m = &seen{low: math.Inf(1), high: math.Inf(-1), first: row.Value}
			all[row.Metric] = m
		}
		m.latest = row.Value
		if value, err := strconv.ParseFloat(row.Value, 64); err == nil && !math.IsNaN(value) {
			m.low, m.high = min(m.low, value), max(m.high, value)
		}
	}
	var lines []string
	for name, m := range all {
		lines = append(lines, fmt.Sprintf("%q %v", name, *m))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
