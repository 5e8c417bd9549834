package schema

import (
	"slices"
	"strings"
	"testing"
)

func FuzzParseSubject(f *testing.F) {
	for _, v := range load[subjectRow](f, "subjects.json") {
		f.Add(string(v.Subject))
	}
	rules := codesOf(f)
	f.Fuzz(func(t *testing.T, subject string) {
		s, err := ParseSubject(subject)
		if checkRule(t, err, rules); err != nil {
			return
		}
		if err := s.Validate(); err != nil || s.String() != subject {
			t.Errorf("%q is read as %+v (error %v) and written as %q", subject, s, err, s)
		}
		if tokens := strings.Split(subject, "."); len(tokens) != 5 || slices.ContainsFunc(tokens, func(token string) bool {
			return token == "" || strings.ContainsAny(token, "*> \t\r\n\x00")
		}) {
			t.Errorf("%q cannot be published to", subject)
		}
	})
}

func FuzzParseFlushSubject(f *testing.F) {
	for _, seed := range []string{"katib.flush.default.my-trial", "katib.flush._.a%2Eb", "katib.flush.a%252E.b", "katib.flush.default", "katib.flush.default.a.b"} {
		f.Add(seed)
	}
	rules := codesOf(f)
	f.Fuzz(func(t *testing.T, subject string) {
		namespace, trial, err := ParseFlushSubject(subject)
		if checkRule(t, err, rules); err == nil && FlushSubject(namespace, trial) != subject {
			t.Errorf("%q is read as %q and %q", subject, namespace, trial)
		}
	})
}
