package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// times matches the times that the stream gave to messages.
var times = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z`)

// putEvents stores events of trial t one a message, with the values first to last of metric a as their steps, too.
func putEvents(t testing.TB, js jetstream.JetStream, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		put(t, js, "katib.metrics.default.t.me", fmt.Sprintf(`{"step":%d,"metrics":{"a":%d}}`, i, i))
	}
}

// valuesOf are the values of metric a in what `tail -o json` printed.
func valuesOf(t testing.TB, text string) string {
	t.Helper()
	var values []string
	for _, line := range parseTail(t, text) {
		if line.Metrics != nil {
			values = append(values, fmt.Sprint(line.Metrics["a"]))
		}
	}
	return strings.Join(values, " ")
}

func TestTailText(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	put(t, js, "katib.metrics.default.t.me", `{"time":"2026-11-24T12:00:00.123456789+02:00","step":9,"metrics":{"loss":0.1250,"accuracy":0.5}}`)
	put(t, js, "katib.metrics.default.t.me", `{"time":"2026-11-24T12:00:01Z","step":10,"metrics":{"loss":10.125,"accuracy":0.25,"note":"fünf"}}`+"\n"+`{"time":"2026-11-24T12:00:02Z","metrics":{"loss":"unavailable"}}`)
	put(t, js, "katib.metrics.default.t.me", `nope`)
	report(t, ns.URL(), "default", "t")
	got := katibStream(t, "tail", "t", "--server", ns.URL(), "--no-follow")
	want := []string{
		"2026-11-24T10:00:00.123456Z   9  loss=0.1250       accuracy=0.5",
		"2026-11-24T12:00:01.000000Z  10  loss=10.125       accuracy=0.25  note=fünf",
		"2026-11-24T12:00:02.000000Z   -  loss=unavailable",
		`NOW  dead letter: line 1: "nope" is not a JSON object`,
		"NOW   -  loss=1",
		"NOW  producer ID ended",
		"",
	}
	lines := strings.Split(got.stdout, "\n")
	for i := 3; i < len(lines); i++ {
		lines[i] = times.ReplaceAllString(lines[i], "NOW")
		lines[i] = regexp.MustCompile(`[0-9a-f]{32}`).ReplaceAllString(lines[i], "ID")
	}
	if got.status != statusOK || got.stderr != "" || strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestTailJSON(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	put(t, js, "katib.metrics.a.t.me", `{"time":"2026-11-24T12:00:00Z","step":1,"metrics":{"loss":0.1250,"note":"ok"}}`)
	put(t, js, "katib.metrics.b.t.you", `{"metrics":{}}`)
	report(t, ns.URL(), "c", "t")
	got := katibStream(t, "tail", "t", "--server", ns.URL(), "--no-follow", "-o", "json")
	if got.status != statusOK || got.stderr != "" {
		t.Fatal(got)
	}
	lines := parseTail(t, got.stdout)
	if len(lines) != 4 {
		t.Fatalf("want 4 lines, got %s", got.stdout)
	}
	if first := lines[0]; first.Namespace != "a" || first.Trial != "t" || first.Producer != "me" || first.Sequence != 1 || *first.Step != 1 ||
		first.Stored.IsZero() || first.Metrics["loss"] != json.Number("0.1250") || first.Metrics["note"] != "ok" {
		t.Errorf("the first line: %+v", first)
	}
	if dead := lines[1]; dead.Namespace != "b" || dead.Producer != "you" || !strings.Contains(dead.Dead, "the event has no metrics") || dead.Metrics != nil {
		t.Errorf("the dead letter: %+v", dead)
	}
	if event, end := lines[2], lines[3]; event.Namespace != "c" || event.Final || !end.Final || end.Producer != event.Producer || end.Metrics != nil {
		t.Errorf("the last event and the end: %+v, %+v", event, end)
	}
	one := katibStream(t, "tail", "t", "--server", ns.URL(), "--no-follow", "-o", "json", "--namespace", "a")
	if lines := parseTail(t, one.stdout); len(lines) != 1 || lines[0].Namespace != "a" {
		t.Errorf("in namespace a: %v", one)
	}
}

// TestTailIsHarmless shows what a stranger sent to steer the reader's terminal.
func TestTailIsHarmless(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	const clear, csi, override, tag = "\x1b[2J", "\u009b2J", "\u202e", "\U000e0041"
	body, err := json.Marshal(map[string]any{"metrics": map[string]string{"a" + override: clear + csi + tag + "\r\n\x7f", "note": "日本 é"}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, js, "katib.metrics.default.t.me", string(body))
	put(t, js, "katib.metrics.default.t.me", clear+csi)
	for _, format := range []string{"text", "json"} {
		got := katibStream(t, "tail", "t", "--server", ns.URL(), "--no-follow", "-o", format)
		for _, bad := range []string{"\x1b", "\u009b", override, tag, "\r", "\x7f"} {
			if strings.Contains(got.stdout, bad) {
				t.Errorf("%s has %q: %q", format, bad, got.stdout)
			}
		}
		if lines := strings.Count(got.stdout, "\n"); got.status != statusOK || lines != 2 || !strings.Contains(got.stdout, "日本 é") {
			t.Errorf("%s: want 2 lines, got %d: %v", format, lines, got)
		}
		if format == "json" {
			value := parseTail(t, got.stdout)[0].Metrics["a"+override]
			if value != clear+csi+tag+"\r\n\x7f" {
				t.Errorf("JSON means another value: %q", value)
			}
		}
	}
}

func TestTailBegins(t *testing.T) {
	t.Parallel()
	ns, js := withStreams(t)
	putEvents(t, js, 1, 3)
	put(t, js, "katib.metrics.default.t.me", `{"metrics":{"a":4}}`+"\n"+`{"metrics":{"a":5}}`)
	putMany(t, js, "other", 3_000) // more than the first step back holds
	putEvents(t, js, 6, 12)
	tests := map[string]struct {
		args   string
		values string
		status int
		says   string
	}{
		"with the last ten":          {args: "t", values: "3 4 5 6 7 8 9 10 11 12"},
		"with some":                  {args: "t -n 2", values: "11 12"},
		"in the middle of a message": {args: "t -n 8", values: "5 6 7 8 9 10 11 12"},
		"with more than there are":   {args: "t -n 100", values: "1 2 3 4 5 6 7 8 9 10 11 12"},
		"with any number":            {args: "t -n 9223372036854775807", values: "1 2 3 4 5 6 7 8 9 10 11 12"},
		"with any number of many":    {args: "other -n 9223372036854775807", values: strings.TrimSpace(strings.Repeat("0 ", 3_000))},
		"with none":                  {args: "t -n 0"},
		"with all":                   {args: "t --since all", values: "1 2 3 4 5 6 7 8 9 10 11 12"},
		"with the last hour":         {args: "t --since 1h", values: "1 2 3 4 5 6 7 8 9 10 11 12"},
		"with the last of an hour":   {args: "t --since 1h -n 3", values: "10 11 12"},
		"with nothing as of now":     {args: "t --since 0s"},
		"with no such trial":         {args: "nobody", status: statusError, says: "tail: the stream holds nothing of trial nobody; `katib-stream trials` lists what it holds"},
		"with no such trial lately":  {args: "nobody --since 1h", status: statusError, says: "the stream holds nothing of trial nobody"},
		"in another namespace":       {args: "t --namespace b", status: statusError, says: "the stream holds nothing of trial t in namespace b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := katibStream(t, append(strings.Fields("tail "+tt.args), "--no-follow", "-o", "json", "--server", ns.URL())...)
			if tt.says != "" {
				failsWith(t, got, tt.status, tt.says)
				return
			}
			if values := valuesOf(t, got.stdout); got.status != statusOK || values != tt.values || got.stderr != "" {
				t.Errorf("got %s, want %s; %v", values, tt.values, got)
			}
		})
	}
}
