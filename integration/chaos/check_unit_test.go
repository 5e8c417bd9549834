package chaos

import (
	"strconv"
	"testing"
	"time"

	"github.com/katib-stream/katib-stream/integration/chaos/notes"
	"github.com/katib-stream/katib-stream/katibdb"
)

// TestVerdicts holds the checker against truths that differ in one thing each.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	rowsOf := func(n int, at time.Time) []katibdb.Row {
		return []katibdb.Row{{Time: at, Metric: "n", Value: strconv.Itoa(n)}, {Time: at, Metric: "check", Value: strconv.Itoa(notes.Check("t", n))}}
	}
	second := at.Add(time.Second)
	good := append(rowsOf(0, at), rowsOf(1, second)...)
	for name, c := range map[string]struct {
		promised map[int]expectation
		rows     []katibdb.Row
		want     verdicts
	}{
		"good":        {map[int]expectation{0: must, 1: must}, good, verdicts{Promised: 2, Once: 2}},
		"lost":        {map[int]expectation{0: must, 1: must}, good[:2], verdicts{Promised: 2, Once: 1, Lost: 1}},
		"unpromised":  {map[int]expectation{0: must, 1: may}, good, verdicts{Promised: 1, Once: 2, Unpromised: 1}},
		"doubled":     {map[int]expectation{0: must, 1: must}, append(rowsOf(0, at), good...), verdicts{Promised: 2, Once: 1, Doubled: 1}},
		"not whole":   {map[int]expectation{0: must, 1: must}, good[:3], verdicts{Promised: 2, Once: 1, Altered: 1}},
		"other time":  {map[int]expectation{0: must, 1: must}, append(rowsOf(0, at), rowsOf(1, second.Add(time.Second))...), verdicts{Promised: 2, Once: 1, Altered: 1}},
		"unordered":   {map[int]expectation{0: must, 1: must}, append(rowsOf(1, second), rowsOf(0, at)...), verdicts{Promised: 2, Once: 2, Unordered: 1}},
		"invented":    {map[int]expectation{0: must}, good, verdicts{Promised: 1, Once: 1, Invented: 1}},
		"resurrected": {map[int]expectation{0: gone, 1: must}, good, verdicts{Promised: 1, Once: 1, Resurrected: 1}},
	} {
		var got verdicts
		stream := map[int]*seen{}
		for n, at := range []time.Time{at, second} {
			stream[n] = &seen{values: [2]string{strconv.Itoa(n), strconv.Itoa(notes.Check("t", n))}, at: at, times: 1}
		}
		got.check("t", c.promised, stream, c.rows, []*notes.Run{{Accepted: []int{0, 1}}})
		got.Examples = nil
		if got.string() != c.want.string() {
			t.Errorf("%s: %s; want %s", name, got.string(), c.want.string())
		}
	}
}
