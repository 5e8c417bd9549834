package schema

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

type encodedRow struct {
	row
	Event wireEvent `json:"event"`
	Line  text      `json:"line"`
}

func TestAppendEvent(t *testing.T) {
	for _, v := range load[encodedRow](t, "encoded.json") {
		t.Run(v.Name, func(t *testing.T) {
			e := v.Event.event(t)
			if err := e.Validate(); err != nil {
				t.Fatalf("the event is not valid: %v", err)
			}
			line := string(AppendEvent([]byte("before "), e))
			if want := "before " + string(v.Line); line != want {
				t.Fatalf("written as\n  %s; want\n  %s", quote(line), quote(want))
			}
			events, err := DecodeEvents([]byte(v.Line))
			if err != nil {
				t.Fatalf("the line does not read back: %v", err)
			}
			checkEvents(t, events, []wireEvent{v.Event})
		})
	}
}

// TestAppendEventInUTC writes a time of any zone in UTC: vectors only have times in UTC.
func TestAppendEventInUTC(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 30, 0, 0, time.FixedZone("Kathmandu", 5*3600+45*60))
	const want = `{"time":"2025-12-31T18:45:00Z","metrics":{"loss":1}}`
	if line := AppendEvent(nil, Event{Time: at, Metrics: []Metric{Number("loss", 1)}}); string(line) != want {
		t.Errorf("%s; want %s", line, want)
	}
}

func TestValidate(t *testing.T) {
	loss := []Metric{{"loss", "1"}}
	twenty := func(more ...Metric) []Metric {
		var metrics []Metric
		for i := range 20 {
			metrics = append(metrics, Number(strings.Repeat("m", i+1), 1))
		}
		return append(metrics, more...)
	}
	zone := time.FixedZone("one hour east", 3600)
	tests := []struct {
		name  string
		event Event
		code  Code
	}{
		{"the least", Event{Metrics: loss}, ""},
		{"step 0", Event{Step: new(int64(0)), Metrics: loss}, ""},
		{"step 2^63-1", Event{Step: new(int64(math.MaxInt64)), Metrics: loss}, ""},
		{"step -1", Event{Step: new(int64(-1)), Metrics: loss}, CodeStep},
		{"the first time", Event{Time: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), Metrics: loss}, ""},
		{"year 0", Event{Time: time.Date(0, 12, 31, 23, 59, 59, 0, time.UTC), Metrics: loss}, CodeTime},
		{"year 0 in UTC", Event{Time: time.Date(1, 1, 1, 0, 59, 59, 0, zone), Metrics: loss}, CodeTime},
		{"a year before our era", Event{Time: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), Metrics: loss}, CodeTime},
		{"the last time", Event{Time: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), Metrics: loss}, ""},
		{"year 10000 only in its zone", Event{Time: time.Date(10000, 1, 1, 0, 59, 59, 0, zone), Metrics: loss}, ""},
		{"year 10000", Event{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), Metrics: loss}, CodeTime},
		{"no metrics", Event{}, CodeMetrics},
		{"a metric twice", Event{Metrics: []Metric{{"loss", "1"}, {"acc", "1"}, {"loss", "2"}}}, CodeDuplicate},
		{"twenty metrics", Event{Metrics: twenty()}, ""},
		{"twenty metrics and the first again", Event{Metrics: twenty(Number("m", 2))}, CodeDuplicate},
		{"an empty name", Event{Metrics: []Metric{{"", "1"}}}, CodeMetricName},
		{"name of 255 characters", Event{Metrics: []Metric{{strings.Repeat("é", 255), "1"}}}, ""},
		{"name of 256 characters", Event{Metrics: []Metric{{strings.Repeat("é", 256), "1"}}}, CodeMetricName},
		{"a control character in the name", Event{Metrics: []Metric{{"a\u0085", "1"}}}, CodeMetricName},
		{"a name that is not UTF-8", Event{Metrics: []Metric{{"a\xff", "1"}}}, CodeUTF8},
		{"an empty value", Event{Metrics: []Metric{{"a", ""}}}, ""},
		{"value of 65,535 bytes", Event{Metrics: []Metric{{"a", strings.Repeat("€", 21_845)}}}, ""},
		{"value of 65,536 bytes", Event{Metrics: []Metric{{"a", strings.Repeat("€", 21_845) + "x"}}}, CodeMetricValue},
		{"NUL in the value", Event{Metrics: []Metric{{"a", "1\x00"}}}, CodeMetricValue},
		{"a value that is not UTF-8", Event{Metrics: []Metric{{"a", "\xc3"}}}, CodeUTF8},
		{"the second metric", Event{Metrics: []Metric{{"a", "1"}, {"b", "\x00"}}}, CodeMetricValue},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			row{Code: test.code}.check(t, test.event.Validate())
		})
	}
}

func TestNumber(t *testing.T) {
	tests := []struct {
		name  string
		value float64
		want  string
	}{
		{"zero", 0, "0"},
		{"minus zero", math.Copysign(0, -1), "-0"},
		{"a fraction", 0.1, "0.1"},
		{"seventeen digits", 0.30000000000000004, "0.30000000000000004"},
		{"an integer", 1000, "1000"},
		{"a small one", 1e-7, "1e-07"},
		{"a great one", 1e21, "1e+21"},
		{"the least", math.SmallestNonzeroFloat64, "5e-324"},
		{"the greatest", math.MaxFloat64, "1.7976931348623157e+308"},
		{"not a number", math.NaN(), "NaN"},
		{"infinity", math.Inf(1), "+Inf"},
		{"minus infinity", math.Inf(-1), "-Inf"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := Event{Metrics: []Metric{{"loss", test.want}}}
			got := Event{Metrics: []Metric{Number("loss", test.value)}}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v; want %+v", got, want)
			}
			events, err := DecodeEvents(AppendEvent(nil, got))
			if err != nil || !reflect.DeepEqual(events, []Event{want}) {
				t.Errorf("reads back as %+v, error %v", events, err)
			}
		})
	}
}
