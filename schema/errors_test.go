package schema

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestEveryCodeHasVectors reads the codes out of errors.go, so that a new one cannot be without a vector.
func TestEveryCodeHasVectors(t *testing.T) {
	used := map[Code]int{}
	for _, v := range load[eventsRow](t, "events.json") {
		used[v.Code]++
	}
	for _, v := range load[subjectRow](t, "subjects.json") {
		used[v.Code]++
	}
	for _, v := range load[messageRow](t, "messages.json") {
		used[v.Code]++
	}
	delete(used, "") // the good ones
	for _, name := range constants(t, "errors.go", "Code") {
		if code := Code(name); used[code] == 0 {
			t.Errorf("no vector breaks the rule %q", code)
		}
		delete(used, Code(name))
	}
	for code := range maps.Keys(used) {
		t.Errorf("vectors name a rule %q, which errors.go does not have", code)
	}
}

// constants gives the values of a source file's string constants whose names begin with prefix, sorted.
func constants(t testing.TB, file, prefix string) []string {
	t.Helper()
	source, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(source, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
		return false
	})
	if len(values) == 0 {
		t.Fatalf("%s has no constants %s…", file, prefix)
	}
	slices.Sort(values)
	return values
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"without a line", &Error{Code: CodeEmpty, Detail: "the message holds no event"}, "the message holds no event"},
		{"with a line", &Error{Code: CodeMetrics, Line: 3, Detail: "the event has no metrics"}, "line 3: the event has no metrics"},
		{"a short value", refuse(CodeStep, "step %s", quote("-1")), `step "-1"`},
		{"a value of 64 bytes", refuse(CodeStep, "step %s", quote(strings.Repeat("1", 64))), `step "` + strings.Repeat("1", 64) + `"`},
		{"a long value", refuse(CodeStep, "step %s", quote(strings.Repeat("1", 65))), `step "` + strings.Repeat("1", 64) + `"… (65 bytes)`},
		{"a value cut inside a character", refuse(CodeStep, "step %s", quote("1"+strings.Repeat("é", 32))), `step "1` + strings.Repeat("é", 31) + `\xc3"… (65 bytes)`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.err.Error(); got != test.want {
				t.Errorf("%s; want %s", got, test.want)
			}
		})
	}
}

// TestRefusalsAreShort: what is refused may be a megabyte of anything, but its error stands on one line of a log and in a
// header of the dead letter.
func TestRefusalsAreShort(t *testing.T) {
	check := func(t *testing.T, err error) {
		t.Helper()
		if err == nil {
			return
		}
		if text := err.Error(); len(text) > 1024 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\n") {
			t.Errorf("the error has %d bytes: %q", len(text), text)
		}
	}
	for _, v := range load[eventsRow](t, "events.json") {
		t.Run(v.Name, func(t *testing.T) {
			_, err := DecodeEvents([]byte(v.Body))
			check(t, err)
		})
	}
	for _, v := range load[subjectRow](t, "subjects.json") {
		t.Run(v.Name, func(t *testing.T) {
			_, err := ParseSubject(string(v.Subject))
			check(t, err)
		})
	}
}
