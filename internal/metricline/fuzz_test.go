package metricline

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/katib-stream/katib-stream/schema"
)

var seeds = []string{
	"loss=0.5 accuracy = 1e5\n", "2024-03-04T17:55:08Z loss=-.5e-3x=\r\n", "a=b=c= =1 loss==2", "loss=+.e5 loss=1.e loss=1.5.5",
	`{"loss": "0.5", "timestamp": 1638422847.28721}`, `{"loss": 1e999, "timestamp": "2021-12-02T14:27:50+09:00"}`, "\x00\xff=1\rloss=\t\f5",
}

// What Line finds can be reported, whatever the line.
func FuzzLine(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	configs := []Config{
		{Format: Text, Metrics: []string{"loss", "x"}, Step: "accuracy"},
		{Format: Text, Filters: []string{`(\S+)=(\S*)`, `(.)(.)`}},
		{Format: JSON, Metrics: []string{"loss", "timestamp"}, Step: "loss"},
		{Format: JSON},
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, cfg := range configs {
			reader, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			before := string(line)
			events, unreadable := reader.Line(line)
			if string(line) != before {
				t.Fatal("it changed the line")
			}
			if unreadable && len(cfg.Metrics) == 0 {
				t.Error("a line cannot be read although nothing was asked for")
			}
			for _, event := range events {
				checkEvent(t, cfg, event)
			}
		}
	})
}

func checkEvent(t *testing.T, cfg Config, event schema.Event) {
	t.Helper()
	if len(event.Metrics) == 0 || (event.Step != nil && (*event.Step < 0 || cfg.Step == "")) {
		t.Errorf("the event is %+v", event)
	}
	names := map[string]bool{}
	for _, metric := range event.Metrics {
		if names[metric.Name] {
			t.Errorf("%s stands twice in an event", metric.Name)
		}
		names[metric.Name] = true
		if len(cfg.Metrics) > 0 && !slices.Contains(cfg.Metrics, metric.Name) {
			t.Errorf("nobody asked for %s", metric.Name)
		}
		if value, err := strconv.ParseFloat(metric.Value, 64); err != nil && !math.IsInf(value, 0) {
			t.Errorf("the value is %q", metric.Value)
		}
	}
}

// The hand-written search finds what Katib's expression does.
func FuzzPairs(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	expression := regexp.MustCompile(DefaultFilter)
	f.Fuzz(func(t *testing.T, line []byte) {
		var want, got []string
		for _, match := range expression.FindAllSubmatch(line, -1) {
			want = append(want, string(match[1]), string(match[2]))
		}
		for name, value := range pairs(line) {
			got = append(got, string(name), string(value))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q in %q; want %q", got, line, want)
		}
	})
}

// In whatever pieces output is written, its lines are the same.
func FuzzSplitter(f *testing.F) {
	for i, seed := range seeds {
		f.Add(seed, uint(i), uint(2*i))
	}
	f.Fuzz(func(t *testing.T, text string, first, second uint) {
		n := uint(len(text)) + 1
		first, second = min(first%n, second%n), max(first%n, second%n)
		if whole, pieces := split(text), split(text[:first], text[first:second], text[second:]); !slices.Equal(whole, pieces) {
			t.Errorf("%q in pieces, %q as a whole", pieces, whole)
		}
	})
}
