package producer

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	micro := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Microsecond) }
	type step struct{ given, now, want time.Time }
	tests := []struct {
		name  string
		steps []step
	}{
		{"as the clock goes", []step{{now: micro(1), want: micro(1)}, {now: micro(5), want: micro(5)}}},
		{"cut to microseconds", []step{{now: noon.Add(1999), want: micro(1)}}},
		{"the clock stands", []step{{now: noon, want: noon}, {now: noon, want: micro(1)}, {now: noon, want: micro(2)}}},
		{"the clock steps back", []step{{now: noon, want: noon}, {now: noon.Add(-time.Hour), want: micro(1)}}},
		{"a given time is kept", []step{{now: noon, want: noon}, {given: micro(-50), now: micro(3), want: micro(-50)}}},
		{"after a given time", []step{{given: micro(50), now: noon, want: micro(50)}, {now: micro(1), want: micro(51)}}},
		{"a whole microsecond after a given time", []step{{given: noon.Add(500), now: noon, want: noon.Add(500)}, {now: noon, want: micro(2)}}},
		{"a given past is not followed", []step{{now: noon, want: noon}, {given: micro(-50), now: noon, want: micro(-50)}, {now: noon, want: micro(1)}}},
		{"the end of time is not followed", []step{
			{given: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), now: noon, want: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)},
			{now: noon, want: noon},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c clock
			for i, s := range test.steps {
				var got time.Time
				if got, c = c.stamp(s.given, s.now); !got.Equal(s.want) {
					t.Errorf("step %d: got %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	for failures := 1; failures < 100; failures++ {
		most := maxBackoff
		if failures < 7 {
			most = min(maxBackoff, firstBackoff<<(failures-1))
		}
		if got := backoff(failures); got < most/2 || got > most {
			t.Errorf("after %d failures: %v, want %v to %v", failures, got, most/2, most)
		}
	}
}

func TestHalve(t *testing.T) {
	for name, lines := range map[string][]string{
		"two":            {"a\n", "b\n"},
		"the last large": {"a\n", "b\n", "cccccccccccccccccccc\n"},
		"the first":      {"aaaaaaaaaaaaaaaaaaaa\n", "b\n", "c\n"},
		"the middle":     {"a\n", "bbbbbbbbbbbbbbbbbbbb\n", "c\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var whole batch
			for _, line := range lines {
				whole.body = append(whole.body, line...)
				whole.events++
			}
			whole.number, whole.final = 3, true
			first, rest := whole.halve(8)
			if first.number != 3 || first.final || rest.number != 8 || !rest.final {
				t.Errorf("the halves are number %d, final %v, and number %d, final %v", first.number, first.final, rest.number, rest.final)
			}
			if string(first.body)+string(rest.body) != string(whole.body) || first.events == 0 || rest.events == 0 || first.events+rest.events != whole.events {
				t.Errorf("%q is cut into %q (%d) and %q (%d)", whole.body, first.body, first.events, rest.body, rest.events)
			}
		})
	}
}
