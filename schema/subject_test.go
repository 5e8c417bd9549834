package schema

import (
	"strings"
	"testing"
)

type subjectRow struct {
	row
	wireSubject
	Subject text `json:"subject"`
}

// wireSubject is how vectors write a Subject.
type wireSubject struct {
	Namespace text `json:"namespace"`
	Trial     text `json:"trial"`
	Producer  text `json:"producer"`
}

func (w wireSubject) subject() Subject {
	return Subject{Namespace: string(w.Namespace), Trial: string(w.Trial), Producer: string(w.Producer)}
}

func TestParseSubject(t *testing.T) {
	for _, v := range load[subjectRow](t, "subjects.json") {
		t.Run(v.Name, func(t *testing.T) {
			got, err := ParseSubject(string(v.Subject))
			if !v.check(t, err) {
				return
			}
			want := v.subject()
			if got != want {
				t.Errorf("read as %+v; want %+v", got, want)
			}
			if err := want.Validate(); err != nil {
				t.Error(err)
			}
			if s := want.String(); s != string(v.Subject) {
				t.Errorf("written as %s; want %s", s, v.Subject)
			}
		})
	}
}

// TestSubjectValidate has what no subject can spell: names that were not read from one.
func TestSubjectValidate(t *testing.T) {
	tests := []struct {
		name    string
		subject Subject
		code    Code
	}{
		{"nothing", Subject{}, CodeNamespace},
		{"no trial", Subject{Namespace: "default"}, CodeTrial},
		{"no producer", Subject{Namespace: "default", Trial: "my-trial"}, CodeProducer},
		{"not UTF-8", Subject{Namespace: "default", Trial: "my-trial", Producer: "\xff"}, CodeProducer},
		{"a trial like the unknown namespace", Subject{Namespace: "_", Trial: "_", Producer: "me"}, CodeTrial},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			row{Code: test.code}.check(t, test.subject.Validate())
		})
	}
}

func TestDecodeToken(t *testing.T) {
	tests := []struct {
		name, token, want string
		ok                bool
	}{
		{"plain", "my-trial", "my-trial", true},
		{"empty", "", "", true},
		{"escapes", "a%2Eb%25", "a.b%", true},
		{"an escaped percent sign before 2E", "%252E", "%2E", true},
		{"a bare percent sign", "100%", "", false},
		{"small letters", "a%2eb", "", false},
		{"a bare dot", "a.b", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := DecodeToken(test.token)
			if ok != test.ok || (ok && got != test.want) {
				t.Errorf("%q, %t; want %q, %t", got, ok, test.want, test.ok)
			}
			if ok && EncodeToken(got) != test.token {
				t.Errorf("written back as %q", EncodeToken(got))
			}
		})
	}
}

func TestTrialFilter(t *testing.T) {
	tests := []struct{ name, namespace, trial, want string }{
		{"one namespace", "default", "my-trial", "katib.metrics.default.my-trial.*"},
		{"dots", "team.a", "trial.1", "katib.metrics.team%2Ea.trial%2E1.*"},
		{"the unknown namespace", NamespaceUnknown, "my-trial", "katib.metrics._.my-trial.*"},
		{"every namespace", "*", "my-trial", "katib.metrics.*.my-trial.*"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := TrialFilter(test.namespace, test.trial)
			if got != test.want {
				t.Errorf("%s; want %s", got, test.want)
			}
			subject := Subject{Namespace: test.namespace, Trial: test.trial, Producer: "me"}
			if prefix := strings.TrimSuffix(got, "*"); test.namespace != "*" && subject.String() != prefix+"me" {
				t.Errorf("%s does not match %s", got, subject)
			}
		})
	}
}
