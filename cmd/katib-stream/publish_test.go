package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestPublishPairs(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	got := katibStream(t, "publish", "my-trial", "loss=0.1250", "note=ok", "--step", "12", "--time", "2026-11-24T14:00:00.123456789+02:00",
		"--namespace", "team.a", "--server", ns.URL())
	if want := "stored 1 event of trial my-trial in namespace team.a\n"; got.status != statusOK || got.stdout != want || got.stderr != "" {
		t.Errorf("want %q, got %v", want, got)
	}
	stream, err := js.Stream(t.Context(), "KATIB_METRICS")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-11-24T12:00:00.123456789Z","step":12,"metrics":{"loss":0.1250,"note":"ok"}}`
	if body := strings.TrimSpace(string(msg.Data)); body != want || !strings.HasPrefix(msg.Subject, "katib.metrics.team%2Ea.my-trial.") {
		t.Errorf("stored %s on %s; want %s", body, msg.Subject, want)
	}
	if msg.Header.Get("Katib-Stream-Final") != "true" {
		t.Error("the run has not ended")
	}
}

func TestPublishPrintsJSON(t *testing.T) {
	t.Parallel()
	ns, _ := withStreams(t)
	got := katibStreamOn(t, `{"metrics":{"a":1}}`+"\n", "publish", "t", "-o", "json", "--server", ns.URL())
	var printed map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &printed); err != nil || got.status != statusOK || got.stderr != "" {
		t.Fatalf("%v: %v", err, got)
	}
	events := eventsOf(t, ns.URL(), "t")
	want := map[string]any{"namespace": "default", "trial": "t", "events": 1.0, "producer": events[0].Producer}
	if !reflect.DeepEqual(printed, want) {
		t.Errorf("printed %v, want %v", printed, want)
	}
}

func TestPublishLines(t *testing.T) {
	t.Parallel()
	ns, _ := withStreams(t)
	tests := map[string]struct {
		stdin  string
		dash   bool
		values string // of metric a, in the stream
		status int
		says   string
	}{
		"lines":                  {stdin: eventLine(1) + eventLine(2), values: "1 2", says: "stored 2 events of trial"},
		"asked for by name":      {stdin: eventLine(1), dash: true, values: "1", says: "stored 1 event of trial"},
		"no newline at the end":  {stdin: eventLine(1) + strings.TrimSpace(eventLine(2)), values: "1 2", says: "stored 2 events"},
		"blank lines":            {stdin: "\n" + eventLine(1) + " \t\r\n\n" + eventLine(2) + "\n", values: "1 2", says: "stored 2 events"},
		"nothing":                {stdin: "\n", status: statusError, says: "there was no event on standard input; nothing was stored"},
		"no JSON in the middle":  {stdin: eventLine(1) + eventLine(2) + "\nnope\n" + eventLine(3), values: "1 2", status: statusError, says: `line 4: "nope" is not a JSON object; the 2 events before that are stored, nothing after it was sent`},
		"no event in the middle": {stdin: eventLine(1) + `{"metrics":{}}` + "\n" + eventLine(3), values: "1", status: statusError, says: `line 2: the event has no metrics; the 1 event before that is stored, nothing after it was sent`},
		"no JSON at the start":   {stdin: "\x1b[2J\n" + eventLine(1), status: statusError, says: `line 1: "\x1b[2J" is not a JSON object; nothing was sent`},
		"no UTF-8":               {stdin: eventLine(1) + "{\"metrics\":{\"\xff\":1}}\n", values: "1", status: statusError, says: "line 2: the text is not valid UTF-8"},
		"larger than a message":  {stdin: eventLine(1) + wide(17), values: "1", status: statusError, says: "line 2: report: the event is too large"},
		"longer than any line":   {stdin: eventLine(1) + strings.Repeat("x", maxLine+1), values: "1", status: statusError, says: "line 2: longer than 16777216 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trial := strings.ReplaceAll(strings.ToLower(name), " ", "-")
			args := []string{"publish", trial, "--server", ns.URL()}
			if tt.dash {
				args = append(args, "-")
			}
			got := katibStreamOn(t, tt.stdin, args...)
			if tt.status == statusOK {
				if got.status != statusOK || got.stderr != "" || !strings.HasPrefix(got.stdout, tt.says) {
					t.Errorf("want %q, got %v", tt.says, got)
				}
			} else {
				failsWith(t, got, tt.status, "katib-stream: publish: "+tt.says)
			}
			if tt.values == "" {
				return
			}
			var values []string
			for _, event := range eventsOf(t, ns.URL(), trial) {
				values = append(values, fmt.Sprint(event.Metrics["a"]))
			}
			if strings.Join(values, " ") != tt.values {
				t.Errorf("the stream has %v, want %s", values, tt.values)
			}
		})
	}
}

// eventLine is an event on standard input.
func eventLine(value int) string { return fmt.Sprintf(`{"metrics":{"a":%d}}`+"\n", value) }

// wide is an event of that many values of 64 KB.
func wide(values int) string {
	var metrics []string
	for i := range values {
		metrics = append(metrics, fmt.Sprintf(`"m%d":"%s"`, i, strings.Repeat("x", 64_000)))
	}
	return `{"metrics":{` + strings.Join(metrics, ",") + "}}\n"
}

func TestPublishRefusesBeforeItConnects(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		says string
	}{
		"a trial's name":    {[]string{"My_Trial", "loss=1"}, `the trial name "My_Trial" is no Kubernetes name`},
		"an empty name":     {[]string{"", "loss=1"}, "the trial name is empty"},
		"a namespace":       {[]string{"t", "loss=1", "--namespace", "A"}, `the namespace "A" is no Kubernetes name`},
		"no pair":           {[]string{"t", "loss"}, `"loss" is no NAME=VALUE pair`},
		"a dash and a pair": {[]string{"t", "-", "loss=1"}, `"-" is no NAME=VALUE pair`},
		"no name":           {[]string{"t", "=1"}, `metric name "" is not 1 to 255 characters`},
		"a name twice":      {[]string{"t", "a=1", "a=2"}, `metric "a" stands twice`},
		"a negative step":   {[]string{"t", "a=1", "--step", "-1"}, "step -1 is negative"},
		"a broken time":     {[]string{"t", "a=1", "--time", "12:00"}, `--time is "12:00", not RFC 3339 like`},
		"a step for lines":  {[]string{"t", "--step", "1"}, "--step and --time are for NAME=VALUE pairs"},
		"a time for lines":  {[]string{"t", "-", "--time", "2026-11-24T12:00:00Z"}, "--step and --time are for NAME=VALUE pairs"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failsWith(t, katibStream(t, append([]string{"publish"}, tt.args...)...), statusUsage, "publish: "+tt.says)
		})
	}
}
