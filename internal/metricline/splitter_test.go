package metricline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// split gives the lines of a text that is written in pieces, each with whether it is whole.
func split(pieces ...string) (lines []string) {
	s := NewSplitter(func(line []byte, whole bool) { lines = append(lines, fmt.Sprintf("%v %s", whole, line)) })
	for _, piece := range pieces {
		_, _ = s.Write([]byte(piece))
	}
	s.Close()
	return lines
}

func TestSplitter(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxLine)
	tests := map[string]struct {
		pieces, want []string
	}{
		"nothing":                  {nil, nil},
		"empty lines":              {[]string{"\n\r\n\n"}, nil},
		"lines":                    {[]string{"a\nb\n"}, []string{"true a", "true b"}},
		"no newline at the end":    {[]string{"a\nb"}, []string{"true a", "true b"}},
		"in pieces":                {[]string{"a", "", "b\nc", "\n", "d"}, []string{"true ab", "true c", "true d"}},
		"CRLF in pieces":           {[]string{"a\r", "\nb\r\n"}, []string{"true a", "true b"}},
		"carriage returns":         {[]string{"\ra\rb", "c\rd\n"}, []string{"true a", "true bc", "true d"}},
		"the longest":              {[]string{long + "\na"}, []string{"true " + long, "true a"}},
		"the longest, in pieces":   {[]string{long[1:], "x", "\na"}, []string{"true " + long, "true a"}},
		"one longer":               {[]string{long + "y\na"}, []string{"false " + long, "true a"}},
		"one longer, in pieces":    {[]string{long, "y", "z\na"}, []string{"false " + long, "true a"}},
		"longer without an end":    {[]string{long, long}, []string{"false " + long}},
		"longer, then the longest": {[]string{long + "y\r" + long + "\r"}, []string{"false " + long, "true " + long}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := split(tt.pieces...); !slices.Equal(got, tt.want) {
				t.Errorf("%d lines of other lengths or contents than the %d that were wanted", len(got), len(tt.want))
			}
		})
	}
}

func TestSplitterGoesOnAfterClose(t *testing.T) {
	t.Parallel()
	var lines []string
	s := NewSplitter(func(line []byte, _ bool) { lines = append(lines, string(line)) })
	for _, piece := range []string{"a", "b"} {
		_, _ = s.Write([]byte(piece))
		s.Close()
	}
	if !slices.Equal(lines, []string{"a", "b"}) {
		t.Errorf("the lines are %q", lines)
	}
}

// A line without an end takes no more memory than the longest one, and gives it back.
func TestSplitterMemory(t *testing.T) {
	t.Parallel()
	s := NewSplitter(func([]byte, bool) {})
	chunk := make([]byte, 64<<10)
	for range 1024 {
		_, _ = s.Write(chunk)
	}
	if len(s.part) > MaxLine || cap(s.part) > 2*MaxLine {
		t.Errorf("it holds %d bytes of %d", len(s.part), cap(s.part))
	}
	_, _ = s.Write([]byte{'\n'})
	if s.part != nil {
		t.Error("it keeps the memory")
	}
}

// A progress bar never writes a newline; each of its lines must not cost a look at all that follow.
func TestSplitterIsLinear(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("\r1", 8<<20))
	count := 0
	s := NewSplitter(func([]byte, bool) { count++ })
	began := time.Now()
	_, _ = s.Write(text)
	s.Close()
	if took := time.Since(began); count != 8<<20 || took > 20*time.Second {
		t.Errorf("%d lines in %v", count, took)
	}
}
