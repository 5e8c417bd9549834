package schema

import (
	"errors"
	"testing"
)

func TestFlushSubject(t *testing.T) {
	const want = "katib.flush.team%2Ea.trial%2E1"
	if got := FlushSubject("team.a", "trial.1"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if namespace, trial, err := ParseFlushSubject(want); namespace != "team.a" || trial != "trial.1" || err != nil {
		t.Errorf("parsed %q, %q, %v", namespace, trial, err)
	}
	for _, subject := range []string{"", "katib.flush.a", "katib.flush.a.b.c", "katib.metrics.a.b", "katib.flush.a.B", "katib.flush.%.b", "katib.flush..b"} {
		var broken *Error
		if _, _, err := ParseFlushSubject(subject); !errors.As(err, &broken) {
			t.Errorf("%q: %v", subject, err)
		}
	}
}
