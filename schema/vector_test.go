package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Each file under testdata/vectors has its row type beside the test that runs it; testdata/README.md describes them.

// row is what every vector has: its name and, for a bad one, the rule that it breaks.
type row struct {
	Name string `json:"name"`
	Code Code   `json:"code"`
	Line int    `json:"line"`
}

func (r row) title() string { return r.Name }

// check compares err with what the vector expects, and reports whether the vector is a good one.
func (r row) check(t *testing.T, err error) (good bool) {
	t.Helper()
	if r.Code == "" {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return true
	}
	var broken *Error
	switch {
	case err == nil:
		t.Fatalf("accepted; it breaks the rule %q", r.Code)
	case !errors.As(err, &broken):
		t.Fatalf("error %v is a %T, not an *Error", err, err)
	case broken.Code != r.Code || broken.Line != r.Line:
		t.Fatalf("refused with rule %q on line %d (%v); want rule %q on line %d", broken.Code, broken.Line, err, r.Code, r.Line)
	}
	return false
}

// load reads a file of vectors, strictly: a field that no test looks at would pin nothing.
func load[T interface{ title() string }](t testing.TB, file string) []T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors", file))
	if err != nil {
		t.Fatal(err)
	}
	var rows []T
	if err := unmarshalStrictly(data, &rows); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if r.title() == "" || seen[r.title()] {
			t.Errorf("%s: the name %q is empty or stands twice", file, r.title())
		}
		seen[r.title()] = true
	}
	return rows
}

func unmarshalStrictly(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// text is a string, or parts that are joined.
type text string

func (s *text) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(s))
	}
	var parts []part
	if err := unmarshalStrictly(data, &parts); err != nil {
		return err
	}
	for _, p := range parts {
		*s += text(strings.Repeat(p.Repeat, p.Times)) + text(p.Base64)
	}
	return nil
}

type part struct {
	Repeat string `json:"repeat"`
	Times  int    `json:"times"`
	Base64 []byte `json:"base64"`
}

func (p *part) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		p.Times = 1
		return json.Unmarshal(data, &p.Repeat)
	}
	type plain part
	return unmarshalStrictly(data, (*plain)(p))
}

// wireEvent is how vectors write an Event.
type wireEvent struct {
	Time    *string   `json:"time"`
	Step    *int64    `json:"step"`
	Metrics [][2]text `json:"metrics"`
}

func (w wireEvent) event(t testing.TB) Event {
	t.Helper()
	e := Event{Step: w.Step}
	if w.Time != nil {
		at, err := time.Parse(time.RFC3339Nano, *w.Time)
		if err != nil || at.Format(time.RFC3339Nano) != *w.Time {
			t.Fatalf("the vector's time %q is not written as this package writes it: %v", *w.Time, err)
		}
		e.Time = at
	}
	for _, m := range w.Metrics {
		e.Metrics = append(e.Metrics, Metric{Name: string(m[0]), Value: string(m[1])})
	}
	return e
}

func checkEvents(t *testing.T, got []Event, want []wireEvent) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events; want %d", len(got), len(want))
	}
	for i := range got {
		if want := want[i].event(t); !reflect.DeepEqual(got[i], want) {
			t.Errorf("event %d is\n  %s; want\n  %s", i+1, quote(string(AppendEvent(nil, got[i]))), quote(string(AppendEvent(nil, want))))
		}
	}
}
